"""How often each expert is selected: shares of all selections, and the chance that one token selects it."""

from math import exp, lgamma, log

from sparsecalc.core.errors import InputError


def expected_experts_per_tok(num_experts_per_tok: float, num_experts: int, zero_experts: int) -> float:
    """Experts with weights that a token is expected to select: k E / (E + Z), Z zero-compute experts beside E."""
    return num_experts_per_tok * num_experts / (num_experts + zero_experts)


def inclusion_probabilities(shares: tuple[float, ...], total: float) -> tuple[float, ...]:
    """The chance that a token selects each expert: p_e = min(1, c * share_e), c such that their sum is `total`.

    Raises InputError where fewer than `total` experts have a share.
    """
    if total > sum(share > 0 for share in shares):
        raise InputError(f"fewer than {total:g} experts have a share", hint=f"Every token selects {total:g} of them")
    certain: set[int] = set()
    while True:
        rest = sum(share for e, share in enumerate(shares) if e not in certain)
        scale = (total - len(certain)) / rest if total > len(certain) else 0.0
        over = {e for e, share in enumerate(shares) if e not in certain and share * scale > 1}
        if not over:
            return tuple(1.0 if e in certain else share * scale for e, share in enumerate(shares))
        certain |= over


def zipf_shares(exponent: float, count: int) -> tuple[float, ...]:
    """rank ** -exponent, the most selected expert first; not scaled to a sum of 1."""
    return tuple((rank + 1) ** -exponent for rank in range(count))


def gamma_quantiles(shape: float, count: int) -> tuple[float, ...]:
    """The quantiles (i + 1/2) / count of a gamma distribution, largest first, by summing its density over log x.

    Below the first step the distribution function is x^a / Gamma(a + 1).
    """
    steps = 4000
    low = min(log(shape) - 12 / shape**0.5, (log(0.1 / count) + lgamma(shape + 1)) / shape)
    width = (log(shape + 12 * shape**0.5 + 24) - low) / steps
    logs = [low + step * width for step in range(steps + 1)]
    density = [exp(shape * at - exp(at) - lgamma(shape)) for at in logs]
    reached = exp(shape * low - lgamma(shape + 1))
    quantiles: list[float] = []
    total = reached + width * sum(density)
    for at, value in zip(logs, density, strict=True):
        following = reached + width * value / total
        while len(quantiles) < count and (len(quantiles) + 0.5) / count <= following:
            quantiles.append(exp(at + width * ((len(quantiles) + 0.5) / count - reached) / (following - reached)))
        reached = following
    return tuple(quantiles[::-1])
