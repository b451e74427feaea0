"""What people read of each document: grids of formatted cells and lines of text."""

from collections.abc import Iterator
from importlib import import_module

from sparsecalc.core import units
from sparsecalc.documents.base import Document
from sparsecalc.documents.calibrate import CalibrationReport
from sparsecalc.documents.compare import CompareReport
from sparsecalc.documents.crossover import CrossoverReport
from sparsecalc.documents.dense_equivalent import EquivalenceReport
from sparsecalc.documents.explain import ExplainReport, StepReport
from sparsecalc.documents.finetune import FinetuneReport
from sparsecalc.documents.import_model import ImportReport
from sparsecalc.documents.lists import ListReport
from sparsecalc.documents.profile import BenchReport, ProfileReport
from sparsecalc.documents.routing import RoutingReport
from sparsecalc.documents.show import ModelReport, ShowReport
from sparsecalc.documents.sparse_kernels import SparseKernelReport
from sparsecalc.documents.validate import ValidateReport
from sparsecalc.documents.verify import VerifyReport
from sparsecalc.reports.grids import Grid, View
from sparsecalc.reports.predictions import device_figures, grid_of, step_view

ELSEWHERE: dict[type[Document], str] = {
    FinetuneReport: "finetune.finetune_view",
    CalibrationReport: "calibrating.calibration_view",
    ProfileReport: "profiling.profile_view",
    BenchReport: "profiling.bench_view",
    SparseKernelReport: "sparse_kernels.sparse_kernel_view",
    VerifyReport: "verification.verify_view",
    RoutingReport: "routing.routing_view",
    CrossoverReport: "crossover.crossover_view",
    EquivalenceReport: "equivalence.equivalence_view",
    ValidateReport: "validation.validate_view",
}
"""Documents whose view is in a file of its own in this package."""


def view(document: Document) -> View:
    """The view of any document."""
    if isinstance(document, ShowReport):
        return _show(document)
    if isinstance(document, CompareReport):
        return _compare(document)
    if isinstance(document, ExplainReport):
        return _explain(document)
    if isinstance(document, StepReport):
        return step_view(document)
    if isinstance(document, ImportReport):
        return _import(document)
    if place := ELSEWHERE.get(type(document)):
        module, function = place.split(".")
        found: View = getattr(import_module(f"sparsecalc.reports.{module}"), function)(document)
        return found
    assert isinstance(document, ListReport)
    headers = list(document.rows[0]) if document.rows else []
    rows = [["" if value is None else str(value) for value in row.values()] for row in document.rows]
    return View(grids=[Grid(headers=headers, rows=rows, left=2)])


def _figures(model: ModelReport) -> Iterator[tuple[str, str, float | None]]:
    """Label, formatted figure, and the number that ratios are taken of."""
    params, flops, memory = model.params, model.flops, model.memory
    yield "parameters, total", f"{units.count(params.total)}  ({params.total:,})", params.total
    yield "parameters, active per token", f"{units.count(params.active)}  ({params.active:,})", params.active
    yield "  without the input embedding", units.count(params.active_excl_embedding, 2), params.active_excl_embedding
    yield (
        "  without embedding and head",
        units.count(params.active_excl_embedding_and_head, 2),
        params.active_excl_embedding_and_head,
    )
    context = f"{flops.context_len:,}"
    yield f"FLOPs per token, prefill of {context}", units.flops(flops.prefill_per_token), flops.prefill_per_token
    yield f"FLOPs per token, decode at {context}", units.flops(flops.decode_per_token), flops.decode_per_token
    yield f"weights ({memory.weights_dtype})", units.nbytes(memory.weights_bytes), memory.weights_bytes
    per_token = memory.kv_cache_bytes_per_token
    yield f"KV cache per token ({memory.kv_cache_dtype})", units.nbytes(per_token), per_token
    load = f"{memory.batch_size} x {memory.context_len:,}"
    yield f"KV cache of {load} tokens", units.nbytes(memory.kv_cache_bytes), memory.kv_cache_bytes
    state = memory.state_bytes + memory.index_cache_bytes
    yield "recurrent state and index cache", units.nbytes(state), state
    working = max(memory.activation_bytes, memory.logits_bytes)
    yield "working memory (peak)", units.nbytes(working), working
    yield "framework allowance", units.nbytes(memory.framework_bytes), memory.framework_bytes
    yield "memory, total", units.nbytes(memory.total_bytes), memory.total_bytes
    yield from device_figures(model)


