"""What people read of predictions: figures with their bands, a grid of loads, the ledger of a step."""

from collections.abc import Iterator, Sequence

from sparsecalc.core import units
from sparsecalc.documents.explain import StepReport
from sparsecalc.documents.show import GridPoint, ModelReport
from sparsecalc.estimate.results import PhasePrediction, Prediction
from sparsecalc.reports.grids import Grid, View

Figure = tuple[str, str, float | None]
"""Label, formatted figure, and the number that ratios are taken of."""


def device_figures(model: ModelReport) -> Iterator[Figure]:
    """What the accelerators make of the model: fit, seconds with their bands, serving, dollars, joules."""
    found = model.prediction
    if not found:
        return
    yield f"fits on {found.num_gpus} x {found.accelerator}", "yes" if found.fits else "no", None
    yield "  laid out as", found.placement, None
    yield "devices needed", str(found.gpus_needed or "none is enough"), found.gpus_needed
    per_gpu = f"{units.nbytes(found.bytes_per_gpu)} of {units.nbytes(found.capacity_bytes)}"
    yield "per device, before the allowance", per_gpu, found.bytes_per_gpu
    yield "largest batch at this context", f"{found.largest_batch_size:,}", None
    yield "largest context at this batch", f"{found.largest_context_len:,}", None
    yield from _times(model, found)


def _times(model: ModelReport, found: Prediction) -> Iterator[Figure]:
    prefill, decode, serving = found.prefill, found.decode, found.serving
    if not (prefill and decode and serving):
        return
    yield f"prefill of {serving.prompt_len:,} tokens", _banded(prefill), prefill.seconds
    load = f"{model.memory.batch_size} x {model.memory.context_len:,}"
    yield f"decode step of {load}", _banded(decode), decode.seconds
    yield "  bound by (prefill, decode)", f"{prefill.bound}, {decode.bound}", None
    rate = decode.tokens_per_second
    yield "decode, all sequences", f"{rate:,.0f} tokens/s", rate
    yield "TTFT, idle server", units.duration(serving.ttft_seconds), serving.ttft_seconds
    tpot = units.band(serving.tpot_seconds, serving.tpot_seconds_low, serving.tpot_seconds_high)
    yield (
        f"TPOT at {serving.concurrency} requests of {serving.prompt_len:,} + {serving.output_len:,}",
        tpot,
        serving.tpot_seconds,
    )
    per_gpu = serving.output_tokens_per_second_per_gpu
    yield "output per device", f"{per_gpu:,.0f} tokens/s", per_gpu
    if found.speculation:
        spec = found.speculation
        yield (
            f"speculation, {spec.draft_tokens} guesses at {spec.acceptance:g}",
            f"{spec.speedup:.2f}x as fast",
            spec.speedup,
        )
    dollars = found.usd_per_million_output_tokens
    yield "USD per million output tokens", "-" if dollars is None else f"{dollars:.3g}", dollars
    dollars = found.usd_per_million_input_tokens
    yield "USD per million input tokens", "-" if dollars is None else f"{dollars:.3g}", dollars
    joules = serving.joules_per_output_token_at_most
    yield "joules per output token, at most (TDP)", "-" if joules is None else f"{joules:.3g}", joules


def _banded(phase: PhasePrediction) -> str:
    return units.band(phase.seconds, phase.seconds_low, phase.seconds_high)


def grid_of(models: Sequence[ModelReport]) -> list[Grid]:
    """One table of all points of all models' grids; none where a single load was asked for."""
    points = [(model.model.id, point) for model in models for point in model.grid]
    if not points:
        return []
    headers = [
        "model",
        "on",
        "batch",
        "context",
        "fits",
        "prefill",
        "decode step",
        "bound",
        "TPOT",
        "tokens/s/GPU",
        "USD/M out",
    ]
    return [Grid(headers=headers, rows=[_cells(name, point) for name, point in points], left=2)]


def _cells(name: str, point: GridPoint) -> list[str]:
    dollars = point.usd_per_million_output_tokens
    return [
        name,
        f"{point.num_gpus} x {point.accelerator}",
        f"{point.batch_size:,}",
        f"{point.context_len:,}",
        "yes" if point.fits else "no",
        units.duration(point.prefill_seconds),
        units.band(point.decode_seconds, point.decode_seconds_low, point.decode_seconds_high),
        point.bound,
        units.duration(point.tpot_seconds),
        f"{point.output_tokens_per_second_per_gpu:,.0f}",
        "-" if dollars is None else f"{dollars:.3g}",
    ]


def step_view(document: StepReport) -> View:
    """The ledger of a step: its kernels with what they move, compute and take."""
    rows = [
        [
            f"{line.group}: {line.name}" if line.group else line.name,
            f"{line.layers:g}",
            units.flops(line.flops),
            units.nbytes(line.weight_bytes),
            units.nbytes(line.cache_bytes),
            units.nbytes(line.activation_bytes),
            units.duration(line.seconds),
            f"{line.share:.1%}",
            line.bound,
        ]
        for line in document.lines
    ]
    headers = ["kernel", "layers", "FLOPs", "weights", "cache", "activations", "seconds", "share", "bound by"]
    parts = sorted(document.by_bound.items(), key=lambda item: -item[1])
    spent = ", ".join(f"{name} {units.duration(seconds)}" for name, seconds in parts if seconds > 0)
    total = units.band(document.seconds, document.seconds_low, document.seconds_high)
    lines = [*document.text, f"{document.topic} = {total}, 80 % band; by what it is spent on: {spent}."]
    return View(grids=[Grid(headers=headers, rows=rows)], lines=lines)
