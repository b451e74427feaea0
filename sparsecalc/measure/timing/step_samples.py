"""From samples of a step to rows: the whole model, the step, one layer of each kind, and the components."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sparsecalc.core.ops import Op
from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.data_files import read_data
from sparsecalc.device.driver_names import accelerator_of
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.documents.profile import Measurement
from sparsecalc.measure.architecture.component_marks import Key
from sparsecalc.measure.architecture.layer_slice import Slice
from sparsecalc.measure.machine.stopwatch import Samples
from sparsecalc.measure.timing.ledger_figures import OUTSIDE, Rows, held_bytes, moved_bytes, predicted, rows_of
from sparsecalc.model.spec import ModelSpec


@dataclass
class Reading:
    """The samples of one point. Keys are (kind of layer, component); seconds are of all measured layers of the kind."""

    spec: ModelSpec
    slice: Slice
    work: Workload
    precision: Precision
    peak_memory_bytes: int | None = None
    step: Samples | None = None
    eager: Samples | None = None
    marked: dict[Key, Samples] = field(default_factory=dict)
    within: list[Samples] = field(default_factory=list)
    """The step's own samples while its layers were marked."""
    distinct: float | None = None
    expected_distinct: float | None = None

    def add(self, samples: Samples, seen: list[dict[Key, float]], distinct: list[float | None]) -> None:
        """Samples of the step, and what each mark showed in each of them."""
        self.step = self.step or samples
        counted = [value for value in distinct if value is not None]
        self.distinct = sum(counted) / len(counted) if counted else None
        keys = dict.fromkeys(key for one in seen for key in one)
        for key in keys:
            values = [one.get(key, 0.0) for one in seen]
            self.marked[key] = Samples(values, samples.rejected, samples.method)
        if any(component == "layer" for _, component in keys):
            self.within = [samples]

    @property
    def layers(self) -> dict[str, int]:
        """Measured layers of each kind."""
        return {kind.label: len(kind.places) for kind in self.slice.kinds}

    def rest(self) -> Samples:
        """What a step spends outside its layers."""
        whole = self.within[0]
        inside = [self.marked[kind.label, "layer"].seconds for kind in self.slice.kinds]
        values = [max(0.0, t - sum(parts)) for t, *parts in zip(whole.seconds, *inside, strict=True)]
        return Samples(values, whole.rejected, whole.method)

    def one_layer(self, kind: str, component: str = "layer") -> Samples:
        """Seconds of one layer of a kind, or of a component in it."""
        found, layers = self.marked[kind, component], self.layers[kind]
        return Samples([value / layers for value in found.seconds], found.rejected, found.method)

    def model(self) -> Samples:
        """The whole model: rest + sum over kinds of count * one layer, sample by sample."""
        rest = self.rest()
        parts = [(kind.count, self.one_layer(kind.label).seconds) for kind in self.slice.kinds]
        values = [
            value + sum(count * seconds[index] for count, seconds in parts) for index, value in enumerate(rest.seconds)
        ]
        return Samples(values, rest.rejected, rest.method)


def formula(reading: Reading) -> str:
    """How the step was extrapolated: rest + sum over kinds of count * one layer = model, medians in ms."""
    work = reading.work
    parts = [f"{1e3 * reading.rest().median:.3f} (rest)"]
    for kind in reading.slice.kinds:
        parts.append(f"{kind.count} x {1e3 * reading.one_layer(kind.label).median:.3f} ({kind.label})")
    point = f"{work.phase}, batch {work.batch_size}, context {work.context_len}"
    return f"{point}: {' + '.join(parts)} = {1e3 * reading.model().median:.3f} ms"


def measurements(
    reading: Reading, environment: dict[str, Any], device: DeviceModel | None = None
) -> Iterator[Measurement]:
    """All rows of one point."""
    rows = rows_of(reading.spec, reading.slice.kinds, reading.work)
    counts = {kind.label: kind.count for kind in reading.slice.kinds}
    make = _Maker(reading, rows, environment, device)
    assert reading.step is not None
    yield make.row("model", reading.model(), _times(counts))
    held = held_bytes(rows, reading.layers, reading.precision, reading.work, reading.spec.hidden_size)
    for samples in filter(None, (reading.step, reading.eager)):
        step = make.row("step", samples, _times(reading.layers))
        yield step.but(peak_memory_bytes=reading.peak_memory_bytes, predicted_memory_bytes=held)
    for kind in reading.slice.kinds:
        for label, component in reading.marked:
            if label == kind.label:
                yield make.row(component, reading.one_layer(label, component), {(label, component): 1.0}, kind=label)
    yield make.row("rest", reading.rest(), {(OUTSIDE, "rest"): 1.0})
    for label, component in reading.marked:
        if label == OUTSIDE:
            yield make.row(component, reading.marked[label, component], {(OUTSIDE, component): 1.0})


