"""Inkling: attention with short convolutions and a learned relative position bias, windows with a full layer after each
five, experts beside shared ones whose weights the router gives too."""

from sparsecalc.model.basic_parts import Constants, Norm
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, body, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.inkling import convolutions, inkling_attention, layer_kinds, relative_bias
from sparsecalc.read.mixtures import dense_by_type
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count, kernel = config.size("hidden_size", required=True), config.layers(), config.size("conv_kernel_size")
    config.ignore("log_scaling_n_floor", "log_scaling_alpha", "shared_expert_sink", "unpadded_vocab_size")
    config.ignore("logits_mup_width_multiplier", "rms_norm_eps_moe_gate", "route_scale", "chain_hidden_post_norm")
    config.ignore("mtp_hidden_states_first", "mtp_local_layer_ids")
    note_mtp(config, "num_mtp_layers", as_deepseek=False)
    dense, moe = _feed_forwards(config, hidden)
    leading = config.optional_size("dense_mlp_idx", default=0, zero=True) or 0
    is_dense = dense_by_type(config, count, [index < leading for index in range(count)])
    layers = []
    for kind, plain in zip(layer_kinds(config, count), is_dense, strict=True):
        mixer = inkling_attention(config, hidden, kind)
        keys = mixer.num_key_value_heads * mixer.head_dim
        scale = Constants(name="global_scale", component="dense_ffn", elements=1)
        layers.append(
            Layer(
                mixers=(mixer.but(qk_norm=2 * mixer.head_dim),),
                feed_forwards=(dense if plain else moe,),
                norms=norms(hidden),
                extras=(
                    *relative_bias(config, mixer),
                    *convolutions(keys, keys, hidden, hidden, kernel=kernel),
                    *((scale,) if plain else ()),
                ),
            )
        )
    final = (Norm(name="embed_norm", size=hidden), Norm(size=hidden))
    return body(config, layers, hidden=hidden, final=final, tied=False)


def _feed_forwards(config: Fields, hidden: int) -> tuple[DenseMlp, Moe]:
    """Where dense_intermediate_size is given, intermediate_size is the width of an expert."""
    shared = config.size("n_shared_experts")
    older = config.optional_size("dense_intermediate_size", default=None)
    width = config.size("intermediate_size", required=True)
    expert = config.size("moe_intermediate_size") if older is None else width
    config.ignore("moe_intermediate_size")
    if older is not None:
        config.defaulted.pop("moe_intermediate_size", None)
    moe = Moe(
        hidden_size=hidden,
        num_experts=config.size("n_routed_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=expert,
        router_extra=shared,
        router_scales=1,
        shared_intermediate_size=shared * expert,
    )
    return mlp(hidden, width if older is None else older), moe
