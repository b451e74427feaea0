"""What a step spends on the host: kernels that its CPU computes, weights that are sent to the device, pages from disk.

    tokens < sends_from     the CPU computes what lies in its memory, with the constants of its own kernels
    else                    bytes of the weights (of experts: those that are used) / rate of the link for mapped files,
                            and the device computes them
    each visit              visit_seconds + 2 * tokens * hidden_size * 4 / link
    RAM too small           bytes read * share that does not fit / rate of the disk

Nothing overlaps: a layer waits for the one before it. Source: llama.cpp, ggml/src/ggml-backend.cpp.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sparsecalc.core.arrays import Number
from sparsecalc.core.ops import Ledger, Op
from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.host import Host, host_default
from sparsecalc.estimate.kernel import Kernel, Setting
from sparsecalc.estimate.kernels import kernels
from sparsecalc.estimate.offload import resident_cache_share, resident_share
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.timing import KernelTime, kernel_time

STATE_BYTES = 4
"""llama.cpp hands hidden states over in 32 bits."""
SENT, VISITS = "weights sent to the device", "between device and host"
"""Names of what the link does in a step."""
ON_HOST = "in host memory"
"""How the names of kernels end that the CPU computes."""
PAGES = "pages from disk"
"""Name of what is read from disk because host memory is too small."""
FUSED = ("matmul", "experts")
"""Kinds of which neighbours run as one kernel, so that they share one place."""


@dataclass(frozen=True, slots=True)
class Sides:
    """One step's ledgers on both sides, with layers as shares of those that lie there, and what is sent across."""

    host: Host
    visits: int
    on_device: list[Ledger]
    reach_on_device: Ledger
    on_host: list[Ledger]
    reach_on_host: Ledger
    sent_bytes: Number
    read_bytes: Number
    """Bytes of weights in host memory that the step reads, wherever they are multiplied."""


def sides(
    rows: Sequence[Ledger], reach: Ledger, works: Sequence[Workload], precision: Precision, plan: Placement
) -> Sides | None:
    """A step's ledgers on device and host; None where nothing lies in host memory that is computed with."""
    host = plan.host
    if plan.places is None or host is None:
        return None
    shares = _host_shares(rows[0], precision, plan)
    if not any(shares):
        return None
    tokens = sum(work.tokens for work in works)
    sent = [1.0 * _is_sent(op, tokens, host) for op in rows[0]]
    there = [share * (1 - each) for share, each in zip(shares, sent, strict=True)]
    here = [1 - share for share in there]
    moved, read = _traffic(rows[0], reach, precision, (shares, sent), host)
    return Sides(
        host=host,
        visits=plan.places.visits,
        on_device=[_part(ledger, here) for ledger in rows],
        reach_on_device=_part(reach, here),
        on_host=[_part(ledger, there) for ledger in rows],
        reach_on_host=_part(reach, there),
        sent_bytes=moved,
        read_bytes=read,
    )


def host_times(
    found: Sides, works: Sequence[Workload], whole: Sequence[Workload], precision: Precision, hidden_size: int
) -> list[KernelTime]:
    """Seconds of a step on the host and on the way there and back."""
    host = found.host
    times = _computed(found, works, whole, precision) if host.device else []
    tokens = sum(work.tokens for work in works)
    crossing = 2 * STATE_BYTES * tokens * hidden_size / host.link_bytes_per_second
    more = {
        SENT: found.sent_bytes / host.sending_bytes_per_second,
        VISITS: found.visits * (host.rules.visit_seconds + crossing),
        PAGES: found.read_bytes * host.paged_share / host_default("disk_bytes_per_second"),
    }
    return [*times, *(_time(name, seconds) for name, seconds in more.items())]


def _computed(
    found: Sides, works: Sequence[Workload], whole: Sequence[Workload], precision: Precision
) -> list[KernelTime]:
    """The kernels of the host's CPU, each told as the host's."""
    device = found.host.device
    assert device is not None
    setting = Setting.of(precision, Placement(), device)
    times = []
    for kernel in kernels(found.on_host, works, found.reach_on_host, setting, whole):
        time = kernel_time(kernel, device)
        time.kernel.name = f"{kernel.name} {ON_HOST}"
        spread = max(time.spread, host_default("host_spread"))
        times.append(KernelTime(time.kernel, time.seconds, spread, {"host": time.seconds}))
    return times


def _time(name: str, seconds: Number) -> KernelTime:
    kernel = Kernel(name=name, component="other", family="vector")
    return KernelTime(kernel, seconds, host_default("host_spread"), {"host": seconds})


def _host_shares(rows: Ledger, precision: Precision, plan: Placement) -> list[float]:
    """Share of each op's layers that is in host memory; of ops that run as one kernel their mean by bytes.

    Of attention and states that of the cache; a lookup costs nothing anywhere.
    """
    shares, held = [], defaultdict[tuple[str, str, str], list[tuple[float, float]]](list)
    for op in rows:
        cached = op.kind in ("attention", "scan", "conv") or op.kv_elements_per_token or op.index_elements_per_token
        resident = resident_cache_share(plan, op) if cached else resident_share(plan, op)
        share = 0.0 if op.kind == "lookup" else 1 - resident
        shares.append(share)
        if op.kind in FUSED:
            held[_kernel(op)].append((float(precision.used_weight_bytes(op)), share))
    means = {name: _mean(parts) for name, parts in held.items()}
    return [means[_kernel(op)] if op.kind in FUSED else share for op, share in zip(rows, shares, strict=True)]


def _mean(parts: list[tuple[float, float]]) -> float:
    total = sum(size for size, _ in parts)
    return sum(size * share for size, share in parts) / total if total else parts[0][1]


def _kernel(op: Op) -> tuple[str, str, str]:
    return op.group, op.component, op.kind


def _is_sent(op: Op, tokens: Number, host: Host) -> Number:
    """Whether a step of so many tokens has an op's weights sent: 1 or 0, an array for an array."""
    least = host.rules.sends_from
    if least is None:
        return 0
    if op.kind == "experts" and host.rules.sends_per_expert:
        return 1 * (tokens >= least * op.num_experts / max(op.num_experts_per_tok, 1))
    return 1 * (tokens >= least)


def _traffic(
    rows: Ledger, reach: Ledger, precision: Precision, shares: tuple[list[float], list[Number]], host: Host
) -> tuple[Number, Number]:
    """Bytes that are sent to the device, and bytes of weights in host memory that are read."""
    moved: Number = 0.0
    read: Number = 0.0
    used_only = host.rules.sends == "used experts"
    for op, reached, share, sent in zip(rows, reach, *shares, strict=True):
        size = precision.used_weight_bytes(op) * op.layers * share
        used = size * (reached.read_share if op.kind == "experts" else 1)
        read = read + used
        cache = op.cache_read_elements * precision.kv_cache.bits_per_weight / 8 * op.layers * share
        moved = moved + sent * ((used if used_only else size) + cache)
    return moved, read


def _part(rows: Ledger, shares: Sequence[Number]) -> Ledger:
    """The ledger with as many layers as a side computes."""
    return Ledger(replace(op, layers=op.layers * share) for op, share in zip(rows, shares, strict=True))
