"""Fit the constants of data/kernel_constants.json to measured kernels: python tools/fit_constants.py FOLDER [FILE].

FOLDER holds aic_gemm, aic_moe, aic_attn_decode, aic_attn_prefill, aic_mla_decode and aic_comm as gzipped CSV (figures
of ai-dynamo/aiconfigurator at 095f58a5, Apache-2.0). The fit sees only the rows that `training` names; errors are
printed for the others. FILE is data/kernel_constants.json, whose fitted entries are replaced.
"""

import json
import sys
import zlib
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from silicon import ACCELERATORS, Row, column, rows, shapes, spread_of, summary

from sparsecalc.device.assemble import blank_device, device_model
from sparsecalc.device.find import load_accelerator
from sparsecalc.device.time_constants import Collective, KernelConstants
from sparsecalc.estimate.benchmarked_kernels import Operands, benchmarked_kernels
from sparsecalc.measure.calibrate.constants_fit import KernelFit, bounds_of, collective_errors, least_error
from sparsecalc.read.number_formats import number_format

STANDS_FOR = {
    "a100-80gb-sxm": ["Ampere GA100"],
    "h100-sxm": ["Hopper"],
    "b200-sxm": ["Blackwell GB100", "Blackwell Ultra"],
    "rtx-pro-6000-blackwell": ["Blackwell GB20"],
    "arc-pro-b60": ["Xe2"],
}
"""Architectures whose other devices take their constants from this one."""
FORMS = {
    "bfloat16": ("bf16", "bf16", "bf16"),
    "fp8": ("fp8", "fp8", "fp8"),
    "fp8_block": ("fp8-block", "fp8", "fp8-block"),
    "nvfp4": ("nvfp4", "fp4", "nvfp4"),
    "int4_wo": ("weight-only", "bf16", "int4"),
    "w4a16_mxfp4": ("weight-only", "bf16", "mxfp4"),
}
"""The benchmark's name: form, dtype of the peak, format of the weights."""
TRAINING_MODELS = ("Qwen3-30B-A3B", "Mixtral-8x7B", "gpt-oss-20b", "DeepSeek-V3/R1")
DOUBTFUL = (
    ("moe", "VLLM", "fp8"),  # about 0.6 TB/s on Hopper
    ("gemm", "VLLM", "fp8_block"),  # timed without graphs at small m
    ("attn_prefill", "VLLM", "h200_sxm"),  # faster than physics
    ("attn_decode", "TRTLLM", "a100_sxm"),
    ("gemm", "TRTLLM", "fp8"),  # times a quantizing kernel of 10 us too
    ("gemm", "TRTLLM", "nvfp4"),
    ("moe", "SGLang", "bfloat16"),  # expert parallelism without a tuned kernel
    ("mla_decode", "VLLM", "VLLM"),  # timed without graphs: 150 to 320 us of overhead
    ("mla_decode", "TRTLLM", "a100_sxm"),  # errors of any fit above 60 %
    ("mla_decode", "TRTLLM", "rtx_pro_6000_server"),
)
UNTUNED = ("sglang_fused_moe_triton",)
"""Kernels without a tuned configuration for the device: left to `calibrate`."""
LIMITS = {"compute": (0.05, 1.0), "bandwidth": (0.1, 1.05), "power": (1.0, 8.0), "vector": (0.05, 3.0)}
WIDE = (1e-8, 1e4)
PULL = 0.01
"""Weight of a constant's distance from the default, per square root of rows."""
COLLECTIVE_LIMITS = {
    **{"overhead_seconds": (1e-7, 1e-3), "per_device_seconds": (1e-9, 1e-4)},
    **{"bandwidth": (0.02, 1.0), "power": (0.4, 4.0)},
}
COLLECTIVE_BEGIN = {"overhead_seconds": 5e-6, "per_device_seconds": 3e-7, "bandwidth": 0.6, "power": 0.8}


def doubtful(name: str, row: Row) -> bool:
    words = {row["framework"], row["system"], row.get("moe_dtype", ""), row.get("gemm_dtype", "")}
    return any(kind == name and {first, second} <= words for kind, first, second in DOUBTFUL)


def half(*shape: str) -> bool:
    """A split of shapes that is the same on every run."""
    return zlib.crc32("x".join(shape).encode()) % 2 == 0


SIXTEEN_BITS = ("bf16", "bfloat16")
QUANTIZED_NAMES = ("compute", "overhead_seconds", "power")
"""Of quantized products: too few shapes lie beyond L2 to tell bandwidth from overhead, so the default's stays."""


