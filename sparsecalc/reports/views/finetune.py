"""What people read of `finetune`: memory by part, FLOPs, fit and time, then the conclusion."""

from collections.abc import Iterator

from sparsecalc.core import units
from sparsecalc.documents.finetune import FinetuneReport, Fit, Run
from sparsecalc.reports.view import Grid, View

KERNELS = {
    "fused": "fused attention, norms and SwiGLU",
    "torch": "transformers' modules, fused attention only",
    "eager": "transformers' modules, score matrices kept",
}
"""What the values of `--kernels` stand for."""


def view(document: FinetuneReport) -> View:
    """Tables of one device's memory, of one token's FLOPs and of the devices; then the conclusion."""
    grids = [
        Grid(headers=["memory of one device", document.model], rows=list(_memory(document))),
        Grid(headers=["FLOPs per token", ""], rows=list(_flops(document))),
    ]
    devices = [*(_fit(document.fit) if document.fit else ()), *(_run(document.run) if document.run else ())]
    if document.fit:
        grids.append(Grid(headers=[f"{document.inputs['num_gpus']} {document.fit.accelerator}", ""], rows=devices))
    return View(grids=grids, lines=document.conclusion)


def _memory(document: FinetuneReport) -> Iterator[list[str]]:
    memory, inputs = document.memory, document.inputs
    tokens = f"{inputs['batch_size']:,} x {inputs['seq_len']:,} tokens"
    yield [f"weights ({inputs['weights_dtype']})", units.nbytes(memory.weights_bytes)]
    if inputs["method"] != "full":
        trained = f"adapters ({units.count(document.trained_params)} parameters, rank {inputs['rank']})"
        yield [trained, units.nbytes(memory.adapters_bytes)]
    yield ["gradients", units.nbytes(memory.gradients_bytes)]
    yield [f"optimizer states ({inputs['optimizer']})", units.nbytes(memory.optimizer_bytes)]
    yield ["master copy (fp32)", units.nbytes(memory.master_bytes)]
    yield ["gathered or dequantized temporarily", units.nbytes(memory.gathered_bytes)]
    yield [f"activations of {tokens}", units.nbytes(memory.activations_bytes)]
    yield ["logits and their gradient", units.nbytes(memory.logits_bytes)]
    yield ["recomputed layer, beyond the logits", units.nbytes(memory.recomputed_bytes)]
    yield ["total", units.nbytes(memory.total_bytes)]
    yield ["kernels", KERNELS[str(inputs["kernels"])]]


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
    yield ["MFU", _banded(run.mfu, run.mfu_low, run.mfu_high, 3)]
    yield ["MFU from", run.mfu_source.partition(":")[0].partition(",")[0]]
    yield ["seconds per step", f"{run.seconds_per_step:,.2f}"]
    if run.hours is not None and run.hours_low is not None and run.hours_high is not None:
        yield [f"hours for {units.count(run.tokens or 0)} tokens", _banded(run.hours, run.hours_low, run.hours_high, 1)]
    if run.usd is not None and run.usd_low is not None and run.usd_high is not None:
        yield ["US dollars", _banded(run.usd, run.usd_low, run.usd_high, 0)]


def _banded(value: float, low: float, high: float, digits: int) -> str:
    band = "" if low == high else f"  ({low:,.{digits}f} to {high:,.{digits}f})"
    return f"{value:,.{digits}f}{band}"
