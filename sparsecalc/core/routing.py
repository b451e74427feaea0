"""How tokens are routed to experts: how many experts a step reaches, how uneven ranks are, how many tokens are dropped.

Everything follows from the inclusion probabilities p_e: the chance that a token selects expert e, with sum k. Tokens
are independent of each other, except for `correlation`. Nothing is sampled.

Group-limited routing (DeepSeek-V3: the best 4 of 8 groups of experts) bounds the nodes that a token is sent to. It
leaves every p_e as it is, and with it the expected distinct experts, the drops and the mean load of every rank; only
the spread of the loads grows a little, which is not modelled.

Symbols: E num_experts; k expected_experts_per_tok, with zero-compute experts fewer than num_experts_per_tok; T tokens;
B sequences; c correlation.
"""

from collections import Counter
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, Literal

from sparsecalc.core.arrays import Number, is_array
from sparsecalc.core.errors import InputError
from sparsecalc.core.expert_shares import gamma_quantiles, inclusion_probabilities, zipf_shares
from sparsecalc.core.frozen import Frozen

if TYPE_CHECKING:  # several ranks and capacities are asked for seldom
    from sparsecalc.core.expert_placement import Arrangement

NODES = 128
"""Numbers of tokens that the busiest rank of a whole array is computed for; the others are interpolated."""
SMALL = 32
"""Up to so many tokens all numbers of the array are computed."""


def expected_distinct_experts(num_experts: int, expected_experts_per_tok: float, tokens: Number) -> Number:
    """Expected number of distinct experts that `tokens` independent tokens select, uniform routing.

        E * (1 - (1 - k / E) ** tokens)

    k at one token, E in the limit. Exact for uniform, independent top-k; skew lowers it.
    """
    if num_experts == 0 or (not is_array(tokens) and tokens <= 0):
        return 0.0
    return num_experts * (1.0 - (1.0 - expected_experts_per_tok / num_experts) ** tokens)