def whole_step(
    reading: Reading, samples: Samples, environment: dict[str, Any], *, all_layers: bool, device: DeviceModel | None
) -> Measurement:
    """One row of a step whose layers were not marked: of the whole model, or of the layers that ran."""
    rows = rows_of(reading.spec, reading.slice.kinds, reading.work)
    counts = {kind.label: kind.count if all_layers else len(kind.places) for kind in reading.slice.kinds}
    return _Maker(reading, rows, environment, device).row("model" if all_layers else "step", samples, _times(counts))


def _times(counts: dict[str, int]) -> dict[Key, float]:
    """So many layers of each kind, and what stands outside them."""
    return {(OUTSIDE, "rest"): 1.0, **{(label, "layer"): float(count) for label, count in counts.items()}}


class _Maker:
    """Makes rows of one point."""

    def __init__(self, reading: Reading, rows: Rows, environment: dict[str, Any], device: DeviceModel | None) -> None:
        self.reading, self.rows = reading, rows
        self.seconds = predicted(reading.spec, reading.slice.kinds, reading.work, reading.precision, device)
        expected = reading.expected_distinct
        self.touched = reading.distinct / expected if reading.distinct and expected else 1.0
        self.peaks = _peaks(environment)

    def row(self, component: str, samples: Samples, wanted: dict[Key, float], kind: str = "") -> Measurement:
        """One row: the samples beside the ledger's figures for `wanted`, keys with numbers of layers."""
        reading, work = self.reading, self.reading.work
        ops: list[tuple[Op, float]] = [
            (op, op.layers * number) for key, number in wanted.items() for op in self.rows.of(*key)
        ]
        flops = sum(times * op.flops for op, times in ops)
        moved = sum(times * moved_bytes(op, reading.precision, self.touched) for op, times in ops)
        median = samples.median
        guess = self.seconds(wanted) or (None, None, None)
        per_flop, per_byte = (value / median if median else None for value in (flops, moved))
        whole = component in ("model", "step")
        experts = component in ("layer", "routed_experts") and any(op.kind == "experts" for op, _ in ops)
        peak, bandwidth = self.peaks
        return Measurement(
            phase=work.phase,
            component=component,
            kind=kind,
            batch_size=work.batch_size,
            new_tokens=work.new_tokens,
            context_len=work.context_len,
            layers=int(sum(number for (label, _), number in wanted.items() if label != OUTSIDE)),
            samples_seconds=samples.seconds,
            median_seconds=median,
            p10_seconds=samples.p10,
            p90_seconds=samples.p90,
            predicted_seconds=guess[0],
            predicted_low=guess[1],
            predicted_high=guess[2],
            tokens_per_second=work.tokens / median if whole and median else None,
            flops=flops,
            bytes=moved,
            achieved_flops_per_second=per_flop,
            achieved_bytes_per_second=per_byte,
            share_of_peak_flops=per_flop / peak if per_flop is not None and peak else None,
            share_of_bandwidth=per_byte / bandwidth if per_byte is not None and bandwidth else None,
            method=samples.method,
            rejected_samples=samples.rejected,
            outliers_seconds=samples.outliers,
            distinct_experts=reading.distinct if experts else None,
            expected_distinct_experts=reading.expected_distinct if experts else None,
        )


def _peaks(environment: dict[str, Any]) -> tuple[float | None, float | None]:
    """Dense peak FLOP/s in the measured format and bytes/s, by the data sheet of a GPU that we know."""
    if environment["device"] != "cuda":
        return None, None
    name = accelerator_of(environment["device_name"], environment["memory_bytes"])
    if name is None:
        return None, None
    sheet = read_data(f"accelerators/{name}.json")
    return sheet["peak_flops_per_second"].get(environment["dtype"]), sheet["memory_bytes_per_second"]
