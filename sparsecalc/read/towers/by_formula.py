"""Vision towers that transformers does not have: Kimi K3, DeepSeek-V4.1 and Step 3, with their projectors.

vLLM 0.33.0 kimi_k25_vit.py and step3_vl.py; SGLang 0.5.23 deepseek_v41_vit.py.
"""

from sparsecalc.read.fields import Fields
from sparsecalc.read.towers.shapes import Pieces, transformer_layers


def kimi_k3(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """MoonViT with heads of their own width, RMSNorms and biases where switched on; two maps and a norm behind."""
    pieces, hidden, patch = Pieces(), config.size("vt_hidden_size"), config.size("patch_size")
    if (config.raw("mm_projector_type"), config.raw("mlp_type")) != ("patchmergerv2", "mlp2"):
        config.refuse("mm_projector_type or mlp_type is not the one that is known", "Known: patchmergerv2 and mlp2")
    inner = config.optional_size("qkv_hidden_size") or hidden
    width, count = config.size("vt_intermediate_size"), config.layers("vt_num_hidden_layers")
    norm = hidden if config.raw("norm_type") == "rmsnorm" else 2 * hidden
    heads, plain = config.flag("attn_bias"), config.flag("linear_bias")
    pieces.linear("patch_embed", 3 * patch * patch, hidden, bias=config.flag("patch_embed_proj_bias"))
    pieces.add("pos_emb", 1, config.size("init_pos_emb_height") * config.size("init_pos_emb_width"), hidden)
    pieces.linear("layers.wqkv", hidden, inner, count=3 * count, bias=heads)
    pieces.linear("layers.wo", inner, hidden, count=count, bias=heads)
    pieces.linear("layers.mlp.fc0", hidden, width, count=count, bias=plain)
    pieces.linear("layers.mlp.fc1", width, hidden, count=count, bias=plain)
    kernel = config.integers("merge_kernel_size")
    if len(kernel) != 2:
        config.refuse("merge_kernel_size is not a pair of numbers")
    merged = hidden * kernel[0] * kernel[1]
    pieces.vector("norms", norm * (2 * count + 1) + text_hidden)
    pieces.linear("projector.linear_1", merged, merged, bias=False)
    pieces.linear("projector.linear_2", merged, text_hidden, bias=False)
    return pieces


def deepseek_v41(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Patches with bias, layers of attention with biases, a gated MLP without and RMSNorms; two maps with biases."""
    pieces, hidden, patch = Pieces(), config.size("hidden_size"), config.size("patch_size")
    width, count = config.size("intermediate_size"), config.layers()
    pieces.linear("patch_embed", 3 * patch * patch, hidden)
    pieces.linear("blocks.attention", hidden, hidden, count=4 * count)
    pieces.linear("blocks.mlp.w1", hidden, width, count=2 * count, bias=False)
    pieces.linear("blocks.mlp.w2", width, hidden, count=count, bias=False)
    pieces.vector("norms", hidden * (2 * count + 1))
    pieces.linear("aligner.w1", hidden * config.size("downsample_ratio") ** 2, text_hidden)
    pieces.linear("aligner.w2", text_hidden, text_hidden)
    return pieces


def step3(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """A class token, patches and layers with biases, a table; convolutions of 2 x 2 and 3 x 3, and one map."""
    pieces, hidden, patch = Pieces(), config.size("hidden_size"), config.size("patch_size")
    width, out = config.size("intermediate_size"), config.size("output_hidden_size")
    pieces.linear("patch_embedding", config.size("num_channels") * patch * patch, hidden)
    pieces.vector("class_embedding", hidden)
    pieces.add("position_embedding", 1, (config.size("image_size") // patch) ** 2 + 1, hidden)
    transformer_layers(pieces, config.layers(), hidden, width, bias=True, norm=4 * hidden)
    pieces.linear("downsampler1", 2 * 2 * hidden, out)
    pieces.linear("downsampler2", 3 * 3 * out, 2 * out)
    pieces.linear("projector", 2 * out, text_hidden, bias=outer.flag("projector_bias"))
    return pieces
