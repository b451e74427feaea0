"""Published laws that map a mixture of experts to the dense model of the same quality.

Coefficients, sources and fitted ranges are data (data/equivalence_laws.json); here are the formulas. They disagree by
a factor of 3 to 8, so no single one of them is the answer.
"""

from collections.abc import Callable
from functools import cache
from math import log, log2, log10, sqrt
from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.data_files import read_data


@cache
def law_data() -> dict[str, Any]:
    """The contents of data/equivalence_laws.json."""
    data: dict[str, Any] = read_data("equivalence_laws.json")
    return data


class Sparse(Frozen):
    """What the laws look at in a mixture of experts. Shared experts count as experts that every token selects."""

    total_params: float
    active_params: float
    num_experts: float
    num_experts_per_tok: float
    granularity: float
    """2 * hidden_size / moe_intermediate_size: experts that make up one feed-forward of usual width."""
    training_tokens: float
    embedding_params: float = 0

    @property
    def expansion(self) -> float:
        """Experts over experts per token."""
        return self.num_experts / self.num_experts_per_tok

    @property
    def training_flops(self) -> float:
        """6 N_active D."""
        return 6 * self.active_params * self.training_tokens


def saturating(value: float, start: float, most: float) -> float:
    """1 / (1 / (value + 1 / (1 / start - 1 / most)) + 1 / most): `start` at 0, and never above `most`.

    Source: arXiv:2202.01169, equation 1, with value = E - 1.
    """
    return 1 / (1 / (value + 1 / (1 / start - 1 / most)) + 1 / most)


def geometric_mean(model: Sparse, exponent: float = 0.5) -> float:
    """Dense parameters: N_total^x N_active^(1 - x)."""
    return float(model.total_params**exponent * model.active_params ** (1 - exponent))


def clark(model: Sparse, routing: str = "S-BASE") -> float:
    """Dense parameters of equal loss: (a + c ln_e1) log N_d = (a + c ln_e) log N + b (ln_e - ln_e1), logs base 10.

    Source: arXiv:2202.01169, equation 1. `routing`: whose coefficients; S-BASE is the best of the three.
    """
    known = law_data()["laws"]["clark_2022"]["coefficients"][routing]
    one, many = (log10(saturating(e - 1, known["E_start"], known["E_max"])) for e in (1.0, model.expansion))
    size = (known["a"] + known["c"] * many) * log10(model.active_params) + known["b"] * (many - one)
    return float(10 ** (size / (known["a"] + known["c"] * one)))


def krajewski_loss(params: float, tokens: float, granularity: float, kind: str) -> float:
    """c + (g / G^gamma + a) / N^alpha + b / D^beta. Source: arXiv:2402.07871, equation 9; kind: moe or dense."""
    known = law_data()["laws"]["krajewski_2024"]["coefficients"][kind]
    of_size = (known["g"] / granularity ** known["gamma"] + known["a"]) / params ** known["alpha"]
    return float(known["c"] + of_size + known["b"] / tokens ** known["beta"])


def krajewski(model: Sparse) -> float:
    """Dense parameters of equal loss. Source: arXiv:2402.07871; N without embedding."""
    tokens = model.training_tokens
    loss = krajewski_loss(model.total_params - model.embedding_params, tokens, model.granularity, "moe")
    return _size_of(loss, lambda size: krajewski_loss(size, tokens, 1, "dense"))


def joint_loss(active_params: float, tokens: float, expansion: float) -> float:
    """a e^delta N^(alpha + gamma ln e) + b e^omega D^(beta + zeta ln e) + c. Source: arXiv:2502.05172, table 3."""
    known = law_data()["laws"]["joint_moe_2025"]["coefficients"]
    e = saturating(expansion - 1, known["E_start"], known["E_max"])
    of_size = known["a"] * e ** known["delta"] * active_params ** (known["alpha"] + known["gamma"] * log(e))
    of_data = known["b"] * e ** known["omega"] * tokens ** (known["beta"] + known["zeta"] * log(e))
    return float(of_size + of_data + known["c"])


def joint(model: Sparse) -> float:
    """Dense parameters of equal loss at equal tokens. Source: arXiv:2502.05172."""
    loss = joint_loss(model.active_params, model.training_tokens, model.expansion)
    return _size_of(loss, lambda size: joint_loss(size, model.training_tokens, 1))


def efficiency_leverage(activation: float, granularity: float, flops: float) -> float:
    """e^(a + d log10 C + gamma log2(G)^2 + beta log2 G), e the saturating share of experts that a token uses.

    Compute of the dense model over that of the mixture at equal loss. Source: arXiv:2507.17702, table 2.
    """
    known = law_data()["laws"]["efficiency_leverage_2025"]["coefficients"]
    e = saturating(activation, known["A_start"], known["A_max"])
    fine = log2(granularity)
    return float(e ** (known["a"] + known["d"] * log10(flops) + known["gamma"] * fine**2 + known["beta"] * fine))


def leverage(model: Sparse, clamped: bool = True) -> float:
    """Dense parameters: leverage * N_active, at a training compute of at most C_max where `clamped`."""
    most = law_data()["laws"]["efficiency_leverage_2025"]["coefficients"]["C_max"]
    flops = min(model.training_flops, most) if clamped else model.training_flops
    return efficiency_leverage(1 / model.expansion, model.granularity, flops) * model.active_params


def abnar(model: Sparse) -> float:
    """Dense parameters of equal loss. Source: arXiv:2501.12370, equation 6."""
    known = law_data()["laws"]["abnar_2025"]["coefficients"]

    def loss(params: float, sparsity: float) -> float:
        kept = 1 - sparsity
        of_both = known["d"] / (kept ** known["delta"] * params ** known["gamma"])
        return float(known["a"] / params ** known["alpha"] + known["c"] / kept ** known["lambda"] + of_both)

    return _size_of(loss(model.total_params, 1 - 1 / model.expansion), lambda size: loss(size, 0))


def _size_of(loss: float, dense: Callable[[float], float]) -> float:
    """The size whose dense loss is `loss`, by bisection in its logarithm; the bounds where it lies beyond them."""
    low, high = 1e5, 1e16
    for _ in range(100):
        middle = sqrt(low * high)
        low, high = (middle, high) if dense(middle) > loss else (low, middle)
    return sqrt(low * high)


LAWS: dict[str, Callable[[Sparse], tuple[float, float]]] = {
    "geometric_mean": lambda model: (geometric_mean(model),) * 2,
    "controlled_pairs": lambda model: _pairs(model),
    "clark_2022": lambda model: (clark(model),) * 2,
    "krajewski_2024": lambda model: (krajewski(model),) * 2,
    "joint_moe_2025": lambda model: (joint(model),) * 2,
    "efficiency_leverage_2025": lambda model: (leverage(model),) * 2,
    "abnar_2025": lambda model: (abnar(model),) * 2,
}
"""Each law's lowest and highest dense size for a model."""


def _pairs(model: Sparse) -> tuple[float, float]:
    low, high = law_data()["laws"]["controlled_pairs"]["coefficients"]["exponents"]
    return geometric_mean(model, low), geometric_mean(model, high)
