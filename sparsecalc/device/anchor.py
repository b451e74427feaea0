"""What a few measured rows of a serving stack say of its other loads: the posterior of a Gaussian process.

A row's error is e = ln(measured / predicted), of its TPOT or TTFT. Before anything is measured it is normal around 0,

    cov(e_i, e_j) = scale^2 + shape^2 exp(-d_ij^2 / 2) + noise^2 [i = j]
    d_ij^2        = (log2 c_i / c_j)^2 / sequences_octaves^2 + split^2 / split_octaves^2 + [whole experts differ] / w^2

and the same of the prompts' mean length. c the sequences that run at once, split the distance in log2 of tp, pp and
dp, w `whole_experts`. The constants are data (data/anchor.json). Given rows, mean and deviation at other loads follow
in closed form (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, equations 2.25 and 2.26): near
the rows their own errors, far off 0.
"""

from collections.abc import Sequence
from functools import cache
from math import exp, log2
from typing import Any, Literal

from sparsecalc.core.arrays import Number, is_array
from sparsecalc.core.frozen import Frozen
from sparsecalc.data_files import read_data

MOST_SEQUENCES = 2**16
"""Where the curve of a placement ends; beyond, it stays as it is there."""


class AnchorPrior(Frozen):
    """How much stacks err, and how alike two loads of one stack err."""

    scale: float
    """Standard deviation of what a stack's loads and placements all have in common."""
    shape: float
    """Standard deviation of what only loads and placements near each other have in common."""
    noise: float
    """Standard deviation of a single row."""
    sequences_octaves: float
    """Doublings of the sequences after which exp(-1/2) of `shape` is still in common."""
    split_octaves: float
    """The same of the devices that a model is split over."""
    whole_experts: float
    """The same between experts that are split (1) and whole ones."""
    prompt_octaves: float = 1e6
    """The same of the prompts' mean length."""
    dense_share: float = 1.0
    """Deviations of a dense model's errors as a share of these, which are those of mixtures of experts."""

    def of(self, kind: str) -> "AnchorPrior":
        """The prior of one kind of model (`dense`, `moe`...): the same means, its own deviations."""
        share = self.dense_share if kind == "dense" else 1.0
        return self.but(**{name: getattr(self, name) * share for name in ("scale", "shape", "noise")}, dense_share=1.0)


@cache
def anchor_prior(of: Literal["tpot", "ttft"]) -> AnchorPrior:
    """The prior of TPOT's or TTFT's errors, learnt from whole stacks. Source: data/anchor.json."""
    return AnchorPrior(**read_data("anchor.json")["prior"][of])


class StackLoad(Frozen):
    """Where a row lies: the sequences that run at once, and how the devices share the model."""

    sequences: float
    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: int = 1
    prompt_len: float = 1024.0
    """Mean length of the prompts."""


class LoadCurve(Frozen):
    """What rows say of one placement: ln(measured / predicted) and its deviation, over the sequences of a step."""

    sequences: tuple[float, ...]
    log_factor: tuple[float, ...]
    spread: tuple[float, ...]

    def factor(self, sequences: Number) -> Number:
        """What seconds of a step with so many sequences are multiplied by; an array for an array."""
        value = self._at(sequences, self.log_factor)
        if is_array(sequences):
            import numpy as np

            return np.exp(value)
        return exp(value)

    def spread_at(self, sequences: Number) -> Number:
        """Standard deviation of ln(measured / predicted) after the factor."""
        return self._at(sequences, self.spread)

    def _at(self, sequences: Number, values: tuple[float, ...]) -> Number:
        import numpy as np

        found = np.interp(np.log2(np.maximum(sequences, 1)), np.log2(self.sequences), values)
        return found if is_array(sequences) else float(found)


def posterior(
    seen: Sequence[StackLoad], errors: Sequence[float], at: Sequence[StackLoad], prior: AnchorPrior
) -> tuple[list[float], list[float]]:
    """Mean of ln(measured / predicted) at other loads, and the standard deviation of a new row there.

    Without rows: 0, and the prior's own deviation.
    """
    import numpy as np

    variance = prior.scale**2 + prior.shape**2
    if not seen:
        return [0.0] * len(at), [(variance + prior.noise**2) ** 0.5] * len(at)
    own = covariance(seen, seen, prior) + prior.noise**2 * np.eye(len(seen))
    across = covariance(seen, at, prior)
    weights = np.linalg.solve(own, across)
    left = variance - (across * weights).sum(axis=0) + prior.noise**2
    return (weights.T @ np.asarray(errors)).tolist(), (np.maximum(left, prior.noise**2) ** 0.5).tolist()


def left_out_errors(seen: Sequence[StackLoad], errors: Sequence[float], prior: AnchorPrior) -> list[float]:
    """ln(measured / predicted) of each row, anchored by the others (Rasmussen and Williams, equation 5.12)."""
    import numpy as np

    inverse = np.linalg.inv(covariance(seen, seen, prior) + prior.noise**2 * np.eye(len(seen)))
    return list((inverse @ np.asarray(errors) / inverse.diagonal()).tolist())


def load_curve(seen: Sequence[StackLoad], errors: Sequence[float], place: StackLoad, prior: AnchorPrior) -> LoadCurve:
    """The posterior of one placement over the sequences, at half powers of two."""
    sequences = tuple(2 ** (step / 2) for step in range(2 * int(log2(MOST_SEQUENCES)) + 1))
    means, spreads = posterior(seen, errors, [place.but(sequences=count) for count in sequences], prior)
    return LoadCurve(sequences=sequences, log_factor=tuple(means), spread=tuple(spreads))


def covariance(first: Sequence[StackLoad], second: Sequence[StackLoad], prior: AnchorPrior) -> Any:
    """Covariance of the errors of rows of one stack, each with each, their noise left out."""
    import numpy as np

    one, other = (np.array([_coordinates(load, prior) for load in loads]) for loads in (first, second))
    squares = ((one[:, None, :] - other[None, :, :]) ** 2).sum(axis=-1)
    return prior.scale**2 + prior.shape**2 * np.exp(-squares / 2)


def _coordinates(load: StackLoad, prior: AnchorPrior) -> list[float]:
    split = [log2(ways) / prior.split_octaves for ways in (load.tp, load.pp, load.dp)]
    whole = (load.ep > 1) / prior.whole_experts
    prompt = log2(max(load.prompt_len, 1)) / prior.prompt_octaves
    return [log2(max(load.sequences, 1)) / prior.sequences_octaves, prompt, *split, whole]
