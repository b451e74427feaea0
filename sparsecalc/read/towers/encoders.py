"""SigLIP, CLIP and Pixtral encoders, and the projectors of the models that share them (transformers 5.24.0)."""

from sparsecalc.read.fields import Fields
from sparsecalc.read.towers.shapes import Pieces, transformer_layers


def siglip(config: Fields, *, head: bool = False, always: bool = False) -> Pieces:
    """Patches with bias, a table of positions, layers with biases, a norm; `head`: the pooling head, where it is on.

    `always`: it is, as in towers whose configs have no switch for it.
    """
    pieces, hidden, width = Pieces(), config.size("hidden_size"), config.size("intermediate_size")
    patch, count = config.size("patch_size"), config.layers()
    pieces.linear("patch_embedding", config.size("num_channels") * patch * patch, hidden)
    pieces.add("position_embedding", 1, (config.size("image_size") // patch) ** 2, hidden)
    transformer_layers(pieces, count, hidden, width, bias=True, norm=4 * hidden)
    pieces.vector("post_layernorm", 2 * hidden)
    if head and (always or config.flag("vision_use_head")):
        pieces.vector("head.probe", hidden)
        pieces.linear("head.attention", hidden, hidden, count=4)
        pieces.linear("head.mlp.fc1", hidden, width)
        pieces.linear("head.mlp.fc2", width, hidden)
        pieces.vector("head.layernorm", 2 * hidden)
    return pieces


def clip(config: Fields) -> Pieces:
    """A class token, patches without bias, a table of positions, layers with biases, a norm before and behind."""
    pieces, hidden, patch = Pieces(), config.size("hidden_size"), config.size("patch_size")
    pieces.linear("patch_embedding", config.size("num_channels") * patch * patch, hidden, bias=False)
    pieces.vector("class_embedding", hidden)
    pieces.add("position_embedding", 1, (config.size("image_size") // patch) ** 2 + 1, hidden)
    transformer_layers(pieces, config.layers(), hidden, config.size("intermediate_size"), bias=True, norm=4 * hidden)
    pieces.vector("norms", 4 * hidden)
    return pieces


def pixtral(config: Fields) -> Pieces:
    """Patches, a norm, and layers as Llama's without biases."""
    pieces, hidden, patch = Pieces(), config.size("hidden_size"), config.size("patch_size")
    pieces.linear("patch_conv", config.size("num_channels") * patch * patch, hidden, bias=False)
    pieces.vector("ln_pre", hidden)
    width = config.size("intermediate_size")
    transformer_layers(pieces, config.layers(), hidden, width, bias=False, norm=2 * hidden, gated=True)
    return pieces


def _siglip_with_head(config: Fields) -> Pieces:
    return siglip(config, head=True)


ENCODERS = {"clip_vision_model": clip, "siglip_vision_model": _siglip_with_head, "pixtral": pixtral}


def llava(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """The encoder that vision_config names, and two linear maps; several feature layers stand side by side."""
    pieces = ENCODERS[config.model_type](config)
    chosen = outer.raw("vision_feature_layer")
    inputs = config.size("hidden_size") * (len(chosen) if isinstance(chosen, list) else 1)
    bias = outer.flag("multimodal_projector_bias", default=True)
    pieces.linear("projector.linear_1", inputs, text_hidden, bias=bias)
    pieces.linear("projector.linear_2", text_hidden, text_hidden, bias=bias)
    return pieces


def mistral3(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Pixtral; a norm, patches merged s x s, and two linear maps."""
    pieces, hidden, merge = pixtral(config), config.size("hidden_size"), outer.size("spatial_merge_size", default=2)
    bias = outer.flag("multimodal_projector_bias", default=False)
    pieces.vector("projector.norm", hidden)
    pieces.linear("projector.merging_layer", hidden * merge * merge, hidden, bias=False)
    pieces.linear("projector.linear_1", hidden, text_hidden, bias=bias)
    pieces.linear("projector.linear_2", text_hidden, text_hidden, bias=bias)
    return pieces


def paligemma(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """SigLIP, its pooling head where vision_use_head is on, and one linear map to the text's width."""
    pieces = siglip(config, head=True)
    pieces.linear("projector", config.size("hidden_size"), text_hidden)
    return pieces


def llava_next(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """LLaVA's, and a token that ends a line of the image."""
    pieces = llava(config, outer, text_hidden)
    pieces.vector("image_newline", text_hidden)
    return pieces


def aya_vision(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Cohere's, with a norm of the merged patches before it."""
    pieces = cohere2_vision(config, outer, text_hidden)
    pieces.vector("projector.layernorm", 2 * config.size("hidden_size") * outer.size("downsample_factor") ** 2)
    return pieces


def cohere2_vision(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """SigLIP with its pooling head where vision_use_head is on; patches merged d x d, and two maps gated between."""
    pieces, merged = siglip(config, head=True), config.size("hidden_size") * outer.size("downsample_factor") ** 2
    width = outer.optional_size("alignment_intermediate_size") or text_hidden
    pieces.linear("projector.linear_1", merged, width)
    pieces.linear("projector.linear_2", width // 2, text_hidden)
    return pieces


def idefics3(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """SigLIP without the pooling head; patches merged scale_factor x scale_factor, and one matrix."""
    pieces, merged = siglip(config), config.size("hidden_size") * outer.size("scale_factor") ** 2
    pieces.linear("connector", merged, text_hidden, bias=False)
    return pieces
