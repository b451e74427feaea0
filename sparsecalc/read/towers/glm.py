"""The vision towers of GLM-4V, GLM-OCR and GLM-5.3 with their mergers (transformers 5.24.0)."""

from sparsecalc.read.fields import Fields
from sparsecalc.read.towers.shapes import Pieces


def glm4v(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Positions in a table, layers of a gated MLP as wide as the output, without biases; two norms around them.

    The merger is as wide as intermediate_size.
    """
    hidden, out = config.size("hidden_size"), config.size("out_hidden_size")
    pieces = _blocks(config, width=out, biases=0, norms=0)
    if config.flag("attention_bias"):
        pieces.vector("blocks.qkv.bias", 3 * hidden * config.layers("depth"))
    pieces.add("position_embedding", 1, (config.size("image_size") // config.size("patch_size")) ** 2, hidden)
    pieces.vector("post_conv_layernorm", hidden)
    return _merged(pieces, config, config.size("intermediate_size"))


def glm_ocr(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """No table; layers with biases and norms of queries and keys; a merger as wide as out_hidden_size * in_channels."""
    return _merged(_with_head_norms(config), config, config.size("out_hidden_size") * config.size("in_channels"))


def glm5_next(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """GLM-OCR's layers, with a merger as wide as projection_intermediate_size."""
    return _merged(_with_head_norms(config), config, config.size("projection_intermediate_size"))


def _with_head_norms(config: Fields) -> Pieces:
    hidden, width = config.size("hidden_size"), config.size("intermediate_size")
    biases = 5 * hidden + 2 * width if config.flag("attention_bias") else 0
    return _blocks(config, width=width, biases=biases, norms=2 * (hidden // config.size("num_heads")))


def _blocks(config: Fields, *, width: int, biases: int, norms: int) -> Pieces:
    """Patches of frames with bias; layers of four H x H maps, a gated MLP and two RMSNorms; biases and more norms."""
    pieces, hidden, count = Pieces(), config.size("hidden_size"), config.layers("depth")
    inputs = config.size("in_channels") * config.size("temporal_patch_size") * config.size("patch_size") ** 2
    pieces.linear("patch_embed", inputs, hidden)
    pieces.linear("blocks.attention", hidden, hidden, count=4 * count, bias=False)
    pieces.linear("blocks.mlp.up", hidden, width, count=2 * count, bias=False)
    pieces.linear("blocks.mlp.down", width, hidden, count=count, bias=False)
    pieces.vector("blocks.norms", count * (2 * hidden + norms + biases))
    pieces.vector("post_layernorm", hidden)
    return pieces


def _merged(pieces: Pieces, config: Fields, width: int) -> Pieces:
    """A convolution of s x s patches to the output's width; a map, a LayerNorm and a gated MLP, without biases."""
    hidden, out = config.size("hidden_size"), config.size("out_hidden_size")
    pieces.linear("downsample", hidden * config.size("spatial_merge_size") ** 2, out)
    pieces.linear("merger.proj", out, out, bias=False)
    pieces.vector("merger.norm", 2 * out)
    pieces.linear("merger.up", out, width, count=2, bias=False)
    pieces.linear("merger.down", width, out, bias=False)
    return pieces
