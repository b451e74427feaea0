"""MoonViT of Kimi-VL and Kimi K2.5 with its projector (vLLM 0.33.0 moonvit.py, kimi_vl.py, kimi_k25_vit.py)."""

from sparsecalc.read.fields import Fields
from sparsecalc.read.towers.shapes import Pieces, transformer_layers


def kimi_k25(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """MoonViT under K2.5's names, or transformers'; its norm may have another width, mm_hidden_size."""
    own = config.has("vt_hidden_size")
    names = ("vt_hidden_size", "vt_intermediate_size", "vt_num_hidden_layers", "init_pos_emb")
    if not own:
        names = ("hidden_size", "intermediate_size", "num_hidden_layers", "pos_emb")
    norm = config.optional_size("mm_hidden_size") if own else outer.optional_size("projection_hidden_size")
    return _moonvit(config, names, norm, text_hidden)


def kimi_vl(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """MoonViT under Kimi-VL's names."""
    return _moonvit(
        config, ("hidden_size", "intermediate_size", "num_hidden_layers", "init_pos_emb"), None, text_hidden
    )


def _moonvit(config: Fields, names: tuple[str, str, str, str], norm: int | None, text_hidden: int) -> Pieces:
    """Patches with bias, positions of height x width (of time: fixed), layers with biases, a norm, two maps."""
    pieces, hidden, patch = Pieces(), config.size(names[0]), config.size("patch_size")
    pieces.linear("patch_embed", 3 * patch * patch, hidden)
    pieces.add("pos_emb", 1, config.size(f"{names[3]}_height") * config.size(f"{names[3]}_width"), hidden)
    layers, wide = config.layers(names[2]), config.size(names[1])
    transformer_layers(pieces, layers, hidden, wide, bias=True, norm=4 * hidden)
    kernel = config.integers("merge_kernel_size")
    if len(kernel) != 2:
        config.refuse("merge_kernel_size is not a pair of numbers")
    merged = hidden * kernel[0] * kernel[1]
    pieces.vector("norms", 2 * hidden + 2 * (norm or hidden))
    pieces.linear("projector.linear_1", merged, merged)
    pieces.linear("projector.linear_2", merged, text_hidden)
    return pieces
