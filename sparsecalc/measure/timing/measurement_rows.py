"""Rows of a report: samples of a step and of its parts, each beside what ledger and time model say of it."""

from collections.abc import Iterator, Mapping
from typing import Any

from sparsecalc.core.precision import Precision
from sparsecalc.data_files import read_data
from sparsecalc.device.driver_names import accelerator_of
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.documents.profile import Measurement
from sparsecalc.measure.machine.samples import Samples
from sparsecalc.measure.timing.layer_kinds import REST, SampledKind, StepPart
from sparsecalc.measure.timing.ledger_figures import held_bytes, moved_bytes, step_ops
from sparsecalc.measure.timing.predicted_step import PredictedStep
from sparsecalc.measure.timing.step_samples import StepSamples
from sparsecalc.model.spec import ModelSpec


class MeasurementRows:
    """Makes the rows of one step of a model on one machine."""

    def __init__(
        self,
        samples: StepSamples,
        spec: ModelSpec,
        precision: Precision,
        device: DeviceModel,
        conditions: dict[str, Any],
    ) -> None:
        """`conditions`: those of the machine, with the `dtype` that was run."""
        self.samples, self.spec, self.precision = samples, spec, precision
        self.ops = step_ops(spec, samples.kinds, samples.work)
        self.predicted = PredictedStep(spec, samples.kinds, samples.work, precision, device)
        self.peak_flops_per_second, self.peak_bytes_per_second = peaks(conditions)

    def every_row(self) -> Iterator[Measurement]:
        """The whole model, the step that was run, one layer of each kind and what stands outside, by components."""
        samples = self.samples
        assert samples.step is not None, "nothing was sampled"
        yield self.row("model", samples.model(), _whole({kind: kind.count for kind in samples.kinds}))
        run = {kind: len(kind.places) for kind in samples.kinds}
        held = held_bytes(self.ops, run, self.precision, samples.work, self.spec.hidden_size)
        for each in filter(None, (samples.step, samples.eager)):
            row = self.row("step", each, _whole(run))
            yield row.but(peak_memory_bytes=samples.peak_memory_bytes, predicted_memory_bytes=held)
        for kind in samples.kinds:
            yield from (self.row_of(part) for part in samples.parts if part.kind == kind)
        yield self.row_of(REST)
        yield from (self.row_of(part) for part in samples.parts if part.kind is None)

    def whole_step(self, samples: Samples, *, all_layers: bool) -> Measurement:
        """A step whose layers were not marked: of the whole model, or of the layers that ran."""
        layers = {kind: kind.count if all_layers else len(kind.places) for kind in self.samples.kinds}
        return self.row("model" if all_layers else "step", samples, _whole(layers))

    def row_of(self, part: StepPart) -> Measurement:
        """One part of the step, of one layer."""
        return self.row(part.name, self.samples.of(part), {part: 1.0}, kind=part.label)

    def row(self, component: str, samples: Samples, parts: Mapping[StepPart, float], kind: str = "") -> Measurement:
        """One row: samples beside the figures of `parts`, times the number of each."""
        work, experts, median = self.samples.work, self.samples.experts, samples.median
        ops = [(op, op.layers * number) for part, number in parts.items() for op in self.ops.of(part)]
        flops = sum(times * op.flops for op, times in ops)
        moved = sum(times * moved_bytes(op, self.precision, experts.reached) for op, times in ops)
        per_flop, per_byte = (value / median if median else None for value in (flops, moved))
        predicted = self.predicted.seconds(parts)
        whole = component in ("model", "step")
        routed = component in ("layer", "routed_experts") and any(op.kind == "experts" for op, _ in ops)
        return Measurement(
            phase=work.phase,
            component=component,
            kind=kind,
            batch_size=work.batch_size,
            new_tokens=work.new_tokens,
            context_len=work.context_len,
            layers=int(sum(number for part, number in parts.items() if part.kind)),
            samples_seconds=samples.seconds,
            median_seconds=median,
            p10_seconds=samples.p10,
            p90_seconds=samples.p90,
            predicted_seconds=predicted.seconds if predicted else None,
            predicted_low=predicted.low if predicted else None,
            predicted_high=predicted.high if predicted else None,
            tokens_per_second=work.tokens / median if whole and median else None,
            flops=flops,
            bytes=moved,
            achieved_flops_per_second=per_flop,
            achieved_bytes_per_second=per_byte,
            share_of_peak_flops=_share(per_flop, self.peak_flops_per_second),
            share_of_bandwidth=_share(per_byte, self.peak_bytes_per_second),
            method=samples.method,
            rejected_samples=samples.rejected,
            outliers_seconds=samples.outliers,
            distinct_experts=experts.measured if routed else None,
            expected_distinct_experts=experts.expected if routed else None,
        )


def _whole(layers: dict[SampledKind, int]) -> dict[StepPart, float]:
    """So many layers of each kind, and everything outside them."""
    return {REST: 1.0, **{StepPart(kind): float(count) for kind, count in layers.items()}}


def _share(rate: float | None, peak: float | None) -> float | None:
    return rate / peak if rate is not None and peak else None


def peaks(conditions: dict[str, Any]) -> tuple[float | None, float | None]:
    """Dense peak FLOP/s in the measured format and bytes/s, by the data sheet of a GPU that has one here."""
    if conditions["device"] != "cuda":
        return None, None
    name = accelerator_of(conditions["device_name"], conditions["memory_bytes"])
    if name is None:
        return None, None
    sheet = read_data(f"accelerators/{name}.json")
    return sheet["peak_flops_per_second"].get(conditions["dtype"]), sheet["memory_bytes_per_second"]
