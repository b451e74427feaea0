"""The figures of a model that `show` lists and `compare` puts side by side: each is declared here, once."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from sparsecalc.core import units
from sparsecalc.documents.show import GridPoint, ModelReport
from sparsecalc.estimate.results import Flops, Memory, Params, PhasePrediction, Prediction, Speculation
from sparsecalc.reports.view import Grid

SPECULATION = "speculation"
"""How the label of its speed-up begins."""


class Figure(NamedTuple):
    """A row of the table."""

    label: str
    text: str
    """The figure with its unit, as it is read."""
    value: float | None = None
    """What `compare` divides by the first model's; None for what has no ratio."""


def figures(model: ModelReport) -> Iterator[Figure]:
    """All figures of a model, in the order of the table; those of accelerators only where some are named."""
    yield from _parameters(model.params)
    yield from _flops(model.flops)
    yield from _memory(model.memory)
    if model.prediction:
        yield from _fit(model.prediction)
        yield from _times(model.prediction, model.memory)
        yield from _prices(model.prediction)


def _figure(label: str, value: float, write: Callable[[float], str]) -> Figure:
    return Figure(label, write(value), value)


def _parameters(params: Params) -> Iterator[Figure]:
    def both(value: float) -> str:
        return f"{units.count(value)}  ({value:,})"

    def short(value: float) -> str:
        return units.count(value, 2)

    yield _figure("parameters, total", params.total, both)
    yield _figure("parameters, active per token", params.active, both)
    yield _figure("  without the input embedding", params.active_excl_embedding, short)
    yield _figure("  without embedding and LM head", params.active_excl_embedding_and_head, short)


def _flops(flops: Flops) -> Iterator[Figure]:
    yield _figure(f"FLOPs per token, prefill of {flops.context_len:,}", flops.prefill_per_token, units.flops)
    yield _figure(f"FLOPs per token, decode at {flops.context_len:,}", flops.decode_per_token, units.flops)


def _memory(memory: Memory) -> Iterator[Figure]:
    tokens = f"{memory.batch_size} x {memory.context_len:,} tokens"
    yield _figure(f"weights ({memory.weights_dtype})", memory.weights_bytes, units.nbytes)
    yield _figure(f"KV cache per token ({memory.kv_cache_dtype})", memory.kv_cache_bytes_per_token, units.nbytes)
    yield _figure(f"KV cache of {tokens}", memory.kv_cache_bytes, units.nbytes)
    yield _figure("recurrent state and index cache", memory.state_bytes + memory.index_cache_bytes, units.nbytes)
    yield _figure("working memory (peak)", max(memory.activation_bytes, memory.logits_bytes), units.nbytes)
    yield _figure("reserved for driver and engine", memory.framework_bytes, units.nbytes)
    yield _figure("memory, total", memory.total_bytes, units.nbytes)


def _fit(prediction: Prediction) -> Iterator[Figure]:
    used = f"{units.nbytes(prediction.bytes_per_gpu)} of {units.nbytes(prediction.capacity_bytes)}"
    yield Figure(f"fits on {prediction.num_gpus} x {prediction.accelerator}", "yes" if prediction.fits else "no")
    yield Figure("  parallelism", prediction.placement)
    yield Figure("devices needed", str(prediction.gpus_needed or "no number is enough"), prediction.gpus_needed)
    yield Figure("used per device, without the reserve", used, prediction.bytes_per_gpu)
    yield from _host(prediction)
    yield Figure("largest batch at this context", f"{prediction.largest_batch_size:,}")
    yield Figure("largest context at this batch", f"{prediction.largest_context_len:,}")


def _host(prediction: Prediction) -> Iterator[Figure]:
    """What lies in host memory, where there is anything."""
    host = prediction.host
    if prediction.host_memory_bytes:
        yield _figure("host memory", prediction.host_memory_bytes, units.nbytes)
    if host is None or not (host.expert_layers_on_host or host.gpu_layers < host.num_layers):
        return
    yield Figure("  layers on devices", f"{host.gpu_layers} of {host.num_layers}", host.gpu_layers)
    if host.expert_layers_on_host:
        yield Figure("  of them with tensors on the host", str(host.expert_layers_on_host), host.expert_layers_on_host)
    room = "" if host.usable_bytes is None else f" of {units.nbytes(host.usable_bytes)}"
    yield Figure(f"  host ({host.name})", f"{host.memory_bytes_per_second / 1e9:.0f} GB/s{room}")
    if host.paged_bytes:
        yield _figure("  read from disk as it is used", host.paged_bytes, units.nbytes)


