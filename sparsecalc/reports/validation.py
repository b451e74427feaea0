"""What people read of `validate`: errors by group, and the errors that others publish."""

from sparsecalc.documents.validate import Accuracy, AccuracyTable, ValidateReport
from sparsecalc.reports.grids import Grid, View

HEADERS = ["rows", "mean", "median", "90th percentile", "bias", "in the 80 % band"]


def validate_view(document: ValidateReport) -> View:
    """A grid per table, then the peers'."""
    counts = document.inputs
    head = [
        f"{sum(counts.values()):,} measured times: {counts['serving']:,} of serving runs, {counts['steps']:,} of steps"
        f" with a fixed batch, {counts['kernels']:,} of single kernels, {counts['ttft']:,} of first tokens. Errors are"
        " |predicted / measured - 1|."
    ]
    return View(grids=[*map(_grid, document.tables), _peers(document)], foot=head, head=head)


def accuracy_page(document: ValidateReport, devices: dict[str, str] | None = None) -> str:
    """docs/accuracy.md; `devices` are the tables that bench/cpu.sh and bench/gpu.sh wrote, by title."""
    parts = ["# Accuracy", "Written by `sparsecalc validate --write-docs`; do not edit.", *validate_view(document).head]
    parts += ["## What was fitted", FITTED]
    for table in document.tables:
        parts += [f"## {table.title}", *([table.note] if table.note else []), _markdown(_grid(table))]
    if devices:
        parts += ["## Devices after `sparsecalc calibrate`", DEVICES]
        parts += [part for title, table in devices.items() for part in (f"### {title}", table)]
    parts += ["## What others publish", PEERS, _markdown(_peers(document))]
    return "\n\n".join(parts) + "\n"


FITTED = """\
- Constants of kernels and collectives (`data/kernel_constants.json`): fitted by `tools/fit_constants.py` to a part of
  the shapes that ai-dynamo/aiconfigurator commits for A100, H100, H200, B200, B300, GB200, GB300 and RTX PRO 6000; for
  experts to four models (Qwen3-30B-A3B, Mixtral-8x7B, gpt-oss-20b, DeepSeek-V3); for collectives to every other size.
  `data/measurements/kernels.json` is drawn from the rest. Accelerators of the same architecture take these constants;
  others have the default, which was chosen by hand on the same kernels.
- Bands: the spread of a class of kernels is such that its 80 % band covers 80 % of those held-out rows, so the
  coverage of kernels below is no test; that of steps is.
- Profiles of llama.cpp, ik_llama.cpp and gpt-fast (`data/engines.json`): fitted by `tools/fit_engines.py` to the steps
  with one sequence and at most 9 B parameters; larger models, mixtures of experts and larger batches are held out.
- No predicted time was fitted to a serving run. vLLM, SGLang and TensorRT-LLM have 1 ms per step and 4 us per
  sequence, chosen before any run was looked at. Three things were decided with the runs in view: how much of a kernel's
  overhead counts inside a step (at most the default's; a benchmark that times a kernel alone sees more); that quantized
  products keep the default's bandwidth (held-out kernels fit as well with it as with one of their own); and how wide
  these engines' bands are (`spread` 0.06; with the default's 0.12 they held 90 % of the runs).
- Known to be off: batches of 2 to 32 on Apple's GPUs (no constants describe llama.cpp's products of few rows); prompts
  that llama.cpp splits over GPUs by layers (it overlaps their parts); llama.cpp's mixtures of experts; latent
  attention in FP8 on Hopper under SGLang; experts of B200 under vLLM in 16 bits beyond 1,000 tokens."""
DEVICES = """\
Real layers and kernels with random weights, by `bench/cpu.sh` or `bench/gpu.sh`; every point with its samples is in
`bench/results`."""
PEERS = "Their rows are not ours, but for the first three lines; per cent of the measured time."


def _grid(table: AccuracyTable) -> Grid:
    return Grid(headers=[table.title, *HEADERS], rows=[_row(group) for group in table.groups])


def _row(group: Accuracy) -> list[str]:
    inside = "" if group.coverage is None else f"{group.coverage:.0%}"
    sizes = (group.mean_error, group.median_error, group.p90_error)
    return [group.group, f"{group.rows:,}", *(f"{size:.1%}" for size in sizes), f"{group.bias:+.1%}", inside]


def _peers(document: ValidateReport) -> Grid:
    rows = []
    for peer in document.peers:
        figures = (peer.mean_percent, peer.median_percent, peer.p90_percent)
        rows.append([peer.name, peer.what, *("" if value is None else f"{value:g}%" for value in figures), peer.source])
    return Grid(headers=["others", "of", "mean", "median", "90th percentile", "source"], rows=rows, left=2)


def _markdown(grid: Grid) -> str:
    lines = ["| " + " | ".join(grid.headers) + " |"]
    lines.append("|" + "|".join(":--" if i < grid.left else "--:" for i in range(len(grid.headers))) + "|")
    lines += ["| " + " | ".join(row) + " |" for row in grid.rows]
    return "\n".join(lines)
