"""What people read of `simulate`: times of the requests, throughput, queue and cache; several models with ratios."""

from sparsecalc.core import units
from sparsecalc.documents.simulate import SimulatedModel, SimulateReport, SimulationRatio
from sparsecalc.estimate.replay.results import Quantiles
from sparsecalc.reports.view import Grid, View

MOST_IN_FULL = 3
"""Replays up to which each is shown in full."""
TIMES = {
    "ttft_seconds": "time to first token (TTFT)",
    "tpot_seconds": "time per output token (TPOT)",
    "itl_seconds": "between two tokens (ITL)",
    "e2e_seconds": "end to end",
    "queue_seconds": "in the queue",
}


def view(document: SimulateReport) -> View:
    """The highest rates, if they are asked for; a table of times and one of figures for each model, then the ratios."""
    if len(document.models) > MOST_IN_FULL:
        grids = [_rates(document.models)]
    else:
        grids = [grid for model in document.models for grid in (_times(model), _figures(model))]
    if document.ratios:
        grids.append(_ratios(document.ratios))
    answer = [line for model in document.models if (line := _highest_rate(model))]
    return View(answer=answer, grids=grids)


def _highest_rate(model: SimulatedModel) -> str:
    """Up to which rate a model's server keeps the targets, or why that is not known; empty where it is not asked."""
    if model.highest_rate is None:
        return f"{model.model}: {model.why}." if model.why else ""
    server = f"{model.num_gpus} x {model.accelerator} ({model.placement}), {model.engine}, {model.weights_dtype}"
    why = f" ({model.why})" if model.why else ""
    return f"{model.model} keeps the targets up to {model.highest_rate:,.4g} requests/s on {server}{why}."


def _rates(models: list[SimulatedModel]) -> Grid:
    """A row for each replay, where there are many."""
    rows = []
    for model in models:
        found = model.simulation
        seconds = (found.ttft_seconds.mean, found.ttft_seconds.p99, found.tpot_seconds.mean, found.e2e_seconds.mean)
        cells = [f"{model.rate:,.4g}" if model.rate else "-", *map(units.duration, seconds)]
        cells += [f"{found.output_tokens_per_second:,.0f}", f"{found.running_mean:,.1f}", f"{found.waiting_mean:,.1f}"]
        cells += [
            f"{found.kv_cache_usage_peak:.0%}",
            "-" if found.goodput_share is None else f"{found.goodput_share:.1%}",
        ]
        rows.append([model.model, f"{model.num_gpus} x {model.accelerator}", *cells])
    times = ["TTFT", "TTFT p99", "TPOT", "end to end"]
    headers = ["model", "on", "requests/s", *times, "tokens/s", "running", "waiting", "KV cache", "keep targets"]
    return Grid(headers=headers, rows=rows, left=2)


def _times(model: SimulatedModel) -> Grid:
    rows = [[text, *_cells(getattr(model.simulation, name))] for name, text in TIMES.items()]
    return Grid(headers=[model.model, "mean", "p50", "p90", "p99"], rows=rows)


def _cells(times: Quantiles) -> list[str]:
    return [units.duration(value) if value else "0" for value in (times.mean, times.p50, times.p90, times.p99)]


def _figures(model: SimulatedModel) -> Grid:
    found = model.simulation
    tpot = found.tpot_seconds.mean
    rows = [
        [
            "served by",
            f"{model.num_gpus} x {model.accelerator} ({model.placement}), {model.engine}, {model.weights_dtype}",
        ],
        ["requests", f"{found.requests:,} in {units.duration(found.duration_seconds)}"],
        ["TPOT, mean (80 % band)", units.band(tpot, found.tpot_seconds_low, found.tpot_seconds_high)],
        ["output tokens per second", f"{found.output_tokens_per_second:,.0f}"],
        ["... per device", f"{found.output_tokens_per_second_per_gpu:,.0f}"],
        ["running, waiting (mean)", f"{found.running_mean:,.1f}, {found.waiting_mean:,.1f}"],
        ["KV cache in use, at most", f"{found.kv_cache_usage_peak:.0%}"],
        ["preemptions", f"{found.preemptions:,}"],
    ]
    if model.highest_rate is not None:
        rows.insert(0, ["highest rate that keeps the targets", f"{model.highest_rate:,.4g} requests/s"])
    if found.goodput_share is not None:
        rows.append(["requests that keep the targets", f"{found.goodput_share:.1%}"])
    if found.usd_per_million_output_tokens is not None:
        rows.append(["USD per million output tokens", f"{found.usd_per_million_output_tokens:,.2f}"])
    return Grid(headers=["under load", model.model], rows=rows)


def _ratios(ratios: list[SimulationRatio]) -> Grid:
    names = ("ttft_seconds", "tpot_seconds", "e2e_seconds", "output_tokens_per_second", "usd_per_million_output_tokens")
    rows = [
        [each.model, each.accelerator, *(_ratio(getattr(each, name)) for name in (*names, "highest_rate"))]
        for each in ratios
    ]
    headers = [
        f"over {ratios[0].to}",
        "on",
        "TTFT",
        "TPOT",
        "end to end",
        "tokens/s",
        "USD per million",
        "highest rate",
    ]
    return Grid(headers=headers, rows=rows, left=2)


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}x"
