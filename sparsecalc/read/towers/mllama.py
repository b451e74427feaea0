"""Llama 3.2's vision tower with its projector (transformers 5.24.0). Its cross-attention is of the text decoder."""

from sparsecalc.read.fields import Fields
from sparsecalc.read.towers.shapes import Pieces


def read(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Patches and a class token; tables of positions, of tiles and of both; two stacks of layers, the second gated.

    A table of tiles has a row for each aspect ratio and one more, each of max_num_tiles * (positions) * H.
    """
    pieces, hidden, patch = Pieces(), config.size("hidden_size"), config.size("patch_size")
    ratios = config.raw("supported_aspect_ratios")
    if not isinstance(ratios, list) or not ratios:
        config.refuse("supported_aspect_ratios is not a list of pairs")
    rows, tiles = len(ratios) + 1, config.size("max_num_tiles")
    positions = (config.size("image_size") // patch) ** 2 + 1
    pieces.linear("patch_embedding", config.size("num_channels") * patch * patch, hidden, bias=False)
    pieces.vector("class_embedding", hidden)
    pieces.add("gated_positional_embedding", 1, positions, hidden, vectors=3)
    pieces.add("tile_embedding", 1, rows, tiles * positions * hidden)
    pieces.add("tile_positional_embedding", 2, rows, tiles * hidden)
    pieces.vector("norms", 4 * hidden)
    _stack(pieces, config, "transformer", config.layers(), gates=0)
    _stack(pieces, config, "global_transformer", config.layers("num_global_layers"), gates=2)
    pieces.linear("projector", config.size("vision_output_dim"), text_hidden)
    return pieces


def _stack(pieces: Pieces, config: Fields, name: str, count: int, *, gates: int) -> None:
    """`count` layers: attention without biases, a plain MLP with them, two LayerNorms and the gates."""
    hidden, width = config.size("hidden_size"), config.size("intermediate_size")
    pieces.linear(f"{name}.attention", hidden, hidden, count=4 * count, bias=False)
    pieces.linear(f"{name}.mlp.fc1", hidden, width, count=count)
    pieces.linear(f"{name}.mlp.fc2", width, hidden, count=count)
    pieces.vector(f"{name}.norms", count * (4 * hidden + gates))
