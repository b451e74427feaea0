"""Vision towers of InternVL, Phi-4, DeepSeek-VL2, MiniMax-M3, HunYuan, ERNIE, Step and Muse, with their projectors.

transformers 5.24.0; InternVL's and DeepSeek's own formats after vLLM 0.33.0 intern_vit.py and deepseek_vl2.py.
"""

from sparsecalc.read.fields import Fields
from sparsecalc.read.towers.encoders import siglip
from sparsecalc.read.towers.shapes import Pieces, side, transformer_layers


def internvl(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """InternViT in transformers' names; a norm and two maps from patches merged as downsample_ratio says."""
    qkv, norms, rms = config.flag("attention_bias"), config.flag("use_qk_norm"), config.raw("norm_type") == "rms_norm"
    pieces, hidden = _intern_vit(config, qkv_bias=qkv, qk_norm=norms, rms=rms), config.size("hidden_size")
    if config.flag("use_mask_token"):
        pieces.vector("mask_token", hidden)
    return _intern_projector(pieces, outer, hidden, text_hidden)


def internvl_chat(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """InternViT in its own names, with the same projector."""
    qkv, norms, rms = config.flag("qkv_bias"), config.flag("qk_normalization"), config.raw("norm_type") == "rms_norm"
    pieces = _intern_vit(config, qkv_bias=qkv, qk_norm=norms, rms=rms)
    return _intern_projector(pieces, outer, config.size("hidden_size"), text_hidden)


def _intern_vit(config: Fields, *, qkv_bias: bool, qk_norm: bool, rms: bool) -> Pieces:
    """A class token, patches with bias, a table; layers with two scales of H, and norms of all queries and keys."""
    pieces, hidden, width = Pieces(), config.size("hidden_size"), config.size("intermediate_size")
    patch, count = side(config, "patch_size"), config.layers()
    positions = (side(config, "image_size") // patch) ** 2 + 1
    pieces.linear("patch_embedding", config.size("num_channels") * patch * patch, hidden)
    pieces.vector("class_embedding", hidden)
    pieces.add("position_embedding", 1, positions, hidden)
    pieces.linear("layers.qkv", hidden, hidden, count=3 * count, bias=qkv_bias)
    pieces.linear("layers.proj", hidden, hidden, count=count)
    pieces.linear("layers.mlp.fc1", hidden, width, count=count)
    pieces.linear("layers.mlp.fc2", width, hidden, count=count)
    pieces.vector("layers.norms", count * hidden * ((2 if rms else 4) + 2 + 2 * qk_norm))
    return pieces


def _intern_projector(pieces: Pieces, outer: Fields, hidden: int, text_hidden: int) -> Pieces:
    merged = hidden * round(1 / outer.number("downsample_ratio", default=0.5)) ** 2
    pieces.vector("projector.norm", 2 * merged)
    pieces.linear("projector.linear_1", merged, text_hidden)
    pieces.linear("projector.linear_2", text_hidden, text_hidden)
    return pieces


def phi4(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """SigLIP with its pooling head, two learned features, and two maps. LoRA weights of its files are not counted."""
    pieces, hidden = siglip(config, head=True, always=True), config.size("hidden_size")
    pieces.vector("feature_extensors", 2 * hidden)
    pieces.linear("projector.up", hidden, text_hidden)
    pieces.linear("projector.down", text_hidden, text_hidden)
    return pieces


def deepseek_vl2(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """SigLIP with its pooling head as timm has it, a projector of `depth` maps, and two tokens that part the image."""
    pieces = siglip(config, head=True, always=True)
    given = outer.raw("projector_config")
    projector = Fields(given if isinstance(given, dict) else {}, "mlp_projector", where=config.where, nested=True)
    if projector.raw("projector_type", default="downsample_mlp_gelu") != "downsample_mlp_gelu":
        config.refuse("projector_type of projector_config is not downsample_mlp_gelu, the one that is known")
    ratio, depth = projector.size("downsample_ratio", default=2), projector.size("depth", default=2)
    wide = text_hidden * projector.size("mlp_ratio", default=1)
    pieces.linear("projector.0", config.size("hidden_size") * ratio * ratio, wide)
    pieces.linear("projector.mid", wide, wide, count=depth - 2)
    pieces.linear("projector.last", wide, text_hidden)
    pieces.vector("image_newline", 2 * text_hidden)
    return pieces


def minimax_m3(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Patches of frames without bias, a norm, layers with biases; two MLPs: of each patch, and of s x s merged."""
    pieces, hidden, count = Pieces(), config.size("hidden_size"), config.layers()
    inner = config.raw("img_token_compression_config")
    merging = Fields(inner if isinstance(inner, dict) else {}, "", where=config.where, nested=True)
    frames = merging.size("temporal_patch_size", default=config.size("temporal_patch_size"))
    merge = merging.size("spatial_merge_size", default=config.size("spatial_merge_size"))
    patch, width = config.size("patch_size"), config.size("intermediate_size")
    pieces.linear("patch_embedding", config.size("num_channels") * frames * patch * patch, hidden, bias=False)
    pieces.vector("pre_layernorm", 2 * hidden)
    transformer_layers(pieces, count, hidden, width, bias=True, norm=4 * hidden)
    wide = outer.optional_size("projector_hidden_size") or text_hidden
    pieces.linear("projector.linear_1", hidden, wide)
    pieces.linear("projector.merge_linear_1", text_hidden * merge * merge, wide)
    pieces.linear("projector.linear_2", wide, text_hidden, count=2)
    return pieces


def hunyuan(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Patches, a table of max_image_size and one more, layers with biases; two convolutions, a map and four tokens."""
    pieces, hidden, patch = Pieces(), config.size("hidden_size"), config.size("patch_size")
    merge, out = config.size("spatial_merge_size"), config.size("text_hidden_size", default=text_hidden)
    pieces.linear("patch_embedding", config.size("num_channels") * patch * patch, hidden)
    pieces.add("position_embedding", 1, (config.size("max_image_size") // patch) ** 2 + 1, hidden)
    width = config.size("intermediate_size")
    transformer_layers(pieces, config.layers(), hidden, width, bias=True, norm=4 * hidden)
    pieces.linear("merger.proj_conv", hidden * merge * merge, 2 * hidden)
    pieces.linear("merger.proj_out", 2 * hidden, 4 * hidden)
    pieces.linear("merger.mlp", 4 * hidden, out)
    pieces.vector("merger.norms", 5 * hidden + 4 * out)
    return pieces


def ernie(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Patches without bias, layers with biases, a norm; maps of s x s patches, then of t frames; one to the text."""
    pieces, hidden, patch = Pieces(), config.size("hidden_size"), config.size("patch_size")
    ratio = config.raw("mlp_ratio") if config.has("mlp_ratio") and not config.has("intermediate_size") else None
    width = int(hidden * config.number("mlp_ratio")) if ratio else config.size("intermediate_size")
    merged = hidden * config.size("spatial_merge_size") ** 2
    pieces.linear("patch_embed", config.size("in_channels") * patch * patch, hidden, bias=False)
    transformer_layers(pieces, config.layers("depth"), hidden, width, bias=True, norm=4 * hidden)
    pieces.vector("norms", 2 * hidden + 4 * merged + text_hidden)
    pieces.linear("resampler.spatial.fc1", merged, merged)
    pieces.linear("resampler.temporal.fc1", merged * config.size("temporal_merge_size"), merged)
    pieces.linear("resampler.fc2", merged, merged, count=2)
    pieces.linear("resampler.mlp", merged, text_hidden)
    return pieces


def step3p7(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Patches without bias, a table, a norm, layers with biases and two scales; two convolutions of 3 x 3; one map."""
    pieces, hidden, patch = Pieces(), config.size("hidden_size"), config.size("patch_size")
    pieces.linear("patch_embedding", config.size("num_channels") * patch * patch, hidden, bias=False)
    pieces.add("position_embedding", 1, (config.size("image_size") // patch) ** 2, hidden)
    pieces.vector("pre_layernorm", 2 * hidden)
    width = int(hidden * config.number("mlp_ratio"))  # wins over intermediate_size
    transformer_layers(pieces, config.layers(), hidden, width, bias=True, norm=6 * hidden)
    pieces.linear("downsampler1", 9 * hidden, 2 * hidden)
    pieces.linear("downsampler2", 9 * 2 * hidden, 4 * hidden)
    pieces.linear("projector", 4 * hidden, text_hidden, bias=outer.flag("projector_bias"))
    return pieces


def muse_glimmer(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Patches of frames without bias, a table, layers with biases, a norm before and behind; three maps."""
    pieces, hidden, patch = Pieces(), config.size("hidden_size"), config.size("patch_size")
    height, width = config.size("pos_emb_height"), config.size("pos_emb_width")
    pieces.linear("patch_embedding", 3 * config.size("patch_temporal") * patch * patch, hidden, bias=False)
    pieces.add("position_embedding", 1, height * width, hidden)
    inner = config.size("intermediate_size")
    transformer_layers(pieces, config.layers(), hidden, inner, bias=True, norm=4 * hidden)
    pieces.vector("norms", 4 * hidden)
    wide = outer.size("projector_hidden_size")
    pieces.linear("adapter.fc1", outer.size("out_hidden_size"), wide, bias=False)
    pieces.linear("adapter.fc2", wide, wide, bias=False)
    pieces.linear("projection", wide, text_hidden, bias=False)
    return pieces
