"""Vision towers of Gemma 3, 3n and 4 with their projectors (transformers 5.24.0; MobileNetV5 by timm 1.0.31)."""

from sparsecalc.core.text import printable
from sparsecalc.data_files import read_data
from sparsecalc.read.fields import Fields
from sparsecalc.read.towers.encoders import siglip
from sparsecalc.read.towers.shapes import Pieces


def gemma3(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """SigLIP, its pooling head where vision_use_head is on; a norm and one matrix to the text's width."""
    pieces, hidden = siglip(config, head=True), config.size("hidden_size")
    pieces.vector("projector.norm", hidden)
    pieces.linear("projector", hidden, text_hidden, bias=False)
    return pieces


def gemma4(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """Patches, two tables of positions, layers with four norms and norms of queries and keys, one matrix to the text.

    Limits of clipped linear maps are buffers, as are the mean and deviation of `standardize`.
    """
    pieces, hidden, patch = Pieces(), config.size("hidden_size"), config.size("patch_size")
    width, count, dim = config.size("intermediate_size"), config.layers(), config.size("head_dim")
    heads, kv_heads = config.heads()
    pieces.linear("patch_embedder", 3 * patch * patch, hidden, bias=False)
    pieces.add("position_embedding_table", 2, config.size("position_embedding_size"), hidden)
    pieces.linear("layers.q_proj", hidden, heads * dim, count=count, bias=False)
    pieces.linear("layers.kv_proj", hidden, kv_heads * dim, count=2 * count, bias=False)
    pieces.linear("layers.o_proj", heads * dim, hidden, count=count, bias=False)
    pieces.linear("layers.mlp.up", hidden, width, count=2 * count, bias=False)
    pieces.linear("layers.mlp.down", width, hidden, count=count, bias=False)
    pieces.vector("layers.norms", count * (4 * hidden + 2 * dim))
    pieces.linear("projector", hidden, text_hidden, bias=False)
    return pieces


def gemma3n(config: Fields, outer: Fields, text_hidden: int) -> Pieces:
    """MobileNetV5 of the size that `architecture` names; a table of soft tokens, two norms, a map to the text."""
    pieces, hidden, name = Pieces(), config.size("hidden_size"), str(config.raw("architecture"))
    if name not in (known := read_data("tower_defaults.json")["others"]["convolutional"]["params"]):
        config.refuse(f"the architecture {printable(name, 60)} is not known", f"Known: {', '.join(known)}")
    pieces.vector(name, known[name])
    pieces.add("embedder.embedding", 1, config.size("vocab_size"), hidden, vectors=2 * hidden)
    pieces.linear("embedder.projection", hidden, text_hidden, bias=False)
    return pieces
