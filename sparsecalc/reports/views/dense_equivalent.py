"""What people read of `dense-equivalent`: sizes, the laws with their disagreement, and models by name."""

from sparsecalc.core import units
from sparsecalc.documents.dense_equivalent import EquivalenceReport, Law, Neighbour
from sparsecalc.reports.view import Grid, View


def view(document: EquivalenceReport) -> View:
    """Dense sizes; a row for each law; a row for each model near one of the sizes."""
    grids = [_sizes(document)]
    if document.laws:
        grids.append(_laws(document))
    grids.append(_neighbours(document))
    formulas = [f"{law.name}: {law.formula}. {law.note[:1].upper()}{law.note[1:]}." for law in document.laws]
    tokens = document.training_tokens
    trained = [f"Training tokens: {units.count(tokens)} ({document.training_tokens_source})."] if tokens else []
    return View(grids=grids, lines=[*document.text, *trained, *formulas])


def _sizes(document: EquivalenceReport) -> Grid:
    rows = [
        ["memory", units.count(document.memory_params), "bytes of all weights"],
        ["compute", units.count(document.compute_params), "FLOPs per token of products with weights"],
    ]
    if document.quality_low is not None and document.quality_high is not None:
        band = f"{units.count(document.quality_low)} to {units.count(document.quality_high)}"
        rows.append(["quality", band, "the band of the laws below"])
    return Grid(headers=[f"{document.model} equals in", "a dense model of", "by"], rows=rows, left=3)


def _laws(document: EquivalenceReport) -> Grid:
    rows = [[law.name, _size(law), "yes" if law.in_band else "no", "; ".join(law.outside)] for law in document.laws]
    return Grid(headers=["law", "dense size", "in the band", "outside its fitted range"], rows=rows, left=4)


def _size(law: Law) -> str:
    low, high = units.count(law.params_low), units.count(law.params_high)
    return low if low == high else f"{low} to {high}"


def _neighbours(document: EquivalenceReport) -> Grid:
    timed = any(row.decode_seconds for row in document.neighbours)
    headers = ["near in", "model", "parameters", "of that size", "weights", "FLOPs per token"]
    if timed:
        headers += [f"fits on {document.inputs['gpu']}", "decode step", "TPOT", "USD per M output tokens"]
    rows = [[*_model(row), *(_on_devices(row) if timed else [])] for row in document.neighbours]
    return Grid(headers=headers, rows=rows, left=2)


def _model(row: Neighbour) -> list[str]:
    return [
        row.target,
        row.model + (" (small)" if row.small else ""),
        units.count(row.total_params),
        f"{row.size_ratio:.2f}x",
        units.nbytes(row.weights_bytes),
        units.flops(row.decode_flops_per_token),
    ]


def _on_devices(row: Neighbour) -> list[str]:
    dollars = row.usd_per_million_output_tokens
    needs = f"no, needs {row.gpus_needed}" if row.gpus_needed else "no"
    return [
        "yes" if row.fits else needs,
        units.duration(row.decode_seconds or 0),
        units.duration(row.tpot_seconds or 0),
        "-" if dollars is None else f"{dollars:.2f}",
    ]