class RankLoad(Frozen):
    """Expected load of the busiest rank of expert parallelism in one step."""

    pairs: Number
    """Token-expert pairs of the rank that computes the most."""
    distinct: Number
    """Distinct experts (with copies) of the rank that reads the most; it need not be the same rank."""
    imbalance: Number
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
        """Raise ValueError for parameters that do not describe a distribution."""
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

    def inclusion(self, num_experts: int, expected_experts_per_tok: float) -> tuple[float, ...]:
        """Probabilities that a token selects each of E experts: sum k, none above 1; the mean over measured layers.

        Raises InputError where measured shares are for another number of experts, or for fewer than k.
        """
        rows = _inclusions(self, num_experts, expected_experts_per_tok)
        return rows[0] if len(rows) == 1 else tuple(sum(column) / len(rows) for column in zip(*rows, strict=True))

    def by_layer(self, num_experts: int, expected_experts_per_tok: float) -> tuple[tuple[float, ...], ...]:
        """`inclusion` of every measured layer; of other routing one row, which stands for all layers."""
        return _inclusions(self, num_experts, expected_experts_per_tok)

    def placements(self, row: tuple[float, ...], ranks: int) -> "tuple[Arrangement, ...]":
        """The placements of experts on ranks, without balancing, that `busiest_rank` takes the mean over."""
        from sparsecalc.core.expert_placement import in_order, typical_orders

        known = self.kind in ("uniform", "measured")
        return (in_order(range(len(row)), ranks),) if known else typical_orders(row, ranks)

    def independent_tokens(self, tokens: Number, sequences: Number | None = None) -> Number:
        """Independent tokens that are worth `tokens` tokens of `sequences` requests: B + c * (T - B)."""
        if self.correlation == 1 or sequences is None:
            return tokens
        return sequences + self.correlation * (tokens - sequences)

    def expected_distinct(
        self, num_experts: int, expected_experts_per_tok: float, tokens: Number, sequences: Number | None = None
    ) -> Number:
        """Expected number of distinct experts that a step of `tokens` tokens selects.

            sum over experts of 1 - (1 - p_e) ** tokens

        Exact for independent tokens; uniform: E * (1 - (1 - k / E) ** tokens). Skew lowers it.
        """
        drawn = self.independent_tokens(tokens, sequences)
        if self.kind == "uniform" or num_experts == 0:
            return expected_distinct_experts(num_experts, expected_experts_per_tok, drawn)
        rows = _inclusions(self, num_experts, expected_experts_per_tok)
        if not is_array(drawn):
            return sum(1.0 - (1.0 - p) ** drawn for row in rows for p in row) / len(rows) if drawn > 0 else 0.0
        from numpy import asarray

        return sum((1.0 - (1.0 - asarray(row)) ** drawn[..., None]).sum(axis=-1) for row in rows) / len(rows)

    def busiest_rank(
        self,
        num_experts: int,
        expected_experts_per_tok: float,
        tokens: Number,
        ranks: int,
        replicas: int = 0,
        balanced: bool = False,
        sequences: Number | None = None,
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
            distinct = self.expected_distinct(num_experts, expected_experts_per_tok, tokens, sequences)
            return RankLoad(pairs=tokens * expected_experts_per_tok, distinct=distinct, imbalance=1.0 + 0.0 * tokens)
        drawn = self.independent_tokens(tokens, sequences)
        if is_array(drawn):
            pairs, distinct = _over_an_array(
                self, num_experts, expected_experts_per_tok, drawn, ranks, replicas, balanced
            )
        else:
            pairs, distinct = _busiest(self, num_experts, expected_experts_per_tok, drawn, ranks, replicas, balanced)
        imbalance = pairs * ranks / (drawn * expected_experts_per_tok)
        return RankLoad(
            pairs=imbalance * tokens * expected_experts_per_tok / ranks, distinct=distinct, imbalance=imbalance
        )

    def drop_rate(
        self, num_experts: int, expected_experts_per_tok: float, tokens: int, capacity_factor: float
    ) -> float:
        """Expected share of token-expert pairs that exceed the experts' capacity, C = ceil(factor * k * T / E).

            1 / (k T) * sum over experts of E[max(n_e - C, 0)],  n_e ~ Binomial(T, p_e)

        Source: arXiv:2101.03961 (Switch Transformer), section 2.2: overflowing tokens skip the expert.
        """
        from sparsecalc.core.expected_max import expected_excess

        capacity = expert_capacity(num_experts, expected_experts_per_tok, tokens, capacity_factor)
        rows = _inclusions(self, num_experts, expected_experts_per_tok)
        over = sum(
            times * expected_excess(tokens * p, p, capacity) for row in rows for p, times in Counter(row).items()
        )
        return over / (expected_experts_per_tok * tokens * len(rows))


def expert_capacity(num_experts: int, expected_experts_per_tok: float, tokens: int, capacity_factor: float) -> int:
    """Tokens that an expert takes at most: ceil(factor * k * T / E)."""
    return ceil(capacity_factor * expected_experts_per_tok * tokens / num_experts)


@lru_cache(maxsize=256)
def _inclusions(routing: Routing, num_experts: int, expected_experts_per_tok: float) -> tuple[tuple[float, ...], ...]:
    """Inclusion probabilities, a row per layer; one row where layers do not differ."""
    if routing.kind == "uniform":
        return ((expected_experts_per_tok / num_experts,) * num_experts,)
    rows = routing.shares
    if routing.kind == "zipf":
        rows = (zipf_shares(routing.exponent, num_experts),)
    elif routing.kind == "dirichlet":
        rows = (gamma_quantiles(routing.concentration, num_experts),)
    if len(rows[0]) != num_experts:
        raise InputError(f"the routing has shares for {len(rows[0])} experts, and the layer has {num_experts}")
    return tuple(inclusion_probabilities(row, expected_experts_per_tok) for row in rows)


@lru_cache(maxsize=8192)
def _busiest(
    routing: Routing,
    num_experts: int,
    expected_experts_per_tok: float,
    tokens: float,
    ranks: int,
    replicas: int,
    balanced: bool,
) -> tuple[float, float]:
    """Pairs and distinct experts of the busiest rank: means over layers and placements."""
    from sparsecalc.core.expert_placement import balance

    loads = []
    for row in _inclusions(routing, num_experts, expected_experts_per_tok):
        arrangements = (balance(row, ranks, replicas),) if balanced else routing.placements(row, ranks)
        loads += [_expected_largest(row, arrangement, tokens) for arrangement in arrangements]
    pairs, distinct = (sum(column) / len(loads) for column in zip(*loads, strict=True))
    one = min(1.0, tokens * expected_experts_per_tok)
    return max(pairs, tokens * expected_experts_per_tok / ranks, one), max(distinct, one)


def _expected_largest(row: tuple[float, ...], arrangement: "Arrangement", tokens: float) -> tuple[float, float]:
    """E[max] over the ranks, of pairs and of distinct experts."""
    from sparsecalc.core.expected_max import expected_max, expected_max_hits

    if len(set(row)) == 1 and all(n == 1 for rank in arrangement for _, n in rank):  # uniform: no expert by itself
        return _largest_of_equal(row[0], [len(rank) for rank in arrangement], tokens)
    chances = {(e, n): row[e] / n for rank in arrangement for e, n in rank}
    hit = {slot: 1.0 - (1.0 - p) ** tokens for slot, p in chances.items()}
    distinct = expected_max_hits(tuple(hit[slot] for slot in rank) for rank in arrangement)
    if tokens == 1:
        return distinct, distinct
    ranks = [[chances[slot] for slot in rank] for rank in arrangement if any(chances[slot] for slot in rank)]
    return expected_max((tokens * sum(rank), sum(p * p for p in rank) / sum(rank)) for rank in ranks), distinct


def _largest_of_equal(chance: float, sizes: list[int], tokens: float) -> tuple[float, float]:
    """The same of ranks with so many experts each, which are all as likely."""
    from sparsecalc.core.expected_max import expected_max, expected_max_hits

    hit = 1.0 - (1.0 - chance) ** tokens
    distinct = expected_max_hits((hit,) * size for size in sizes)
    if tokens == 1:
        return distinct, distinct
    sums = {size: (sum((chance,) * size), sum((chance * chance,) * size)) for size in {*sizes} if size and chance}
    ranks = (sums[size] for size in sizes if size in sums)
    return expected_max((tokens * whole, squares / whole) for whole, squares in ranks), distinct


def _over_an_array(
    routing: Routing,
    num_experts: int,
    expected_experts_per_tok: float,
    tokens: Number,
    ranks: int,
    replicas: int,
    balanced: bool,
) -> tuple[Number, Number]:
    """The same for many numbers of tokens: interpolated between some, in the logarithms of both."""
    import numpy as np

    wanted = np.unique(tokens)
    if wanted.size > NODES:
        wanted = np.unique(np.concatenate([wanted[wanted <= SMALL], np.geomspace(wanted[0], wanted[-1], NODES)]))
    known = [
        _busiest(routing, num_experts, expected_experts_per_tok, float(t), ranks, replicas, balanced) for t in wanted
    ]
    pairs, distinct = np.log(np.array(known).T)
    at = np.log(tokens)
    return np.exp(np.interp(at, np.log(wanted), pairs)), np.exp(np.interp(at, np.log(wanted), distinct))
