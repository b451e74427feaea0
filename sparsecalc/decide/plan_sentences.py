"""A plan in sentences: the recommendation with its margin and what binds, ties, the nearest where nothing will do."""

from sparsecalc.core import units
from sparsecalc.decide.plan_question import PlanAsked
from sparsecalc.documents.plan import Candidate, NearMiss

MOST_TIES = 3
BOUNDS = {
    "weights": "reading weights",
    "kv_cache": "reading the KV cache",
    "activations": "moving activations",
    "compute": "compute",
    "overhead": "launches and the engine's own time",
    "network": "links between devices",
    "host": "the host",
}


def sentences(asked: PlanAsked, candidates: list[Candidate], misses: list[NearMiss], names: list[str]) -> list[str]:
    """The answer first; then each model's own best, and what is within the band of the recommended one."""
    if not candidates:
        return [_nothing(asked, misses)]
    best = candidates[0]
    lines = [_recommendation(asked, best)]
    lines += _sure(asked, candidates)
    if len(set(names)) > 1:
        firsts = {each.model: each for each in reversed(candidates)}
        lines += [f"{each.model}: best on {_where(each)}, {_price(each)}." for each in firsts.values()]
    ties = [f"{_where(each)}, {_price(each)}" for each in candidates[1:] if each.tied]
    ties += [each.text.partition(", which")[0] for each in misses if each.reason == "tied"]
    if ties:
        named = "; ".join(ties[:MOST_TIES])
        more = f"; and {len(ties) - MOST_TIES} more" if len(ties) > MOST_TIES else ""
        lines.append(f"Within the band of the recommended one, so a tie: {named}{more}.")
    return lines


def _recommendation(asked: PlanAsked, best: Candidate) -> str:
    load = f"{asked.rate:g} requests/s" if asked.rate else _in_flight(asked.concurrency or 1)
    tpot = f"{units.duration(best.tpot_seconds)} per token" + _margin(best, asked)
    ttft = f"first token after {units.duration(best.ttft_seconds)}"
    if asked.ttft:
        ttft += f" ({1 - best.ttft_seconds / asked.ttft:.0%} under {units.duration(asked.ttft)})"
    return (
        f"Run {best.model} in {best.dtype} on {_where(best)}: {_price(best)}, {load} at {tpot}, {ttft};"
        f" what binds a decode step: {BOUNDS.get(best.bound, best.bound)}."
    )


def _sure(asked: PlanAsked, candidates: list[Candidate]) -> list[str]:
    """The first candidate whose whole band is within the target, where that is another one than the recommended."""
    if asked.tpot is None or candidates[0].tpot_seconds_high <= asked.tpot:
        return []
    sure = next((each for each in candidates if each.tpot_seconds_high <= asked.tpot), None)
    if sure is None:
        return [f"No candidate's whole band is under {units.duration(asked.tpot)}."]
    tpot = units.band(sure.tpot_seconds, sure.tpot_seconds_low, sure.tpot_seconds_high)
    return [f"Under {units.duration(asked.tpot)} with its whole band: {_where(sure)}, {_price(sure)}, {tpot}."]


def _in_flight(count: int) -> str:
    return f"{count:,} requests in flight" if count > 1 else "one request in flight"


def _margin(best: Candidate, asked: PlanAsked) -> str:
    low, high = units.duration(best.tpot_seconds_low), units.duration(best.tpot_seconds_high)
    if asked.tpot is None:
        return f" (80 % band {low} to {high})"
    over = ", which reaches over it" if best.tpot_seconds_high > asked.tpot else ""
    under = f"{1 - best.tpot_seconds / asked.tpot:.0%} under {units.duration(asked.tpot)}"
    return f" ({under}; 80 % band {low} to {high}{over})"


def _where(one: Candidate) -> str:
    """`2 x 8 h200-sxm (tp 8)`."""
    each = one.num_gpus // one.replicas
    layout = f" ({one.layout})" if each > 1 else ""
    return f"{f'{one.replicas} x ' if one.replicas > 1 else ''}{each} {one.accelerator}{layout}"


def _price(one: Candidate) -> str:
    if one.usd_per_million_output_tokens is None:
        return f"{one.output_tokens_per_second:,.0f} tokens/s, no price"
    return f"USD {one.usd_per_million_output_tokens:.2f} per million output tokens (USD {one.usd_per_hour:,.2f}/h)"


def _nothing(asked: PlanAsked, misses: list[NearMiss]) -> str:
    targets = {"TPOT": asked.tpot, "TTFT": asked.ttft}
    wanted = [f"{name} {units.duration(value)}" for name, value in targets.items() if value]
    wanted += [f"USD {asked.budget:,.2f}/h"] if asked.budget else []
    limits = f" within {', '.join(wanted)}" if wanted else ""
    text = f"Nothing serves this{limits} on {asked.max_gpus:,} devices or fewer"
    return f"{text}. The nearest: {misses[0].text}." if misses else f"{text}."