@dataclass(frozen=True)
class Fit:
    """One class of kernels: which of its rows are fitted, and which constants."""

    name: str
    family: str
    form_of: Callable[[Row], str]
    """The benchmark's name of a row's format."""
    training: Callable[[Row], bool]
    names: tuple[str, ...]

    def operands(self, form: str) -> Operands:
        """What the rows of one format multiply: attention in bf16 over a cache of that format."""
        name, dtype, stored = FORMS[form] if self.family in ("gemm", "experts") else (form, "bf16", form)
        return Operands(form=name, dtype=dtype, stored=number_format(stored))

    def run(self, table: list[Row], form: str, accelerator: str) -> tuple[KernelConstants, np.ndarray, np.ndarray]:
        """Constants from the training rows; ln(predicted / measured) of the training rows and of the others."""
        device = device_model(load_accelerator(accelerator)).but(constants=blank_device(accelerator).constants)
        train = np.array([self.training(row) for row in table])
        kernel = benchmarked_kernels(self.family, shapes(self.name, table), self.operands(form))
        built_in = device.of(self.family, kernel.form)
        names = self.names if form in SIXTEEN_BITS or self.family != "gemm" else QUANTIZED_NAMES
        fit = KernelFit(
            kernel,
            column(table, "latency_ms") * 1e-3,
            device,
            {name: LIMITS.get(name, WIDE) for name in names},
            first={"power": min(built_in.power, 4.0), "half_length": max(built_in.half_length, 100.0)},
            margin=1e-6,
        )
        best = fit.fitted(fit.begin, train, PULL)
        errors = fit.errors(best)
        test = errors[~train] if (~train).any() else errors
        return fit.constants(best).but(spread=spread_of(test)), errors[train], test


FITS = (
    Fit(
        "gemm",
        "gemm",
        lambda row: row["gemm_dtype"],
        lambda row: half(row["n"], row["k"]),
        ("compute", "bandwidth", "overhead_seconds", "power"),
    ),
    Fit(
        "moe",
        "experts",
        lambda row: row["moe_dtype"],
        lambda row: row["model"] in TRAINING_MODELS,
        ("compute", "bandwidth", "overhead_seconds", "vector"),
    ),
    Fit(
        "attn_decode",
        "attention_decode",
        lambda row: "fp8" if row["kv_cache_dtype"] == "fp8" else "bf16",
        lambda row: half(row["num_heads"], row["num_key_value_heads"]),
        ("bandwidth", "overhead_seconds"),
    ),
    Fit(
        "mla_decode",
        "latent_decode",
        lambda row: "fp8" if row["kv_cache_dtype"] == "fp8" else "bf16",
        lambda row: half(row["num_heads"], row["batch_size"]),
        ("compute", "bandwidth", "overhead_seconds"),
    ),
    Fit(
        "attn_prefill",
        "attention_prefill",
        lambda row: "fp8" if row["kv_cache_dtype"] == "fp8" else "bf16",
        lambda row: half(row["num_heads"], row["num_key_value_heads"]),
        ("compute", "half_length", "overhead_seconds"),
    ),
)


def multiplied(row: Row) -> bool:
    """Whether the device has units for the row's format; where it has none, another format is multiplied."""
    form = FORMS.get(row.get("gemm_dtype") or row.get("moe_dtype") or "")
    peaks = load_accelerator(ACCELERATORS[row["system"]]).peak_flops_per_second
    return form is None or peaks.get(form[1]) is not None


def wanted(name: str, row: Row) -> bool:
    """Rows that an engine would run, and that say how a kernel uses memory.

    Weights beyond L2; more pairs than experts under drawn loads; a prompt over an fp8 cache in fp8 where engines can.
    """
    if doubtful(name, row) or not multiplied(row):
        return False
    if name == "gemm" and row["gemm_dtype"] in FORMS:
        weights = number_format(FORMS[row["gemm_dtype"]][2]).matrix_bytes(int(row["n"]), int(row["k"]))
        return weights > (load_accelerator(ACCELERATORS[row["system"]]).l2_bytes or 0)
    if name == "attn_prefill" and row["kv_cache_dtype"] == "fp8":
        return row["attn_dtype"] == "fp8" or row["framework"] == "VLLM"
    if name == "moe":
        few = float(row["num_tokens"]) * float(row["topk"]) <= float(row["num_experts"])
        untuned = row["kernel_source"] in UNTUNED and row["system"] in ("b200_sxm", "gb200", "a100_sxm")
        return not untuned and not (few and row["distribution"] != "balanced")
    return True


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

    Attention, quantized products and all-reduces keep at most the default's overhead inside a step; what is more is
    their time alone. Quantized products keep the default on devices that it was chosen on.
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
        if family in ("attention_decode", "latent_decode", "attention_prefill") or (family == "gemm" and form):
            inside = default["kernels"][name if family == "gemm" else family]["overhead_seconds"]
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
    fit_collectives(folder, entries)
    if target:
        table = json.loads(target.read_text())
        fitted = [
            entry(accelerator, engine, classes, table["default"])
            for (accelerator, engine), classes in sorted(entries.items())
        ]
        others = [kept for kept in table["devices"] if not kept["origin"].startswith(ORIGIN[:20])]
        table["devices"] = others + [kept for kept in fitted if kept["kernels"] or kept["collectives"]]
        target.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
