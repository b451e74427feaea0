"""MoonViT as Kimi K2.5 has it, with its projector (vLLM 0.33.0 kimi_k25_vit.py)."""

from typing import Any

from sparsecalc.read.fields import Fields
from sparsecalc.read.towers.shapes import Pieces, transformer_layers


def read(config: Fields, outer: dict[str, Any], text_hidden: int) -> Pieces:
    """Patches with bias, positions of height x width (of time: fixed), layers with biases, a norm, two maps."""
    pieces, hidden, patch = Pieces(), config.size("vt_hidden_size"), config.size("patch_size")
    pieces.linear("patch_embed", 3 * patch * patch, hidden)
    height, width = config.size("init_pos_emb_height"), config.size("init_pos_emb_width")
    pieces.add("pos_emb", 1, height * width, hidden)
    layers, wide = config.layers("vt_num_hidden_layers"), config.size("vt_intermediate_size")
    transformer_layers(pieces, layers, hidden, wide, bias=True, norm=4 * hidden)
    kernel = config.integers("merge_kernel_size")
    if len(kernel) != 2:
        config.refuse("merge_kernel_size is not a pair of numbers")
    merged = hidden * kernel[0] * kernel[1]
    pieces.vector("norms", 2 * hidden + 2 * config.size("mm_hidden_size", default=hidden))
    pieces.linear("projector.linear_1", merged, merged)
    pieces.linear("projector.linear_2", merged, text_hidden)
    return pieces
