"""Fit the constants of data/kernel_constants.json to measured kernels: python tools/fit_constants.py FOLDER [FILE].

FOLDER holds aic_gemm, aic_moe, aic_attn_decode, aic_attn_prefill, aic_mla_decode and aic_comm as gzipped CSV (figures
of ai-dynamo/aiconfigurator at 095f58a5, Apache-2.0), and beside it lies measured.json, which has a few kernels of the
same benchmark on accelerators and in formats that the tables lack. The fit sees only the rows that `training` names;
errors are printed for the others. FILE is data/kernel_constants.json, whose fitted entries are replaced.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from few_kernels import fit_few
from kernel_fits import FITS, FORMS, wanted
from silicon import ACCELERATORS, Row, column, rows, spread_of, summary

from sparsecalc.device.assemble import device_model
from sparsecalc.device.find import load_accelerator
from sparsecalc.device.levels import MEASURED, measured
from sparsecalc.device.time_constants import Collective
from sparsecalc.measure.calibrate.constants_fit import bounds_of, collective_errors, least_error

STANDS_FOR = {
    "a100-80gb-sxm": ["Ampere GA100"],
    "h100-sxm": ["Hopper"],
    "b200-sxm": ["Blackwell GB100", "Blackwell Ultra"],
    "rtx-pro-6000-blackwell": ["Blackwell GB20"],
    "l40s": ["Ada"],
    "arc-pro-b60": ["Xe2"],
}
"""Architectures whose other devices take their constants from this one."""
COLLECTIVE_LIMITS = {
    **{"overhead_seconds": (1e-7, 1e-3), "per_device_seconds": (1e-9, 1e-4)},
    **{"bandwidth": (0.02, 1.0), "power": (0.4, 4.0)},
}
COLLECTIVE_BEGIN = {"overhead_seconds": 5e-6, "per_device_seconds": 3e-7, "bandwidth": 0.6, "power": 0.8}


def inside_a_step(values: dict[str, float], most: float) -> dict[str, float]:
    """Overhead of a kernel in a step: at most the default's; what is more is its time alone."""
    inside = min(most, values["overhead_seconds"])
    return {"overhead_seconds": inside, "alone_seconds": round(values["overhead_seconds"] - inside, 9)}


ALL_REDUCES = ("SGLang_CustomAllReduce_graph", "vLLM_custom_graph", "TRTLLM")
"""Kernels that engines capture in graphs; NCCL's own all-reduce is another, slower one."""


def held_out_size(row: Row) -> bool:
    """Every other size of a message."""
    return round(np.log2(float(row["message_size"]))) % 2 == 1


def message_bytes(row: Row) -> float:
    return float(row["message_size"]) * (1 if row["dtype"] == "int8" else 2)


def collective_rows(folder: Path) -> dict[tuple[str, str, str], list[Row]]:
    """By accelerator, kind and engine ('' for all)."""
    tables: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows(folder, "comm"):
        if row["op_name"] == "alltoall":
            tables[row["system"], "all_to_all", ""].append(row)
        elif row["kernel_source"] in ALL_REDUCES:
            for engine in ("", row["framework"].lower()):
                tables[row["system"], "all_reduce", engine].append(row)
    return tables


def fit_collective(table: list[Row], kind: str, accelerator: str) -> tuple[Collective, np.ndarray]:
    """Constants from every other size; ln(predicted / measured) of the sizes between."""
    device = device_model(load_accelerator(accelerator))
    test = np.array([held_out_size(row) for row in table])
    columns = {
        "ranks": column(table, "num_gpus"),
        "bytes": np.array([message_bytes(row) for row in table]),
        "seconds": column(table, "latency_ms") * 1e-3,
    }

    def constants(x: np.ndarray) -> Collective:
        return Collective(**dict(zip(COLLECTIVE_LIMITS, np.exp(x).tolist(), strict=True)))

    def errors(x: np.ndarray) -> np.ndarray:
        return collective_errors(kind, columns, device, constants(x))

    begin = np.log([COLLECTIVE_BEGIN[name] for name in COLLECTIVE_LIMITS])
    best = least_error(lambda x: errors(x)[~test], begin, bounds_of(COLLECTIVE_LIMITS))
    final = errors(best)[test]
    return constants(best).but(spread=spread_of(final)), final


def fit_collectives(folder: Path, entries: dict[tuple[str, str], dict[str, Any]]) -> None:
    for (system, kind, engine), table in sorted(collective_rows(folder).items()):
        constants, test = fit_collective(table, kind, ACCELERATORS[system])
        kept = {name: float(f"{getattr(constants, name):.4g}") for name in (*COLLECTIVE_LIMITS, "spread")}
        entries[ACCELERATORS[system], engine].setdefault("collectives", {})[kind] = kept
        print(f"{kind:12} {system:20} {engine:7} test {summary(test)}  {kept}")


