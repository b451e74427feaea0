"""The layouts that a plan looks at: powers of two, matrices split inside the fast links, stages between them."""

from collections.abc import Iterator

from sparsecalc.estimate.placement import Placement, attention_heads
from sparsecalc.model.spec import ModelSpec

MOST_REPLICAS = 256


def layouts(spec: ModelSpec, most: int, domain_size: int, *, fast_links: bool) -> list[Placement]:
    """Layouts of one replica on at most `most` devices, `domain_size` of which are joined by fast links.

    tp              up to the domain, where it divides all attention heads
    pp              stages between domains; without fast links also within one
    ep = tp         experts whole on each device, of a mixture of experts
    dp, ep = tp dp  copies of the attention, of a mixture of experts (a dense model has replicas instead)
    """
    heads = attention_heads(spec)
    experts = min((mixture.num_experts for _, mixture in spec.mixtures), default=1)
    degrees = [tp for tp in powers(min(most, domain_size)) if all(count % tp == 0 for count in heads)] or [1]
    found = [plan for tp in degrees for plan in _around(tp, degrees[-1], most, experts, fast_links=fast_links)]
    return [plan for plan in found if plan.pp <= spec.num_hidden_layers]


def _around(tp: int, largest: int, most: int, experts: int, *, fast_links: bool) -> Iterator[Placement]:
    yield Placement(tp=tp)
    if 1 < tp <= experts:
        yield Placement(tp=tp, ep=tp)
    for factor in powers(most // tp)[1:]:
        if tp == largest or (tp == 1 and not fast_links):
            yield Placement(tp=tp, pp=factor)
        if fast_links and tp * factor <= experts:
            yield Placement(tp=tp, dp=factor, ep=tp * factor)


def powers(most: int) -> list[int]:
    """1, 2, 4... up to `most`."""
    return [1 << exponent for exponent in range(most.bit_length())] if most > 0 else []


def replica_counts(most: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12...: powers of two and three halves of them, up to `most`."""
    halves = {3 * each for each in powers(most)}
    return sorted(each for each in {*powers(most), *halves} if each <= min(most, MOST_REPLICAS))
