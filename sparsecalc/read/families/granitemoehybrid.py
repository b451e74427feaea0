"""Granite 4.0: Mamba 2 and attention by layer_types; a shared MLP in every layer, beside experts where any."""

from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.recurrent import Mamba2
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, Body, attention, body, mlp, norms, without
from sparsecalc.read.families.granitemoe import granite_moe
from sparsecalc.read.fields import Fields

LINEAR = "linear_attention"
OLD_NAMES = {"mamba": LINEAR, "attention": FULL}


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    without(config, "mlp_bias")
    config.ignore("normalization_function", "position_embedding_type")
    bias = config.flag("attention_bias")
    full = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    recurrent = mamba2_mixer(config, hidden, config.size("mamba_expand") * hidden)
    shared = config.size("shared_intermediate_size", zero=True)
    feed_forward: DenseMlp | Moe = mlp(hidden, shared)
    if config.size("num_local_experts", required=True, zero=True):
        feed_forward = granite_moe(config, hidden, shared)
    config.ignore("num_experts_per_tok", "intermediate_size")
    layers = [
        Layer(mixers=(full if kind == FULL else recurrent,), feed_forwards=(feed_forward,), norms=norms(hidden))
        for kind in layer_kinds(config, count, LINEAR)
    ]
    return body(config, layers, hidden=hidden)


def mamba2_mixer(config: Fields, hidden: int, inner: int) -> Mamba2:
    """Mamba 2 by the keys that hybrid families share; mamba_d_head may be "auto"."""
    heads = config.size("mamba_n_heads")
    dim = inner // heads if config.raw("mamba_d_head") in ("auto", None) else config.size("mamba_d_head")
    if heads * dim != inner:
        config.refuse(f"mamba_n_heads ({heads}) times mamba_d_head ({dim}) is not the inner width {inner}")
    return Mamba2(
        hidden_size=hidden,
        num_heads=heads,
        head_dim=dim,
        state_size=config.size("mamba_d_state"),
        n_groups=config.size("mamba_n_groups"),
        conv_kernel=config.size("mamba_d_conv"),
        use_conv_bias=config.flag("mamba_conv_bias"),
        use_bias=config.flag("mamba_proj_bias"),
    )


def layer_kinds(config: Fields, count: int, default: str) -> list[str]:
    """layer_types by their present names, `default` in all layers where there are none."""
    found = config.per_layer("layer_types", count, (*OLD_NAMES, *OLD_NAMES.values()))
    return [OLD_NAMES.get(kind, kind) for kind in found or [default] * count]