def _label(labels: list[str]) -> str:
    """One label for a row of several models: where formats differ, the part in brackets is left out."""
    return labels[0] if len(set(labels)) == 1 else labels[0].split(" (")[0]


def _warnings(document: Document) -> list[str]:
    """Warnings for formats that carry them in the text (markdown)."""
    return [f"note ({warn.code}): {f'{warn.model}: ' if warn.model else ''}{warn.text}" for warn in document.warnings]


def _show(document: ShowReport) -> View:
    info, params = document.model, document.params
    head = [
        ["model", info.id],
        ["family", f"{info.model_type} ({info.kind}), {info.num_hidden_layers} layers"],
        ["published", f"{info.published_total or '-'} total, {info.published_active or '-'} active"],
        *([label, value] for label, value, _ in _figures(document)),
    ]
    parts = [
        [
            name,
            f"{value:,}",
            f"{params.active_by_component[name]:,}",
            units.nbytes(document.memory.weights_by_component[name]),
        ]
        for name, value in params.by_component.items()
        if value
    ]
    kinds = [[kind.kind, str(kind.count), f"{kind.params:,}", f"{kind.active:,}"] for kind in document.layers]
    grids = [
        Grid(headers=["", info.id], rows=head[1:]),
        Grid(headers=["component", "parameters", "active", "weights"], rows=parts),
        Grid(headers=["kind of layer", "layers", "parameters each", "active each"], rows=kinds),
    ]
    return View(grids=grids + grid_of([document]), lines=_expert_line(document))


def _expert_line(model: ModelReport) -> list[str]:
    used = model.experts
    if not used:
        return []
    return [
        f"Experts: {used.num_experts_per_tok} of {used.num_experts} per token in {used.layers} layers; a decode step of"
        f" batch {used.batch_size} reaches {used.expected_distinct:.2f} of them on average ({used.routing} routing)"
        f" and reads {units.nbytes(used.weight_bytes_read)} of weights."
    ]


def _compare(document: CompareReport) -> View:
    columns = [list(_figures(model)) for model in document.models]
    headers = ["", document.models[0].model.id]
    for model in document.models[1:]:
        headers += [model.model.id, "ratio"]
    rows = [
        ["family", f"{document.models[0].model.model_type} ({document.models[0].model.kind})"],
    ]
    for model in document.models[1:]:
        rows[0] += [f"{model.model.model_type} ({model.model.kind})", ""]
    formats = [model.memory.weights_dtype for model in document.models]
    if len(set(formats)) > 1:
        rows.append(["format of the weights", formats[0], *(cell for name in formats[1:] for cell in (name, ""))])
    for cells in zip(*columns, strict=True):
        base = cells[0][2]
        row = [_label([label for label, _, _ in cells]), cells[0][1]]
        for _, text, value in cells[1:]:
            row += [text, f"{value / base:.2f}x" if base and value is not None else ""]
        rows.append(row)
    return View(grids=[Grid(headers=headers, rows=rows), *grid_of(document.models)], lines=document.conclusion)


def _explain(document: ExplainReport) -> View:
    rows = [[line.label, line.formula, units.exact(line.value), line.source] for line in document.lines]
    grid = Grid(headers=["term", "formula", document.unit, "source"], rows=rows, left=2)
    return View(
        grids=[grid], lines=[*document.text, f"{document.topic} = {units.exact(document.result)} {document.unit}"]
    )


def _import(document: ImportReport) -> View:
    rows = [[line.label, line.formula, units.exact(line.value)] for line in document.explained]
    text = [f"{document.model}: {document.counted_total:,} parameters by its config; written to {document.written}"]
    if document.stored_elements is not None:
        text.append(f"The checkpoint stores {document.stored_elements:,} elements: {document.difference:+,}.")
        text.append(f"Not explained: {document.unexplained:+,}.")
    return View(grids=[Grid(headers=["difference", "why", "elements"], rows=rows, left=2)] if rows else [], lines=text)
