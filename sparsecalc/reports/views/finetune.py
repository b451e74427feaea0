"""What people read of `finetune`: memory by part, FLOPs, fit and time, then the conclusion."""

from collections.abc import Iterator

from sparsecalc.core import units
from sparsecalc.documents.finetune import FinetuneReport, Fit, Option, Run
from sparsecalc.estimate.training import TrainingMemory
from sparsecalc.reports.view import Grid, View

KERNELS = {
    "fused": "fused attention, norms and SwiGLU",
    "torch": "transformers' modules, fused attention only",
    "eager": "transformers' modules, score matrices kept",
}
"""What the values of `--kernels` stand for."""


def view(document: FinetuneReport) -> View:
    """The answer and the options; tables of one device's memory, of one token's FLOPs and of the devices."""
    best, asked = document.recommended, _asked(document)
    columns = [(asked if document.options else document.model, document.memory)]
    if best and best.memory != document.memory:
        columns.insert(0, ("recommended", best.memory))
    grids = [Grid(headers=OPTIONS, rows=[_option(option) for option in document.options], left=2)]
    grids = grids if document.options else []
    grids.append(
        Grid(headers=["memory of one device", *(name for name, _ in columns)], rows=_memory(document, columns))
    )
    grids.append(Grid(headers=["FLOPs per token", asked], rows=list(_flops(document))))
    devices = [*(_fit(document.fit) if document.fit else ()), *(_run(document.run) if document.run else ())]
    if document.fit:
        grids.append(Grid(headers=[f"{document.inputs['num_gpus']} {document.fit.accelerator}", asked], rows=devices))
    return View(answer=[document.answer], grids=grids, lines=document.conclusion)


def _asked(document: FinetuneReport) -> str:
    """`lora, no checkpointing, 3 x ZeRO-3`."""
    inputs, words = document.inputs, document.inputs["checkpointing"]
    devices = f", {inputs['num_gpus']} x ZeRO-{inputs['zero']}" if inputs["num_gpus"] > 1 else ""
    return f"{inputs['method']}, {'no' if words == 'none' else words} checkpointing{devices}"


OPTIONS = ["method", "checkpointing", "devices", "ZeRO", "per device", "fits", "hours", "USD"]


def _option(option: Option) -> list[str]:
    banded = ""
    if option.hours is not None and option.hours_low is not None and option.hours_high is not None:
        banded = _banded(option.hours, option.hours_low, option.hours_high)
    usd = ""
    if option.usd is not None and option.usd_low is not None and option.usd_high is not None:
        usd = _banded(option.usd, option.usd_low, option.usd_high)
    return [
        option.method,
        option.checkpointing,
        f"{option.num_gpus:,}",
        f"{option.zero_stage}",
        units.nbytes(option.bytes_per_gpu),
        "yes" if option.fits else "no",
        banded if option.fits else "",
        usd if option.fits else "",
    ]


def _memory(document: FinetuneReport, columns: list[tuple[str, TrainingMemory]]) -> list[list[str]]:
    inputs = document.inputs
    tokens = f"{inputs['batch_size']:,} x {inputs['seq_len']:,} tokens"
    parts = {
        "weights_bytes": f"weights ({inputs['weights_dtype']})",
        "adapters_bytes": "adapters",
        "gradients_bytes": "gradients",
        "optimizer_bytes": f"optimizer states ({inputs['optimizer']})",
        "master_bytes": "master copy (fp32)",
        "gathered_bytes": "gathered or dequantized temporarily",
        "activations_bytes": f"activations of {tokens}",
        "logits_bytes": "logits and their gradient",
        "recomputed_bytes": "recomputed layer, beyond the logits",
        "total_bytes": "total",
    }
    if inputs["method"] != "full":
        parts["adapters_bytes"] = f"adapters ({units.count(document.trained_params)} parameters, rank {inputs['rank']})"
    sizes = [memory.to_dict() for _, memory in columns]
    rows = [[label, *(units.nbytes(held[key]) for held in sizes)] for key, label in parts.items()]
    return [*rows, ["kernels", *[""] * (len(columns) - 1), KERNELS[str(inputs["kernels"])]]]


def _flops(document: FinetuneReport) -> Iterator[list[str]]:
    tokens = document.flops.model / document.model_flops_per_token
    yield ["forward", units.flops(document.flops.forward / tokens)]
    yield ["backward", units.flops(document.flops.backward / tokens)]
    yield ["  of these: attention scores and values", units.flops(document.flops.attention / tokens)]
    if document.flops.adapters:
        yield ["  of these: adapters", units.flops(document.flops.adapters / tokens)]
    yield ["recomputed for checkpointing", units.flops(document.recomputed_flops_per_token)]


def _fit(fit: Fit) -> Iterator[list[str]]:
    yield ["fits", "yes" if fit.fits else "no"]
    yield [f"free of {100 * fit.device_memory_share:.0f} % of a device", units.nbytes(fit.free_bytes)]
    yield ["largest batch per device", f"{fit.largest_batch_size:,}"]
    yield ["devices needed", _count(fit.gpus_needed)]
    yield ["devices needed with ZeRO-3", _count(fit.gpus_needed_zero3)]


def _count(value: int | None) -> str:
    return "no number is enough" if value is None else f"{value:,}"


def _run(run: Run) -> Iterator[list[str]]:
    yield ["MFU", _banded(run.mfu, run.mfu_low, run.mfu_high)]
    yield ["MFU from", run.mfu_source.removeprefix("low: ").partition(":")[0].partition(",")[0]]
    yield ["seconds per step", f"{run.seconds_per_step:,.2f}"]
    assumed = "" if run.tokens_source.startswith("--") else " (assumed)"
    yield [f"hours for {units.count(run.tokens)} tokens{assumed}", _banded(run.hours, run.hours_low, run.hours_high)]
    if run.usd is not None and run.usd_low is not None and run.usd_high is not None:
        yield ["US dollars", _banded(run.usd, run.usd_low, run.usd_high)]


def _banded(value: float, low: float, high: float) -> str:
    band = "" if low == high else f"  ({_short(low)} to {_short(high)})"
    return f"{_short(value)}{band}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
