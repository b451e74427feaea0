"""IQuest-Q1 (SGLang's IQuestQ1ForCausalLM): windowed and full layers by blocks, a learned key as sink, experts.

Not in transformers: formula; no published config was at hand. Three norms per layer and a fourth in the first; the sink
is one key per key-value head.
"""

from sparsecalc.model.basic_parts import Constants, Norm
from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, SLIDING, Body, attention, body, mlp, norms, without
from sparsecalc.read.fields import Fields
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    without(config, "use_over_encoding", "attention_bias")
    config.ignore("no_rope_layers", "swa_rope_theta", "rotary_dim", "moe_router_dtype", "enable_lm_head_fp32")
    config.ignore("first_layer_attn_out_scale", "first_layer_ffn_out_scale", "attn_out_scale", "ffn_out_scale")
    config.ignore("softmax_scale", "logit_scale", "layer_types")
    note_mtp(config, "num_mtp_layers", as_deepseek=False)
    mixer = attention(config, hidden)
    mixer = mixer.but(qk_norm=2 * mixer.head_dim)
    sinks = Constants(name="sink_k", component="attention", elements=mixer.num_key_value_heads * mixer.head_dim)
    extras = (sinks,) if config.flag("enable_sink_attention") else ()
    dense_layers = set(config.integers("mlp_only_layers"))
    dense, moe = mlp(hidden, config.size("dense_intermediate_size")), _experts(config, hidden)
    layers = [
        Layer(
            mixers=(mixer.but(sliding_window=window),),
            feed_forwards=(dense if index in dense_layers else moe,),
            norms=(*norms(hidden, 3), *((Norm(name="ffn_out_norm", size=hidden),) if index == 0 else ())),
            extras=extras,
        )
        for index, window in enumerate(_windows(config, count))
    ]
    return body(config, layers, hidden=hidden)


def _experts(config: Fields, hidden: int) -> Moe:
    return Moe(
        hidden_size=hidden,
        num_experts=config.size("num_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("intermediate_size", required=True),
    )


def _windows(config: Fields, count: int) -> list[int | None]:
    """The first layers' kinds, a block of kinds that repeats, and the last layers' kinds."""
    parts = [
        config.sequence(key) or [] for key in ("first_layers_types", "hybrid_layers_types_block", "last_layers_types")
    ]
    kinds = parts[0] + parts[1] * config.size("num_hybrid_layers_block", zero=True) + parts[2]
    window = config.optional_size("sliding_window")
    if not config.flag("use_hybrid_layers") or not config.flag("use_sliding_window"):
        return [None] * count
    if len(kinds) != count or set(kinds) - {FULL, SLIDING}:
        config.refuse(f"the blocks of layer types name {len(kinds)} layers, not {count} full or sliding ones")
    return [window if kind == SLIDING else None for kind in kinds]
