"""Looped models, which run their layers several times with the same weights; each pass has a cache of its own."""

from collections.abc import Sequence

from sparsecalc.model.spec import Layer
from sparsecalc.read.fields import Fields

MOST_PASSES = 64


def passes(config: Fields, key: str) -> int:
    """How often the layers run; told in a note, since the layers of the result are those that run."""
    count = config.size(key)
    if count > MOST_PASSES:
        config.refuse(f"{key} is {count}, more than {MOST_PASSES}", "Check the config")
    if count > 1:
        text = f"{key}={count}: the layers run {count} times with the same weights"
        config.note("looped-layers", f"{text}; parameters count once, FLOPs and cache for each pass")
    return count


def run_again(layers: Sequence[Layer], count: int) -> list[Layer]:
    """The layers, and `count` - 1 further passes through them."""
    return [*layers, *(layer.but(reused=True) for _ in range(count - 1) for layer in layers)]
