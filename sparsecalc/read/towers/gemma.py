"""Gemma 3's and Gemma 4's vision towers with their projectors (transformers 5.24.0)."""

from typing import Any

from sparsecalc.read.fields import Fields
from sparsecalc.read.towers.encoders import siglip
from sparsecalc.read.towers.shapes import Pieces


def gemma3(config: Fields, outer: dict[str, Any], text_hidden: int) -> Pieces:
    """SigLIP, its pooling head where vision_use_head is on; a norm and one matrix to the text's width."""
    pieces, hidden = siglip(config, head=True), config.size("hidden_size")
    pieces.vector("projector.norm", hidden)
    pieces.linear("projector", hidden, text_hidden, bias=False)
    return pieces


def gemma4(config: Fields, outer: dict[str, Any], text_hidden: int) -> Pieces:
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
