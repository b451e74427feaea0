"""What measured tests of one machine (llama-bench's pp512, tg128) say of other models, formats and lengths on it.

A test's error is e = ln(measured / predicted). Among tests of one phase on one machine it is normal around 0,

    cov(e_i, e_j) = machine^2 + kind^2 [same kind] + model^2 [same model] + quantized^2 [both or neither]
                    + length^2 exp(-(log2 l_i / l_j)^2 / (2 octaves^2)) + noise^2 [i = j]

kind: dense or a mixture of experts; quantized: weights of less than 16 bits, whose kernels are others; l: tokens of the
context. Decoding and prompts each have their widths, which are
data (data/desk_anchor.json), and say nothing of each other. Where a prediction is unsure of a machine, `machine` is as
wide as that: machine^2 = max(machine^2, s^2 - the other widths^2), s the rows' mean predicted deviation. Given rows,
mean and deviation at other tests follow in closed form (Rasmussen and Williams, Gaussian Processes for Machine
Learning, 2006, equations 2.25 and 2.26).
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

from sparsecalc.core.frozen import Frozen
from sparsecalc.data_files import read_data
from sparsecalc.device.anchor import LoadCurve

Phase = Literal["decode", "prompt"]
PHASES: tuple[Phase, ...] = ("decode", "prompt")
LONGEST = 2**21
"""Tokens of context where a curve ends; beyond, it stays as it is there."""


class DeskWidths(Frozen):
    """Standard deviations of what tests of one phase on one machine have in common."""

    machine: float
    kind: float
    model: float
    quantized: float
    length: float
    octaves: float
    """Doublings of the context after which exp(-1/2) of `length` is still in common."""
    noise: float
    """Of a single test."""
    sparse_share: float = 1.0
    """What is left unknown of a mixture of experts, over what these widths leave."""

    def unsure(self, spread: float) -> "DeskWidths":
        """The same for a machine of which predictions are as unsure as `spread`."""
        within = self.kind**2 + self.model**2 + self.quantized**2 + self.length**2 + self.noise**2
        return self.but(machine=max(self.machine**2, spread**2 - within) ** 0.5)


@cache
def desk_widths(phase: Phase) -> DeskWidths:
    """The widths of a phase, learnt from whole machines. Source: data/desk_anchor.json."""
    return DeskWidths(**read_data("desk_anchor.json")["widths"][phase])


class TestPlace(Frozen):
    """Where a test lies among those of one machine and phase."""

    dense: bool
    params: int
    """Parameters of the model, which tell architectures apart."""
    quantized: bool
    """Whether most weights have less than 16 bits."""
    length: float
    """Tokens of the context; of an answer its mean."""


def anchored_tests(
    seen: Sequence[TestPlace], errors: Sequence[float], at: Sequence[TestPlace], widths: DeskWidths
) -> tuple[list[float], list[float]]:
    """Mean of ln(measured / predicted) at other tests, and the standard deviation of a new one there."""
    import numpy as np

    own = test_covariance(seen, seen, widths) + widths.noise**2 * np.eye(len(seen))
    across = test_covariance(seen, at, widths)
    weights = np.linalg.solve(own, across)
    whole = widths.machine**2 + widths.kind**2 + widths.model**2 + widths.quantized**2 + widths.length**2
    left = np.maximum(whole - (across * weights).sum(axis=0), 0.0) + widths.noise**2
    share = np.array([1.0 if place.dense else widths.sparse_share for place in at])
    return (weights.T @ np.asarray(errors)).tolist(), (share * left**0.5).tolist()


def test_covariance(first: Sequence[TestPlace], second: Sequence[TestPlace], widths: DeskWidths) -> Any:
    """Covariance of the errors of tests on one machine, each with each, their noise left out."""
    import numpy as np

    def both(name: str) -> Any:
        one, other = ([getattr(place, name) for place in places] for places in (first, second))
        return np.array(one)[:, None], np.array(other)[None, :]

    def same(name: str) -> Any:
        one, other = both(name)
        return one == other

    lengths, others = both("length")
    octaves = np.log2(np.maximum(lengths, 1)) - np.log2(np.maximum(others, 1))
    shared = widths.machine**2 + widths.length**2 * np.exp(-((octaves / widths.octaves) ** 2) / 2)
    for name, width in (("dense", widths.kind), ("params", widths.model), ("quantized", widths.quantized)):
        shared = shared + width**2 * same(name)
    return shared


def length_curve(seen: Sequence[TestPlace], errors: Sequence[float], place: TestPlace, widths: DeskWidths) -> LoadCurve:
    """What the tests say of one model in one format, over the tokens of its context."""
    lengths = tuple(2.0**step for step in range(LONGEST.bit_length()))
    means, spreads = anchored_tests(seen, errors, [place.but(length=length) for length in lengths], widths)
    return LoadCurve(sequences=lengths, log_factor=tuple(means), spread=tuple(spreads))
