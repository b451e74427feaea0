"""Gemma 4: full layers have heads of another size (and K = V if attention_k_eq_v); experts may run beside the dense
MLP; per-layer inputs and shared keys and values as in Gemma 3n."""

from typing import Any

from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Norm
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, every_nth_full, mlp, norms, windows
from sparsecalc.read.families import gemma3n_text as gemma3n
from sparsecalc.read.families.gemma import causal_only
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    width = config.optional_size("hidden_size_per_layer_input", zero=True) or 0
    table = gemma3n.per_layer_table(config, config.layers(), width) if width else None
    config.ignore("vocab_size_per_layer_input", "num_experts", "top_k_experts", "moe_intermediate_size")
    moe = _experts(config) if config.flag("enable_moe_block") else None
    found = layers(config, width, moe)
    hidden = config.size("hidden_size")
    if table is None:
        return body(config, found, hidden=hidden)
    final = (Norm(size=hidden), *gemma3n.per_layer_inputs(hidden, len(found), width))
    return body(config, found, hidden=hidden, final=final, tables=(table,))


def _experts(config: Fields) -> Moe:
    """The router scales its input per channel and its choices per expert."""
    hidden, experts = config.size("hidden_size", required=True), config.size("num_experts", required=True)
    return Moe(
        hidden_size=hidden,
        num_experts=experts,
        num_experts_per_tok=config.size("top_k_experts", required=True),
        moe_intermediate_size=config.size("moe_intermediate_size", required=True),
        router_bias=True,
        router_scales=hidden,
    )


def layers(config: Fields, width: int = 0, moe: Moe | None = None) -> list[Layer]:
    """The layers, with inputs of `width` features of their own and with experts, where there are any."""
    hidden = config.size("hidden_size", required=True)
    causal_only(config)
    count = config.layers()
    bias = config.flag("attention_bias")
    window = config.optional_size("sliding_window")
    found = windows(config, count, window, every_nth_full(count, 6))
    if found[-1] is not None and config.has("layer_types"):
        config.note(
            "last-layer-full", "the last layer is sliding_attention here; transformers runs it as full attention"
        )
    found[-1] = None
    first_shared = gemma3n.first_layer_without_cache(config, found)
    double = 2 if config.flag("use_double_wide_mlp") else 1
    intermediate = config.size("intermediate_size", required=True)
    mixers = _mixers(config, [each is None for each in found], attention(config, hidden, qkv_bias=bias, o_bias=bias))
    extra_norms = (3 if moe else 0) + (1 if width else 0)
    result = []
    for index, mixer in enumerate(mixers):
        shared = index >= first_shared
        dense: tuple[DenseMlp | Moe, ...] = (mlp(hidden, intermediate * (double if shared else 1)),)
        result.append(
            Layer(
                mixers=(gemma3n.with_qk_norm(mixer, found[index], shared),),
                feed_forwards=(*dense, moe) if moe else dense,
                norms=(*norms(hidden, 4), *[Norm(name="extra_norm", size=hidden)] * extra_norms),
                extras=gemma3n.per_layer_projections(hidden, width) if width else (),
            )
        )
    return result


def _mixers(config: Fields, full: list[bool], sliding: Gqa) -> list[Gqa]:
    """The attention of each layer: full layers have global_head_dim, or what per_layer_config says of a layer."""
    key_is_value = config.flag("attention_k_eq_v")
    kv_heads = config.optional_size("num_global_key_value_heads") if key_is_value else None
    config.ignore("num_global_key_value_heads", "global_head_dim")
    overrides: Any = config.raw("per_layer_config")
    if overrides is None:
        wide = {"head_dim": config.size("global_head_dim"), "num_key_value_heads": kv_heads}
        overrides = {str(index): wide for index, is_full in enumerate(full) if is_full}
    if not isinstance(overrides, dict) or not all(isinstance(one, dict) for one in overrides.values()):
        config.refuse("per_layer_config is not an object of objects")
    result = []
    for index, is_full in enumerate(full):
        given = Fields(overrides.get(str(index), {}), config.model_type, where=f"per_layer_config {index}", nested=True)
        keys = given.optional_size("num_key_value_heads", default=None) or sliding.num_key_value_heads
        if sliding.num_attention_heads % keys:
            config.refuse(f"num_attention_heads ({sliding.num_attention_heads}) is not a multiple of {keys}")
        dim = given.optional_size("head_dim", default=None) or sliding.head_dim
        if note := next((note.text for note in given.finish()), None):
            config.note("unread-keys", f"per_layer_config: {note}")
        changes = {"head_dim": dim, "num_key_value_heads": keys, "v_proj": not (key_is_value and is_full)}
        result.append(sliding.but(**changes))
    return result
