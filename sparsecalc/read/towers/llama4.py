"""Llama 4's vision tower, its adapter and projector (transformers 5.24.0)."""

from sparsecalc.read.fields import Fields
from sparsecalc.read.towers.shapes import Pieces, transformer_layers


def read(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Patches, a class token, positions, layers with biases; an adapter of two maps, and one to the text's width."""
    pieces, hidden, patch = Pieces(), config.size("hidden_size"), config.size("patch_size")
    width, adapted = config.size("intermediate_size"), config.size("projector_output_dim")
    pieces.linear("patch_embedding", config.size("num_channels") * patch * patch, hidden, bias=False)
    pieces.vector("class_embedding", hidden)
    pieces.add("positional_embedding_vlm", 1, (config.size("image_size") // patch) ** 2 + 1, hidden)
    transformer_layers(pieces, config.layers(), hidden, width, bias=True, norm=4 * hidden)
    pieces.vector("norms", 4 * hidden)
    pieces.linear("vision_adapter.fc1", width, config.size("projector_input_dim"), bias=False)
    pieces.linear("vision_adapter.fc2", adapted, adapted, bias=False)
    pieces.linear("projector", config.size("vision_output_dim"), text_hidden, bias=False)
    return pieces
