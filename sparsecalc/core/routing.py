"""How tokens are routed to experts: how many experts a step reaches, how uneven ranks are, how many tokens are dropped.

Everything follows from the inclusion probabilities p_e: the chance that a token selects expert e, with sum k. Tokens
are independent of each other, but for `correlation`. Nothing is sampled.

Group-limited routing (DeepSeek-V3: the best 4 of 8 groups of experts) bounds the nodes that a token is sent to. It
leaves every p_e as it is, and with it the expected distinct experts, the drops and the mean load of every rank; only
the spread of the loads grows a little, which is not modelled.
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from heapq import heappop, heappush
from itertools import pairwise
from math import ceil, exp, lgamma, log
from random import Random
from typing import Any, Literal

from sparsecalc.core.arrays import is_array
from sparsecalc.core.errors import InputError
from sparsecalc.core.expected_max import expected_excess, expected_max, expected_max_hits
from sparsecalc.core.frozen import Frozen

Tokens = Any
"""A number, or a numpy array of numbers; results are of the same kind."""
Arrangement = tuple[tuple[tuple[int, int], ...], ...]
"""For every rank, its experts, each with the number of its copies in all ranks."""

ORDERS = 200
CLASSES = 5
"""Where the order of the experts is not known: random orders that are tried, and classes that stand for them."""


def expected_distinct_experts(num_experts: int, num_experts_per_tok: float, tokens: Tokens) -> Any:
    """Expected number of distinct experts that `tokens` independent tokens select, uniform routing.

        E * (1 - (1 - k / E) ** tokens)

    k at one token, E in the limit. Exact for uniform, independent top-k; skew lowers it.
    """
    if num_experts == 0 or (not is_array(tokens) and tokens <= 0):
        return 0.0
    return num_experts * (1.0 - (1.0 - num_experts_per_tok / num_experts) ** tokens)


class RankLoad(Frozen):
    """What expert parallelism leaves to its busiest rank in one step, in expectation."""

    pairs: Any
    """Token-expert pairs of the rank that computes the most."""
    distinct: Any
    """Distinct experts (with copies) of the rank that reads the most; it need not be the same rank."""
    imbalance: Any
    """`pairs` over the mean of all ranks, tokens * k / ranks: what a step of compute waits for, 1 or more."""


class Routing(Frozen):
    """How often experts are selected.

        uniform     p_e = k / E
        zipf        share of the r-th expert ~ r ** -exponent; it is an exponent of loads, as it is fitted to counts
        dirichlet   shares of a typical draw: the E quantiles of a gamma distribution of shape `concentration`
        measured    shares as counted, by layer; figures are means over the layers
        p_e         min(1, k * share_e), the others scaled up until the sum is k

    Tokens of one request route alike: of its tokens, the share `correlation` counts as independent.
    """

    kind: Literal["uniform", "zipf", "dirichlet", "measured"] = "uniform"
    exponent: float = 0.0
    concentration: float = 1.0
    shares: tuple[tuple[float, ...], ...] = ()
    """measured: a row per layer, or one row that stands for all."""
    correlation: float = 1.0
    source: str = ""
    """Where measured shares come from."""

    def check(self) -> None:
        """Refuse what is no distribution."""
        if not 0 < self.correlation <= 1:
            raise ValueError(f"correlation is {self.correlation}, not in (0, 1]")
        if self.exponent < 0 or self.concentration <= 0:
            raise ValueError("an exponent is at least 0, a concentration more than 0")
        if self.kind == "measured" and not (self.shares and all(sum(row) > 0 for row in self.shares)):
            raise ValueError("measured routing needs shares")

    @property
    def name(self) -> str:
        """As it is typed: `zipf:1.2,correlation=0.5`."""
        value = {"zipf": f":{self.exponent:g}", "dirichlet": f":{self.concentration:g}"}.get(self.kind, "")
        return f"{self.source or self.kind}{value}" + (f",correlation={self.correlation:g}" * (self.correlation < 1))

    def inclusion(self, num_experts: int, k: float) -> tuple[float, ...]:
        """Probabilities that a token selects each of E experts: sum k, none above 1; the mean over measured layers.

        Raises InputError where measured shares are of another number of experts, or of fewer than k.
        """
        rows = _inclusions(self, num_experts, k)
        return rows[0] if len(rows) == 1 else tuple(sum(column) / len(rows) for column in zip(*rows, strict=True))

    def by_layer(self, num_experts: int, k: float) -> tuple[tuple[float, ...], ...]:
        """`inclusion` of every measured layer; of other routing one row, which stands for all layers."""
        return _inclusions(self, num_experts, k)

    def placements(self, row: tuple[float, ...], ranks: int) -> tuple[Arrangement, ...]:
        """The placements of experts on ranks, without balancing, that `busiest_rank` takes the mean over."""
        known = self.kind in ("uniform", "measured")
        return (_in_order(range(len(row)), ranks),) if known else _typical_orders(row, ranks)

    def independent_tokens(self, tokens: Tokens, sequences: Tokens = None) -> Any:
        """Independent tokens that are worth `tokens` tokens of `sequences` requests: B + c * (T - B)."""
        if self.correlation == 1 or sequences is None:
            return tokens
        return sequences + self.correlation * (tokens - sequences)

    def expected_distinct(self, num_experts: int, k: float, tokens: Tokens, sequences: Tokens = None) -> Any:
        """Expected number of distinct experts that a step of `tokens` tokens selects.

            sum over experts of 1 - (1 - p_e) ** tokens

        Exact for independent tokens; uniform: E * (1 - (1 - k / E) ** tokens). Skew lowers it.
        """
        drawn = self.independent_tokens(tokens, sequences)
        if self.kind == "uniform" or num_experts == 0:
            return expected_distinct_experts(num_experts, k, drawn)
        rows = _inclusions(self, num_experts, k)
        if not is_array(drawn):
            return sum(1.0 - (1.0 - p) ** drawn for row in rows for p in row) / len(rows) if drawn > 0 else 0.0
        from numpy import asarray

        return sum((1.0 - (1.0 - asarray(row)) ** drawn[..., None]).sum(axis=-1) for row in rows) / len(rows)

    def busiest_rank(
        self,
        num_experts: int,
        k: float,
        tokens: Tokens,
        ranks: int,
        replicas: int = 0,
        balanced: bool = False,
        sequences: Tokens = None,
    ) -> RankLoad:
        """The expected load of the busiest of `ranks` ranks of expert parallelism, in a step of `tokens` tokens in all.

            pairs    = E[max over ranks of N_g],  N_g: mean T * sum p_e,  variance T * sum p_e (1 - p_e)
            distinct = E[max over ranks of D_g],  D_g: hits of probabilities 1 - (1 - p_e) ** T

        Ranks hold the experts in order. The order of zipf's and dirichlet's is not known: the figures are means over
        random orders (5 that stand for 200). `balanced`: placed as EPLB does, with `replicas` redundant experts, whose
        copies share the tokens evenly. For arrays of tokens and more than one rank, interpolated (to 0.1 %).
        Against Monte Carlo: within 2 %, but within 15 % for the pairs of steps of fewer than 10 tokens.
        Source: github.com/deepseek-ai/EPLB (replicate the hottest, then pack), its policy without groups.
        Raises InputError for fewer than 1 rank or more than there are experts.
        """
        if not 1 <= ranks <= num_experts:
            raise InputError(f"{ranks} ranks share {num_experts} experts", hint="Take 1 to as many ranks as experts")
        if ranks == 1:
            distinct = self.expected_distinct(num_experts, k, tokens, sequences)
            return RankLoad(pairs=tokens * k, distinct=distinct, imbalance=1.0 + 0.0 * tokens)
        drawn = self.independent_tokens(tokens, sequences)
        if is_array(drawn):
            pairs, distinct = _over_an_array(self, num_experts, k, drawn, ranks, replicas, balanced)
        else:
            pairs, distinct = _busiest(self, num_experts, k, drawn, ranks, replicas, balanced)
        imbalance = pairs * ranks / (drawn * k)
        return RankLoad(pairs=imbalance * tokens * k / ranks, distinct=distinct, imbalance=imbalance)

    def drop_rate(self, num_experts: int, k: float, tokens: int, capacity_factor: float) -> float:
        """Expected share of token-expert pairs that exceed the experts' capacity, C = ceil(factor * k * T / E).

            1 / (k T) * sum over experts of E[max(n_e - C, 0)],  n_e ~ Binomial(T, p_e)

        Source: arXiv:2101.03961 (Switch Transformer), section 2.2: overflowing tokens skip the expert.
        """
        capacity = expert_capacity(num_experts, k, tokens, capacity_factor)
        rows = _inclusions(self, num_experts, k)
        over = sum(
            times * expected_excess(tokens * p, p, capacity) for row in rows for p, times in Counter(row).items()
        )
        return over / (k * tokens * len(rows))


def expert_capacity(num_experts: int, k: float, tokens: int, capacity_factor: float) -> int:
    """Tokens that an expert takes at most: ceil(factor * k * T / E)."""
    return ceil(capacity_factor * k * tokens / num_experts)


@lru_cache(maxsize=256)
def _inclusions(routing: Routing, num_experts: int, k: float) -> tuple[tuple[float, ...], ...]:
    """Inclusion probabilities, a row per layer; one row where layers do not differ."""
    if routing.kind == "uniform":
        return ((k / num_experts,) * num_experts,)
    if routing.kind == "zipf":
        rows: tuple[tuple[float, ...], ...] = (tuple((r + 1) ** -routing.exponent for r in range(num_experts)),)
    elif routing.kind == "dirichlet":
        rows = (_gamma_quantiles(routing.concentration, num_experts),)
    else:
        rows = routing.shares
    if len(rows[0]) != num_experts:
        raise InputError(f"the routing is of {len(rows[0])} experts, and the layer has {num_experts}")
    return tuple(_capped(row, k) for row in rows)


def _capped(shares: tuple[float, ...], k: float) -> tuple[float, ...]:
    """p_e = k * share_e, but at most 1; the others scaled up until the sum is k."""
    if k > sum(share > 0 for share in shares):
        raise InputError(f"fewer than {k:g} experts have a share", hint=f"Every token takes {k:g} of them")
    full: set[int] = set()
    while True:
        rest = sum(share for e, share in enumerate(shares) if e not in full)
        scale = (k - len(full)) / rest if k > len(full) else 0.0
        over = {e for e, share in enumerate(shares) if e not in full and share * scale > 1}
        if not over:
            return tuple(1.0 if e in full else share * scale for e, share in enumerate(shares))
        full |= over


def _gamma_quantiles(shape: float, count: int) -> tuple[float, ...]:
    """The quantiles (i + 1/2) / count of a gamma distribution, largest first, by summing its density over log x.

    Below the first step the distribution function is x^a / Gamma(a + 1).
    """
    steps = 4000
    low = min(log(shape) - 12 / shape**0.5, (log(0.1 / count) + lgamma(shape + 1)) / shape)
    width = (log(shape + 12 * shape**0.5 + 24) - low) / steps
    logs = [low + step * width for step in range(steps + 1)]
    density = [exp(shape * at - exp(at) - lgamma(shape)) for at in logs]
    reached = exp(shape * low - lgamma(shape + 1))
    found: list[float] = []
    total = reached + width * sum(density)
    for at, value in zip(logs, density, strict=True):
        following = reached + width * value / total
        while len(found) < count and (len(found) + 0.5) / count <= following:
            found.append(exp(at + width * ((len(found) + 0.5) / count - reached) / (following - reached)))
        reached = following
    return tuple(found[::-1])


def _in_order(order: Sequence[int], ranks: int) -> Arrangement:
    """Rank g holds the experts from g E / G to (g + 1) E / G of `order`, one copy each."""
    ends = [rank * len(order) // ranks for rank in range(ranks + 1)]
    return tuple(tuple((e, 1) for e in order[first:last]) for first, last in pairwise(ends))


@lru_cache(maxsize=256)
def _typical_orders(row: tuple[float, ...], ranks: int) -> tuple[Arrangement, ...]:
    """Orders that stand for all: 200 random ones in 5 classes by their largest load; of each, the one nearest its mean.

    The same in every run: of Python's random numbers only `random()` is promised to stay as it is.
    """
    random = Random(0).random
    drawn = []
    for _ in range(ORDERS):
        keys = [random() for _ in row]
        arrangement = _in_order(sorted(range(len(row)), key=keys.__getitem__), ranks)
        drawn.append((max(sum(row[e] for e, _ in rank) for rank in arrangement), arrangement))
    drawn.sort()
    size = ORDERS // CLASSES
    classes = [drawn[first : first + size] for first in range(0, ORDERS, size)]
    means = [sum(load for load, _ in members) / size for members in classes]
    return tuple(
        min(members, key=lambda member: abs(member[0] - mean))[1] for members, mean in zip(classes, means, strict=True)
    )


@lru_cache(maxsize=256)
def balance(loads: tuple[float, ...], ranks: int, replicas: int) -> Arrangement:
    """Experts placed as EPLB does: copy the expert with the most load per copy, `replicas` times; then place copies.

    The largest go first, each to the rank with the least load that has room; a rank has room for its even share.
    """
    copies = [1] * len(loads)
    for _ in range(replicas):
        copies[max(range(len(loads)), key=lambda e: loads[e] / copies[e])] += 1
    slots = sorted(((loads[e] / n, e) for e, n in enumerate(copies) for _ in range(n)), reverse=True)
    room = ceil(len(slots) / ranks)
    held: list[list[tuple[int, int]]] = [[] for _ in range(ranks)]
    open_ranks = [(0.0, rank) for rank in range(ranks)]
    for load, e in slots:
        total, rank = heappop(open_ranks)
        held[rank].append((e, copies[e]))
        if len(held[rank]) < room:
            heappush(open_ranks, (total + load, rank))
    return tuple(tuple(rank) for rank in held)


@lru_cache(maxsize=8192)
def _busiest(
    routing: Routing, num_experts: int, k: float, tokens: float, ranks: int, replicas: int, balanced: bool
) -> tuple[float, float]:
    """Pairs and distinct experts of the busiest rank: means over layers and placements."""
    found = []
    for row in _inclusions(routing, num_experts, k):
        arrangements = (balance(row, ranks, replicas),) if balanced else routing.placements(row, ranks)
        found += [_largest(row, arrangement, tokens) for arrangement in arrangements]
    pairs, distinct = (sum(column) / len(found) for column in zip(*found, strict=True))
    one = min(1.0, tokens * k)
    return max(pairs, tokens * k / ranks, one), max(distinct, one)


def _largest(row: tuple[float, ...], arrangement: Arrangement, tokens: float) -> tuple[float, float]:
    """E[max] over the ranks, of pairs and of distinct experts."""
    chosen = {(e, n): row[e] / n for rank in arrangement for e, n in rank}
    hit = {slot: 1.0 - (1.0 - p) ** tokens for slot, p in chosen.items()}
    distinct = expected_max_hits(tuple(hit[slot] for slot in rank) for rank in arrangement)
    if tokens == 1:
        return distinct, distinct
    ranks = [[chosen[slot] for slot in rank] for rank in arrangement if any(chosen[slot] for slot in rank)]
    return expected_max((tokens * sum(rank), sum(p * p for p in rank) / sum(rank)) for rank in ranks), distinct


def _over_an_array(
    routing: Routing, num_experts: int, k: float, tokens: Any, ranks: int, replicas: int, balanced: bool
) -> tuple[Any, Any]:
    """The same for many numbers of tokens: interpolated between some, in the logarithms of both."""
    import numpy as np

    wanted = np.unique(tokens)
    if wanted.size > _NODES:
        wanted = np.unique(np.concatenate([wanted[wanted <= _SMALL], np.geomspace(wanted[0], wanted[-1], _NODES)]))
    known = [_busiest(routing, num_experts, k, float(t), ranks, replicas, balanced) for t in wanted]
    pairs, distinct = np.log(np.array(known).T)
    at = np.log(tokens)
    return np.exp(np.interp(at, np.log(wanted), pairs)), np.exp(np.interp(at, np.log(wanted), distinct))


_NODES = 128
_SMALL = 32
