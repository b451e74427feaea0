"""LFM2: gated short convolutions and attention with norms per head, by layer_types; the MLP's width is derived."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, Body, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.recurrent import CONV, lfm2_layer_types, lfm2_mixers, lfm2_tie


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    config.ignore("block_mlp_init_scale", "block_norm_eps", "block_out_init_scale", "block_use_xavier_init")
    config.ignore("conv_use_xavier_init", "theta")
    full, conv = lfm2_mixers(config, hidden)
    heads = full.num_attention_heads
    fixed(config, block_dim=hidden, num_heads=heads, block_use_swiglu=True, use_pos_enc=True)
    fixed(config, conv_dim=hidden, conv_dim_out=hidden)
    dense = mlp(hidden, _width(config))
    layers = [
        Layer(mixers=(full if kind == FULL else conv,), feed_forwards=(dense,), norms=norms(hidden))
        for kind in _layer_kinds(config, count)
    ]
    return body(config, layers, hidden=hidden, tied=lfm2_tie(config))


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
    kinds = lfm2_layer_types(config, count)
    places = set(config.integers("full_attn_idxs")) if config.has("full_attn_idxs") else set(range(count))
    return kinds or [FULL if index in places else CONV for index in range(count)]
