"""Vision towers of Qwen2-VL to Qwen3.5, Omni too, and of EXAONE 4.5, with their mergers (transformers 5.24.0)."""

from sparsecalc.read.fields import Fields
from sparsecalc.read.towers.shapes import Pieces, transformer_layers

DEEPSTACK = ("qwen3_vl_vision", "qwen3_omni_moe_vision_encoder")


def _patches(pieces: Pieces, config: Fields, hidden: int, *, bias: bool) -> None:
    """A convolution over frames, height and width."""
    channels = "in_channels" if config.has("in_channels") or not config.has("in_chans") else "in_chans"
    inputs = config.size(channels, default=3) * config.size("temporal_patch_size") * config.size("patch_size") ** 2
    pieces.linear("patch_embed", inputs, hidden, bias=bias)


def _merger(pieces: Pieces, config: Fields, hidden: int, out: int, *, norm: int, count: int = 1) -> None:
    """`count` mergers of s x s patches: a norm and two linear maps with biases."""
    merged = hidden * config.size("spatial_merge_size") ** 2
    pieces.vector("merger.norm", norm * count)
    pieces.linear("merger.fc1", merged, merged, count=count)
    pieces.linear("merger.fc2", merged, out, count=count)


def qwen2_vl(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Layers with LayerNorms and a plain MLP of embed_dim * mlp_ratio."""
    pieces, hidden = Pieces(), config.size("embed_dim")
    _patches(pieces, config, hidden, bias=False)
    width = int(hidden * config.number("mlp_ratio"))
    transformer_layers(pieces, config.layers("depth"), hidden, width, bias=True, norm=4 * hidden)
    _merger(pieces, config, hidden, config.size("hidden_size"), norm=2 * hidden)
    return pieces


def qwen2_5_vl(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Layers with RMSNorms and a gated MLP, all with biases."""
    pieces, hidden = Pieces(), config.size("hidden_size")
    _patches(pieces, config, hidden, bias=False)
    width, count = config.size("intermediate_size"), config.layers("depth")
    transformer_layers(pieces, count, hidden, width, bias=True, norm=2 * hidden, gated=True)
    _merger(pieces, config, hidden, config.size("out_hidden_size"), norm=hidden)
    return pieces


def exaone4_5(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Qwen2.5-VL's, with fewer heads of keys and values."""
    pieces, hidden = qwen2_5_vl(config, outer, text_hidden), config.size("hidden_size")
    heads, kv_heads = config.size("num_heads"), config.size("num_key_value_heads")
    count = config.layers("depth")
    found = Pieces([piece for piece in pieces.stored if piece.name != "layers.attention"])
    found.linear("layers.attention", hidden, hidden, count=2 * count)
    found.linear("layers.attention.kv", hidden, hidden // heads * kv_heads, count=2 * count)
    return found


def qwen3_vl(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Qwen2-VL's layers with a table of positions; one more merger for each layer in deepstack_visual_indexes."""
    pieces, hidden = Pieces(), config.size("hidden_size")
    _patches(pieces, config, hidden, bias=True)
    pieces.add("pos_embed", 1, config.size("num_position_embeddings"), hidden)
    width, out = config.size("intermediate_size"), config.size("out_hidden_size")
    transformer_layers(pieces, config.layers("depth"), hidden, width, bias=True, norm=4 * hidden)
    _merger(pieces, config, hidden, out, norm=2 * hidden)
    deep = len(config.integers("deepstack_visual_indexes")) if config.model_type in DEEPSTACK else 0
    if deep:
        merged = 2 * hidden * config.size("spatial_merge_size") ** 2
        _merger(pieces, config, hidden, out, norm=merged, count=deep)
    return pieces
