"""docs/desk.md: llama.cpp and its like on consumer machines: errors by engine and device, and what was fitted."""

from collections.abc import Mapping
from typing import Any

from sparsecalc.core import units
from sparsecalc.documents.validate import Accuracy
from sparsecalc.reports.formats.markdown import markdown_table
from sparsecalc.reports.view import Grid

HEAD = """\
# The machine on the desk

Written by `python tools/write_docs.py`; do not edit.

How far predictions are from what people measured with llama.cpp, Ollama, ik_llama.cpp and MLX on their own machines:
`data/measurements/desk.json` (published figures, and submissions to a community benchmark, which nobody verified; the
file counts what each filter took away) and the rows of llama.cpp in `fixed_batch.json`. **Each row is predicted with
its own stack left out of the fit**: a device under an engine's backend, whoever measured it. `in the band` is the share
of rows whose time lay in the 80 % band of a device without rows."""
HOW = """\
## How

A backend has one set of constants by class of kernel: the share of the memory bandwidth at which weights, experts and
the cache are read, the share of the peak that products, experts and a prompt's attention reach, how many rows fill
them, and what each kernel costs besides. They are fitted by `tools/fit_desk.py`, together with factors for formats of
the weights, for builds of May 2024 (`--engine llama.cpp@b2850`), for Ollama and for ik_llama.cpp. Families of devices
differ from their backend as far as their rows insist; a device of another family has the backend's constants, and a
wider band. ROCm and Vulkan start at CUDA's constants. Not fitted, since no row was at hand: SYCL (Vulkan's constants),
KTransformers' and ExLlamaV3's kernels (llama.cpp's). Products of quantized weights are held against the peak of INT8
under CUDA, ROCm and on CPUs (there that of the vector units: VNNI, not AMX), of FP16 elsewhere; prompts are computed in
micro-batches of 512 tokens, under MLX of 2,048.

Where a part lies in host memory, the CPU has the constants of its own kernels; what lies between, the way to the host
and back, and the rate at which weights of mapped files are sent, is fitted by `tools/fit_host.py` by backend, with one
factor of all CPUs for products of few rows. Each of those rows is predicted with its source left out of that fit. They
are few, and Vulkan's are of one machine; `data/host.json` has each with its error, and the rows that took no part."""


ANCHORED = """\
Rows of a machine (device, engine, backend, source), drawn at random, are its anchor (`calibrate --from-llama-bench`);
its others are predicted, without its stack in the fit and without the machine in what the anchor's widths are learnt
from. How a row compares formats (quantized or not) was chosen among variants on the same figures."""


def desk_page(groups: Mapping[str, list[Accuracy]], engines: list[dict[str, Any]], anchored: Mapping[str, Any]) -> str:
    """The page; `groups`: errors by the title of their table, `engines`: entries of data/desk_engines.json.

    `anchored`: errors by what was measured, rows of the anchor and kind of model (data/desk_anchor.json).
    """
    parts = [HEAD]
    for title, found in groups.items():
        parts += [f"## {title}", markdown_table(_errors(found))]
    parts += ["## With tests of one's own machine", ANCHORED, markdown_table(_anchored(anchored)), HOW]
    for engine in engines:
        for backend in engine["backends"]:
            parts += [f"### {engine['name']}, {backend['backend']}", _source(backend)]
            if backend.get("kernels"):
                parts += [markdown_table(_constants(backend))]
    return "\n\n".join(parts) + "\n"


def _errors(groups: list[Accuracy]) -> Grid:
    rows = [
        [
            group.group,
            str(group.rows),
            f"{group.median_error:.1%}",
            f"{group.p90_error:.1%}",
            f"{group.bias:+.1%}",
            f"{group.coverage or 0:.0%}",
        ]
        for group in groups
    ]
    return Grid(headers=["", "rows", "median", "90th percentile", "bias", "in the band"], rows=rows, left=1)


def _anchored(left_out: Mapping[str, Any]) -> Grid:
    rows = [
        [f"{what}, {kind}", count, *(f"{figures[name]:.1%}" for name in ("median", "p90", "in_band"))]
        for what, by_rows in left_out.items()
        for count, by_kind in by_rows.items()
        for kind, figures in by_kind.items()
    ]
    return Grid(headers=["", "rows of the anchor", "median", "90th percentile", "in the 80 % band"], rows=rows, left=1)


def _source(backend: dict[str, Any]) -> str:
    told = [f"{name.replace('_', ' ')} {backend[name]:g}" for name in FACTORS if name in backend]
    return f"Source: {backend['source']}." + (f" Beside llama.cpp's constants: {', '.join(told)}." if told else "")


FACTORS = ("launch_factor", "bandwidth_factor", "compute_factor", "attention_factor")
SHOWN = ("bandwidth", "compute", "half_length", "overhead_seconds")


def _constants(backend: dict[str, Any]) -> Grid:
    """Constants of the backend, and beneath them those in which a family differs."""
    rows = [[kernels, "all", *_cells(fields)] for kernels, fields in backend["kernels"].items()]
    for family in backend["devices"]:
        name = ", ".join([*family.get("arch", ()), *family.get("accelerators", ())])
        rows += [[kernels, name, *_cells(fields)] for kernels, fields in family["kernels"].items()]
    headers = ["kernels", "devices", "of the bandwidth", "of the peak", "half at", "besides"]
    return Grid(headers=headers, rows=rows, left=2)


def _cells(fields: dict[str, float]) -> list[str]:
    known = [fields.get(name) for name in SHOWN]
    return [
        "" if value is None else units.duration(value) if name == SHOWN[-1] else f"{value:g}"
        for name, value in zip(SHOWN, known, strict=True)
    ]
