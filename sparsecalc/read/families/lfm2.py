"""LFM2: gated short convolutions and attention with norms per head, by layer_types; the MLP's width is derived."""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.recurrent import ShortConv
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, Body, attention, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields

CONV = "conv"


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    config.ignore("block_mlp_init_scale", "block_norm_eps", "block_out_init_scale", "block_use_xavier_init")
    config.ignore("conv_use_xavier_init", "theta")
    full, conv = conv_mixers(config, hidden)
    heads = full.num_attention_heads
    fixed(config, block_dim=hidden, num_heads=heads, block_use_swiglu=True, use_pos_enc=True)
    fixed(config, conv_dim=hidden, conv_dim_out=hidden)
    dense = mlp(hidden, _width(config))
    layers = [
        Layer(mixers=(full if kind == FULL else conv,), feed_forwards=(dense,), norms=norms(hidden))
        for kind in _layer_kinds(config, count)
    ]
    return body(config, layers, hidden=hidden, tied=tie(config))


def conv_mixers(config: Fields, hidden: int) -> tuple[Gqa, ShortConv]:
    """The two mixers of all LFM2 models."""
    full = attention(config, hidden)
    conv = ShortConv(hidden_size=hidden, conv_kernel=config.size("conv_L_cache"), conv_bias=config.flag("conv_bias"))
    return full.but(qk_norm=2 * full.head_dim), conv


def tie(config: Fields) -> bool:
    """tie_embedding, the older name, wins."""
    config.ignore("tie_word_embeddings")
    return config.flag("tie_embedding") if config.has("tie_embedding") else config.flag("tie_word_embeddings")


def _width(config: Fields) -> int:
    """block_ff_dim (the older name, which wins) or intermediate_size; adjusted: 2/3 of it, scaled and rounded up."""
    width = config.size("block_ff_dim" if config.has("block_ff_dim") else "intermediate_size", required=True)
    config.ignore("intermediate_size")
    adjust, multiplier = config.flag("block_auto_adjust_ff_dim"), config.raw("block_ffn_dim_multiplier")
    unit = config.size("block_multiple_of")
    if not adjust:
        return width
    width = int(2 * width / 3)
    if multiplier is None:
        return width
    width = int(config.number("block_ffn_dim_multiplier") * width)
    if width < 1:
        config.refuse("block_ffn_dim_multiplier times the MLP's width is not positive")
    return unit * -(-width // unit)


def _layer_kinds(config: Fields, count: int) -> list[str]:
    """layer_types, or attention where full_attn_idxs says (in all layers where there is neither)."""
    kinds = layer_types(config, count)
    places = set(config.integers("full_attn_idxs")) if config.has("full_attn_idxs") else set(range(count))
    return kinds or [FULL if index in places else CONV for index in range(count)]


def layer_types(config: Fields, count: int) -> list[str] | None:
    """layer_types with attention by its present name."""
    kinds = config.per_layer("layer_types", count, (CONV, FULL, "attention"))
    return kinds and [FULL if kind == "attention" else kind for kind in kinds]
