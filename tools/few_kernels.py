"""Classes of kernels of which there are only a few rows, in measured.json: fitted with what a few rows can tell."""

from collections import defaultdict
from math import prod
from pathlib import Path
from typing import Any

from kernel_fits import FITS, FORMS, doubtful, wanted
from silicon import ACCELERATORS, SHAPES, Row, excerpts, summary

from sparsecalc.device.find import load_accelerator
from sparsecalc.read.number_formats import number_format

FEWEST = 3
COMPUTE_BOUND_ROWS = 512


def tells(name: str, row: Row) -> bool:
    """Of the few rows those that L2 does not make faster: memory beyond twice of it, or bound by compute."""
    if doubtful(name, row) or not wanted(name, {**row, "gemm_dtype": ""} if name == "gemm" else row):
        return False
    l2 = load_accelerator(ACCELERATORS[row["system"]]).l2_bytes or 0
    if name == "gemm":
        weights = number_format(FORMS[row["gemm_dtype"]][2]).matrix_bytes(int(row["n"]), int(row["k"]))
        return weights > l2 or int(row["m"]) >= COMPUTE_BOUND_ROWS
    if name == "attn_decode":
        factors = (row["batch_size"], row["ctx"], row["num_key_value_heads"], row["head_dim"])
        size = 2 if row["kv_cache_dtype"] == "bfloat16" else 1
        return size * prod(float(factor) for factor in factors) > l2  # keys alone: with values, twice L2
    return True


def fit_few(file: Path, entries: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Classes of kernels that only measured.json has."""
    for fit in FITS:
        if fit.name not in SHAPES:
            continue
        groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in excerpts(file, fit.name):
            if fit.form_of(row) in {*FORMS, "bf16"} and tells(fit.name, row):
                groups[row["system"], fit.form_of(row)].append(row)
        for (system, form), table in sorted(groups.items()):
            name = FORMS.get(form, (form,))[0]
            key = fit.family if name == "bf16" else f"{fit.family}.{name}"
            known = entries[ACCELERATORS[system], ""]
            if key in known or len(table) < FEWEST:
                continue
            constants, train, _ = fit.run(table, form, ACCELERATORS[system], few=True)
            names = {*fit.names, "compute", "bandwidth", "power", "overhead_seconds", "spread"}
            known[key] = {field: float(f"{getattr(constants, field):.4g}") for field in sorted(names)}
            print(f"{fit.name:12} {system:20} {form:12} few     train {summary(train)}  {known[key]}")