LARGEST_SPREAD = 0.45


def entry(accelerator: str, engine: str, classes: dict[str, dict[str, float]], default: dict[str, Any]) -> Row:
    """What is kept of the fits of one accelerator: classes whose errors on the held-out rows are moderate.

    Attention, quantized products and experts, and all-reduces keep at most the default's overhead inside a step; what
    is more is their time alone. Quantized products keep the default on devices that it was chosen on.
    """
    kept = {}
    for name, values in classes.items():
        if name == "collectives":
            continue
        family, _, form = name.partition(".")
        if values["spread"] >= LARGEST_SPREAD:
            continue
        if family == "gemm" and (engine or (form and accelerator[0] == "h") or form == "nvfp4"):
            continue
        quantized = bool(form) and family in ("gemm", "experts")
        if family in ("attention_decode", "latent_decode", "attention_prefill") or quantized:
            inside = default["kernels"][name if quantized else family]["overhead_seconds"]
            if values["overhead_seconds"] > 8 * inside:
                continue
            values = {**values, **inside_a_step(values, inside)}
        kept[name] = values
    where: Row = {"accelerators": [accelerator], "origin": ORIGIN}
    if accelerator in STANDS_FOR:
        where["arch"] = STANDS_FOR[accelerator]
    if engine:
        where["engine"] = engine
    collectives = classes.get("collectives", {})
    if "all_reduce" in collectives:
        most = default["collectives"]["all_reduce"]["overhead_seconds"]
        collectives["all_reduce"] = {**collectives["all_reduce"], **inside_a_step(collectives["all_reduce"], most)}
    return {**where, "kernels": kept, "collectives": collectives}


ORIGIN = (
    "fitted by tools/fit_constants.py to a part of the kernels that ai-dynamo/aiconfigurator@095f58a5 (Apache-2.0)"
    " commits for the first accelerator named; errors on the others: docs/accuracy.md"
)


SHARE_SOURCE = (
    "median over the accelerators above of what fitted 16-bit products reach, over what the best product and copy were"
    " measured to (measured_fraction in data/accelerators), for accelerators without kernels of their own; spread: our"
    " choice for those of whose architecture nothing was fitted"
)


def measured_share(devices: list[dict[str, Any]]) -> Row:
    """What engines' products reach of the best product and of a copy; the error of doing without each is printed."""
    found: Row = {}
    for side in MEASURED:
        ratios = {}
        for known in devices:
            if "gemm" in known["kernels"] and "engine" not in known:
                first = known["accelerators"][0]
                if best := measured(load_accelerator(first), side):
                    ratios[first] = known["kernels"]["gemm"][side] / best
        found[side] = round(float(np.median([*ratios.values()])), 3)
        left_out = {name: np.median([r for n, r in ratios.items() if n != name]) / ratios[name] for name in ratios}
        print(side, found[side], {name: f"{error - 1:+.1%}" for name, error in left_out.items()})
    return found


def main(folder: Path, target: Path | None) -> None:
    entries: dict[tuple[str, str], dict[str, Any]] = defaultdict(dict)
    for fit in FITS:
        groups: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
        for row in rows(folder, fit.name):
            if wanted(fit.name, row) and fit.form_of(row) in {*FORMS, "bf16"}:
                for engine in ("", row["framework"].lower()):
                    groups[row["system"], fit.form_of(row), engine].append(row)
        for (system, form, engine), table in sorted(groups.items()):
            chosen = sum(fit.training(row) for row in table)
            if chosen < 12 or len(table) - chosen < 12:
                continue
            constants, train, test = fit.run(table, form, ACCELERATORS[system])
            name = FORMS.get(form, (form,))[0]
            key = fit.family if name == "bf16" else f"{fit.family}.{name}"
            every = {*fit.names, "compute", "bandwidth", "power", "overhead_seconds", "spread"}
            kept = {field: float(f"{getattr(constants, field):.4g}") for field in sorted(every)}
            entries[ACCELERATORS[system], engine][key] = kept
            print(
                f"{fit.name:12} {system:20} {form:12} {engine:7} train {summary(train)}  test {summary(test)}  {kept}"
            )
    fit_few(folder.parent / "measured.json", entries)
    fit_collectives(folder, entries)
    if target:
        table = json.loads(target.read_text())
        fitted = [
            entry(accelerator, engine, classes, table["default"])
            for (accelerator, engine), classes in sorted(entries.items())
        ]
        others = [kept for kept in table["devices"] if not kept["origin"].startswith(ORIGIN[:20])]
        table["devices"] = others + [kept for kept in fitted if kept["kernels"] or kept["collectives"]]
        table["measured_share"].update(measured_share(table["devices"]), source=SHARE_SOURCE)
        target.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
