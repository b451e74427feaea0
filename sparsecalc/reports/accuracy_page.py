"""docs/accuracy.md: the tables of `validate`, with what was fitted to which data."""

from sparsecalc.core import units
from sparsecalc.data_files import read_data
from sparsecalc.device.time_constants import Engine
from sparsecalc.documents.validate import ValidateReport
from sparsecalc.reports.formats.markdown import markdown_table
from sparsecalc.reports.view import Grid
from sparsecalc.reports.views.validate import accuracy_grid, counts, peer_grid

FITTED = """\
- Constants of kernels and collectives (`data/kernel_constants.json`): fitted by `tools/fit_constants.py` to a part of
  the shapes that ai-dynamo/aiconfigurator commits for A100, H100, H200, B200, B300, GB200, GB300, RTX PRO 6000 and Arc
  Pro B60; for experts to four models (Qwen3-30B-A3B, Mixtral-8x7B, gpt-oss-20b, DeepSeek-V3); for collectives to every
  other size. `data/measurements/kernels.json` is drawn from the rest. Accelerators of the same architecture take these
  constants, others those of their nearest kin (`sparsecalc/device/kin.py`), and those without kin the default, which
  was chosen by hand on the same kernels; a table below leaves each device out in turn.
- Bands of accelerators without kin: wider by `unmeasured_spread`, fitted by `tools/fit_kin.py` to the kernels of A100,
  Arc Pro B60, GB200 and RTX PRO 6000, each as if it had not been measured. Fitted to three of them, the bands held 74
  to 91 % of the fourth's kernels.
- Bands: the spread of a class of kernels is such that its 80 % band covers 80 % of those held-out rows, so the
  coverage of kernels below is no test; that of steps is.
- Profiles of engines (`data/engines.json`): the table below. Where they are fitted, it is to steps with one sequence;
  larger models, mixtures of experts and larger batches are held out.
- Servers (vLLM, SGLang, TensorRT-LLM): their time per step and per sequence is fitted by `tools/fit_serving.py` to
  `data/measurements/serving.json`, drawn to what was chosen before any run was looked at; it hardly moves, since errors
  are of whole stacks and no factor by engine, format or kernel that was tried carried over to stacks left out. How much
  wider or narrower than their kernels' the bands are is learnt from stacks left out, by engine and kind of model; for
  other accelerators, and for pipelines, from what users report (`data/measurements/serving_reports.json`), as are the
  seconds of Python per kernel of an eager engine. The rows themselves are one half of what was at hand; the other half
  was not seen.
- Two things were decided with the runs in view: how much of a kernel's overhead counts inside a step (at most the
  default's; a benchmark that times a kernel alone sees more), and that quantized products keep the default's bandwidth
  (held-out kernels fit as well with it as with one of their own).
- First tokens: the seconds and steps that they wait for outside of an engine's steps are fitted by
  `tools/fit_first_token.py` to the TTFT of the same runs; their spread is that of stacks left out.
- Whole runs and MLPerf: no number is fitted to them, but choices were made with their errors in view. For the two whole
  runs: that decoding sequences beside prompts waste tiles of FlashAttention 2 (64 rows, from its source), and that what
  crosses links waits for the busiest copy. For MLPerf: estimated lengths of prompts, formats, layouts and capacity.
- Anchors (`calibrate --from-serving`): how errors of a stack keep together is learnt by `tools/fit_anchor.py` from the
  serving runs; the table is of stacks that it was not learnt from. Its features were chosen on the same stacks.
- llama.cpp, Ollama, ik_llama.cpp, MLX: [desk.md](desk.md).
- Known to be off: latent attention in FP8 on Hopper under SGLang; experts of B200 under vLLM in 16 bits beyond 1,000
  tokens."""
DEVICES = """\
Real layers and kernels with random weights, by `bench/cpu.sh` or `bench/gpu.sh`; every point with its samples is in
`bench/results`."""
ANCHORED = """\
Rows of a stack (model, accelerator, engine, format), drawn at random, are its anchor; the others are predicted."""
PEERS = (
    "Their rows are not ours, except where it says so: AISimulate's, AIConfigurator 0.12's and the two behind it were"
    " taken on our rows. Per cent of the measured time."
)


def accuracy_page(document: ValidateReport, devices: dict[str, str] | None = None) -> str:
    """docs/accuracy.md; `devices` are the tables that bench/cpu.sh and bench/gpu.sh wrote, by title."""
    parts = ["# Accuracy", "Written by `sparsecalc validate --write-docs`; do not edit.", counts(document)]
    parts += ["## What was fitted", FITTED, markdown_table(_engines())]
    for table in document.tables:
        parts += [f"## {table.title}", *([table.note] if table.note else []), markdown_table(accuracy_grid(table))]
    parts += ["## With an anchor to one's own server", ANCHORED, markdown_table(_anchored())]
    if devices:
        parts += ["## Devices after `sparsecalc calibrate`", DEVICES]
        parts += [part for title, table in devices.items() for part in (f"### {title}", table)]
    parts += ["## What others publish", PEERS, markdown_table(peer_grid(document.peers))]
    return "\n\n".join(parts) + "\n"


def _anchored() -> Grid:
    """Errors and coverage of stacks left out, by the rows of the stack that are its anchor."""
    rows = [
        [
            f"{what.upper()}, {kind}",
            count,
            f"{figures['median']:.1%}",
            f"{figures['p90']:.1%}",
            f"{figures['in_band']:.0%}",
        ]
        for what, by_rows in read_data("anchor.json")["left_out"].items()
        for count, by_kind in by_rows.items()
        for kind, figures in by_kind.items()
    ]
    headers = ["mean over a run", "rows of the anchor", "median", "90th percentile", "in the 80 % band"]
    return Grid(headers=headers, rows=rows)


def _engines() -> Grid:
    """What each engine adds to its kernels, and where that comes from."""
    rows = [
        [
            entry["id"],
            entry["source"],
            units.duration(entry["step_seconds"]),
            units.duration(entry["sequence_seconds"]),
            f"{entry.get('spread', Engine.spread):g}",
        ]
        for entry in read_data("engines.json")["engines"]
    ]
    return Grid(headers=["engine", "source", "time per step", "per sequence", "spread"], rows=rows, left=2)
