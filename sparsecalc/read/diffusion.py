"""Models that write by denoising: what a step of theirs stands for."""

from sparsecalc.read.fields import Fields


def note_blocks(config: Fields) -> None:
    """Block diffusion keeps a cache of the blocks before; a block takes several steps over all of its tokens."""
    text = "writes by denoising a block at a time: a step here is one pass over one token, a block takes several passes"
    config.note("diffusion", f"{text} over all of its tokens")


def note_whole(config: Fields) -> None:
    """Masked diffusion over the whole text: each step is a pass over prompt and answer together, without a cache."""
    text = "writes by denoising: a step of generation is a pass over prompt and answer together, as prefill counts it"
    config.note("diffusion", f"{text}, without a cache; decode figures do not apply")