def _times(prediction: Prediction, memory: Memory) -> Iterator[Figure]:
    prefill, decode, serving = prediction.prefill, prediction.decode, prediction.serving
    if not (prefill and decode and serving):
        return
    tpot = units.band(serving.tpot_seconds, serving.tpot_seconds_low, serving.tpot_seconds_high)
    noun = "request" if serving.concurrency == 1 else "requests"
    many = f"{serving.running} of {serving.concurrency}" if serving.waiting else f"{serving.concurrency}"
    requests = f"{many} {noun} of {serving.prompt_len:,} + {serving.output_len:,}"
    yield Figure(f"prefill of {serving.prompt_len:,} tokens", _banded(prefill), prefill.seconds)
    yield Figure(f"decode step of {memory.batch_size} x {memory.context_len:,}", _banded(decode), decode.seconds)
    yield Figure("  bound by (prefill, decode)", f"{prefill.bound}, {decode.bound}")
    yield _figure("decode, all sequences", decode.tokens_per_second, _rate)
    yield _figure("TTFT, idle server", serving.ttft_idle_seconds, units.duration)
    if serving.concurrency > 1:
        ttft = units.band(serving.ttft_seconds, serving.ttft_seconds_low, serving.ttft_seconds_high)
        yield Figure(f"TTFT at {requests}", ttft, serving.ttft_seconds)
    yield Figure(f"TPOT at {requests}", tpot, serving.tpot_seconds)
    yield _figure("output per device", serving.output_tokens_per_second_per_gpu, _rate)
    if prediction.speculation:
        yield _speculation(prediction.speculation)


def _speculation(speculation: Speculation) -> Figure:
    label = f"{SPECULATION} ({speculation.draft_tokens} draft tokens, acceptance {speculation.acceptance:.3g})"
    return Figure(label, f"{speculation.speedup:.2f}x as fast", speculation.speedup)


def _prices(prediction: Prediction) -> Iterator[Figure]:
    joules = prediction.serving.joules_per_output_token_at_most if prediction.serving else None
    for label, value in (
        ("USD per million output tokens", prediction.usd_per_million_output_tokens),
        ("USD per million input tokens", prediction.usd_per_million_input_tokens),
        ("joules per output token, at most (TDP)", joules),
    ):
        yield Figure(label, _amount(value), value)


def _banded(phase: PhasePrediction) -> str:
    return units.band(phase.seconds, phase.seconds_low, phase.seconds_high)


def _rate(tokens_per_second: float) -> str:
    few = 0 < tokens_per_second < 9.95
    return f"{tokens_per_second:.2g} tokens/s" if few else f"{tokens_per_second:,.0f} tokens/s"


def _amount(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


GRID_HEADERS = [
    "model",
    "on",
    "batch",
    "context",
    "fits",
    "prefill",
    "decode step",
    "bound by",
    "TPOT",
    "tokens/s/GPU",
    "USD/M out",
]


def grid_tables(models: Sequence[ModelReport]) -> list[Grid]:
    """One table of all points of the models' grids; none where a single load was asked for."""
    points = [(model.model.id, point) for model in models for point in model.grid]
    if not points:
        return []
    more = [name for name in GRID_LAYOUT if len({getattr(point, name) for _, point in points}) > 1]
    rows = [_point(model, point, more) for model, point in points]
    headers = [*GRID_HEADERS[:2], *(GRID_LAYOUT[name] for name in more), *GRID_HEADERS[2:]]
    return [Grid(headers=headers, rows=rows, left=2 + len(more))]


GRID_LAYOUT = {"placement": "layout", "weights_dtype": "weights"}
"""Columns of the grid that stand there where they differ."""


def _point(model: str, point: GridPoint, more: Sequence[str]) -> list[str]:
    return [
        model,
        f"{point.num_gpus} x {point.accelerator}",
        *(getattr(point, name) for name in more),
        f"{point.batch_size:,}",
        f"{point.context_len:,}",
        "yes" if point.fits else "no",
        units.duration(point.prefill_seconds),
        units.band(point.decode_seconds, point.decode_seconds_low, point.decode_seconds_high),
        point.bound,
        units.duration(point.tpot_seconds),
        f"{point.output_tokens_per_second_per_gpu:,.0f}",
        _amount(point.usd_per_million_output_tokens),
    ]
