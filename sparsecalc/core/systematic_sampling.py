"""Random selections of experts that have given probabilities."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_ROUNDING = 1e-9
"""By how much a sum of probabilities may miss a whole number."""


def sampled_experts(inclusion: Sequence[float], tokens: int, random: "np.random.Generator") -> "npt.NDArray[np.int64]":
    """The experts that `tokens` tokens select at random, those of the first token first, as one flat array.

    Expert e is among a token's with probability inclusion[e], and never twice. A token selects k of them, the sum of
    the probabilities; where that is not whole, as many as the next lower or the next higher whole number.

    Systematic sampling: each token puts the experts in a random order, and takes those on which one of the points u,
    u + 1, u + 2, ... falls when their probabilities are laid end to end, u uniform between 0 and 1.
    Source: Madow, On the theory of systematic sampling, II, Ann. Math. Statist. 20 (1949).
    """
    import numpy as np

    probabilities = np.asarray(inclusion, float)
    total = float(probabilities.sum())
    order = random.random((tokens, probabilities.size)).argsort(axis=1)
    ends = np.cumsum(probabilities[order], axis=1)
    ends[:, -1] = round(total) if abs(total - round(total)) < _ROUNDING else total
    points = np.floor(ends + random.random((tokens, 1)))
    return order[np.diff(points, axis=1, prepend=0) > 0]
