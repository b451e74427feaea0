"""Write data/measurements/{kernels,serving}.json: python tools/measurement_fixtures.py FOLDER [TARGET].

FOLDER holds the figures of ai-dynamo/aiconfigurator at 095f58a5 (Apache-2.0) as gzipped CSV. Kernels are drawn from the
rows that tools/fit_constants.py does not fit; the serving runs are all that keep the filters named in the file.
"""

import csv
import gzip
import json
import sys
import zlib
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import fit_constants as collectives
import kernel_fits as fits
import numpy as np
from silicon import ACCELERATORS, Row, rows, shapes

from sparsecalc.core.workload import Workload
from sparsecalc.decide.published import idle_ttft_seconds, serving_checks, shipped_device
from sparsecalc.decide.validate import ABLATIONS
from sparsecalc.device.find import load_accelerator
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import load_model

SOURCE = "ai-dynamo/aiconfigurator (commit 095f58a5, 2026-08-21)"
LICENCE = "Apache-2.0"
ROWS = {"bf16": 30, "": 8}
"""Rows per class, accelerator and form: 16 bits, any other."""
MODELS = {
    "MiniMaxAI/MiniMax-M2.5": "minimax-m2",
    "Qwen/Qwen3.5-397B-A17B": "qwen3.5-397b-a17b",
    "deepseek-ai/DeepSeek-R1": "deepseek-v3",
    "deepseek-ai/DeepSeek-V3": "deepseek-v3",
    "Qwen/Qwen3-235B-A22B-FP8": "qwen3-235b-a22b",
    "Qwen/Qwen3-32B": "qwen3-32b",
    "meta-llama/Llama-3.1-70B": "llama-3.1-70b",
    "meta-llama/Llama-3.1-8B-Instruct": "llama-3.1-8b",
    "moonshotai/Kimi-K2.5": "kimi-k2",
    "nvidia/DeepSeek-R1-NVFP4": "deepseek-v3",
    "nvidia/Qwen3-32B-NVFP4": "qwen3-32b",
    "openai/gpt-oss-120b": "gpt-oss-120b",
    "zhipuai/GLM-5": "glm-5",
}
"""The benchmark's model and the built-in one of the same text architecture."""
CHECKPOINTS = {
    ("MiniMaxAI/MiniMax-M2.5", "fp8"): "MiniMaxAI/MiniMax-M2.5",
    ("MiniMaxAI/MiniMax-M2.5", "fp4"): "nvidia/MiniMax-M2.5-NVFP4",
    ("Qwen/Qwen3-235B-A22B-FP8", "fp8"): "Qwen/Qwen3-235B-A22B-FP8",
    ("Qwen/Qwen3.5-397B-A17B", "fp4"): "nvidia/Qwen3.5-397B-A17B-NVFP4",
    ("deepseek-ai/DeepSeek-R1", "fp8"): "deepseek-ai/DeepSeek-R1",
    ("deepseek-ai/DeepSeek-R1", "fp4"): "nvidia/DeepSeek-V3.1-NVFP4",  # R1's has the same layers
    ("deepseek-ai/DeepSeek-V3", "fp8"): "deepseek-ai/DeepSeek-R1",
    ("deepseek-ai/DeepSeek-V3", "fp4"): "nvidia/DeepSeek-V3.1-NVFP4",
    ("meta-llama/Llama-3.1-70B", "fp4"): "nvidia/Llama-3.3-70B-Instruct-NVFP4",
    ("moonshotai/Kimi-K2.5", "int4"): "moonshotai/Kimi-K2.5",
    ("moonshotai/Kimi-K2.5", "fp4"): "nvidia/Kimi-K2.5-NVFP4",
    ("nvidia/Qwen3-32B-NVFP4", "fp4"): "nvidia/Qwen3-32B-NVFP4",
    ("zhipuai/GLM-5", "fp8"): "zai-org/GLM-5-FP8",
    ("zhipuai/GLM-5", "fp4"): "nvidia/GLM-5-NVFP4",
}
"""The checkpoint that is served in a precision, where the library knows its formats: many keep attention in 16 bits."""
FORMATS = {"fp8": "fp8", "nvfp4": "nvfp4", "fp8_block": "fp8-block", "int4_wo": "int4", "bfloat16": "bf16"}
REAL_LENGTH = 0.9
"""InferenceMAX draws lengths from 0.8 to 1 times the nominal one."""
CONTRADICTION = 1.6
FASTER_WITH_MORE = 1.4
"""A run with more requests is not faster than one with fewer by this factor, unless tokens were drafted."""
QUEUED_SHARE = 0.5
"""Of a request's time before its first token: above it, most of the requests of a run wait."""
BURST_SHARE = 0.3
"""Mean TTFT as a share of the time that all prompts take together: above it, requests of equal length run in waves."""
SMALLEST_WAVE = 8
NOMINAL = 8
"""Lengths that divide by it were not drawn at random."""
LARGEST_NODE = 8


def order(row: Row) -> int:
    """A fixed shuffle."""
    return zlib.crc32(json.dumps(row, sort_keys=True).encode())


def short(value: float) -> float:
    return float(f"{value:.5g}")


def shape_columns(fit: fits.Fit, table: list[Row]) -> tuple[list[str], list[list[Any]]]:
    """Columns that describe a kernel of one class, and their values."""
    found = shapes(fit.name, table)
    if fit.name == "moe":
        more = [{"model": row["model"], "ep": int(row["moe_ep_size"])} for row in table]
        found = [{**shape, **each} for shape, each in zip(found, more, strict=True)]
    values = [[short(value) if isinstance(value, float) else value for value in shape.values()] for shape in found]
    return list(found[0]), values


def usable(fit: fits.Fit, row: Row) -> bool:
    """Held-out rows; of decode attention those whose cache is more than twice the L2 cache."""
    if fit.form_of(row) not in {*fits.FORMS, "bf16"} or not fits.wanted(fit.name, row) or fit.training(row):
        return False
    if fit.name != "attn_decode":
        return True
    l2 = load_accelerator(ACCELERATORS[row["system"]]).l2_bytes or 0
    size = 2 if row["kv_cache_dtype"] == "bfloat16" else 1
    factors = (row["batch_size"], row["ctx"], row["num_key_value_heads"], row["head_dim"])
    return 2 * size * float(np.prod([float(factor) for factor in factors])) > 2 * l2


def kernel_tables(folder: Path) -> list[Row]:
    found = []
    for fit in fits.FITS:
        groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in rows(folder, fit.name):
            if usable(fit, row):
                groups[ACCELERATORS[row["system"]], fit.form_of(row)].append(row)
        for (gpu, form), table_rows in sorted(groups.items()):
            operands = fit.operands(form)
            chosen = sorted(table_rows, key=order)[: ROWS.get(operands.form, ROWS[""])]
            columns, values = shape_columns(fit, chosen)
            table: Row = {"op": fit.family, "gpu": gpu, "form": operands.form, "dtype": operands.dtype}
            table["weights"] = operands.stored.id
            table["columns"] = ["engine", "version", *columns, "seconds"]
            table["rows"] = [
                [row["framework"].lower(), row["version"], *shape_of, short(float(row["latency_ms"]) * 1e-3)]
                for row, shape_of in zip(chosen, values, strict=True)
            ]
            found.append(table)
    return [*found, *collective_tables(folder)]


def collective_tables(folder: Path) -> list[Row]:
    found = []
    for (system, kind, engine), table_rows in sorted(collectives.collective_rows(folder).items()):
        if kind == "all_reduce" and not engine:
            continue
        chosen = sorted((row for row in table_rows if collectives.held_out_size(row)), key=order)[: ROWS[""]]
        table: Row = {"op": kind, "gpu": ACCELERATORS[system]}
        table["columns"] = ["engine", "version", "ranks", "message_bytes", "seconds"]
        table["rows"] = [
            [
                engine or "generic",
                row["version"],
                int(row["num_gpus"]),
                int(collectives.message_bytes(row)),
                short(float(row["latency_ms"]) * 1e-3),
            ]
            for row in chosen
        ]
        found.append(table)
    return found


def serving_rows(folder: Path) -> list[Row]:
    """Runs under the filters, with the built-in model, formats and real lengths."""
    with gzip.open(folder / "aic_e2e_serving.csv.gz", "rt") as file:
        every = list(csv.DictReader(file))
    found, seen = [], set()
    for row in every:
        if row["mode"] != "agg" or row["pp_size"] != "1" or not (row["silicon_tpot_ms"] and row["concurrency"]):
            continue
        if not placement(row):
            continue
        run = _run(row)
        key = json.dumps(run)
        if key not in seen and _fits(run):
            seen.add(key)
            found.append(run)
    return found


def placement(row: Row) -> dict[str, int] | None:
    """tp, dp and ep of a run; None where the labels fit no node.

    Where tp x dp = moe_tp x ep is above 8 devices and moe_tp = ep, the labels are of a run with ep experts' ranks on as
    many devices: they count expert parallelism on top of tensor (or data) parallelism.
    """
    tp, dp, experts_tp, ep = (
        int(float(row[name] or 1)) for name in ("tp_size", "attention_dp_size", "moe_tp_size", "moe_ep_size")
    )
    if tp * dp > LARGEST_NODE and experts_tp == ep and 1 in (tp, dp):
        tp, dp = min(tp, ep), min(dp, ep)
    if tp * dp > LARGEST_NODE or ep not in (1, tp * dp):
        return None
    dense = load_model(MODELS[row["model_path"]]).spec.kind == "dense"
    return {"tp": tp, "dp": dp, "ep": 1 if dense else ep}


def _run(row: Row) -> Row:
    spec = load_model(MODELS[row["model_path"]]).spec
    dense, precision = spec.kind == "dense", row["precision"]
    whole, experts = FORMATS.get(row["gemm_quant_mode"], "bf16"), FORMATS.get(row["moe_quant_mode"], "bf16")
    dtype = "bf16" if precision == "bf16" else whole if dense or whole == experts else f"{whole},experts={experts}"
    kv_cache = "fp8" if row["backend"] == "trtllm" and precision != "bf16" else "bf16"
    inferencemax = "gap-analysis/" not in row["src"]
    share = REAL_LENGTH if inferencemax else 1.0
    return {
        "published_model": row["model_path"],
        "model": spec.id,
        "dtype": dtype,
        "checkpoint": CHECKPOINTS.get((row["model_path"], precision)),
        "kv_cache": kv_cache,
        "gpu": row["system"].replace("_", "-"),
        "engine": row["backend"],
        "version": row["backend_version"],
        "date": row["measured_date"],
        **(placement(row) or {}),
        "prompt_len": round(float(row["isl"]) * share),
        "output_len": round(float(row["osl"]) * share),
        "concurrency": int(float(row["concurrency"])),
        "tpot_seconds": short(float(row["silicon_tpot_ms"]) * 1e-3),
        "ttft_seconds": short(float(row["silicon_ttft_ms"]) * 1e-3) if row["silicon_ttft_ms"] else None,
    }


def _fits(run: Row) -> bool:
    """Whether weights and the caches of all requests in flight fit in the devices' memory."""
    spec = load_model(run["checkpoint"] or run["model"]).spec
    formats = precision_for(spec, None if run["checkpoint"] else run["dtype"], run["kv_cache"])
    ops = spec.ops(Workload.decode(run["prompt_len"] + run["output_len"] // 2, run["concurrency"]))
    held = ops.sum(formats.weight_bytes) + formats.kv_cache_bytes(ops.total("kv_elements"))
    return held < run["tp"] * run["dp"] * load_accelerator(run["gpu"]).memory_bytes


def contradicted(runs: list[Row]) -> list[bool]:
    """Runs whose TPOT cannot be told from that of another with drafted tokens, whatever their date and version.

    Runs of one configuration that differ by more than `CONTRADICTION`, and those that are faster than a run with no
    more requests by `FASTER_WITH_MORE`, whether experts are split or not.
    """
    placed = ("model", "dtype", "gpu", "engine", "tp", "dp", "prompt_len", "output_len")
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for run in runs:
        groups[tuple(run[key] for key in placed)].append(run)
    return [_contradicts(run, groups[tuple(run[key] for key in placed)]) for run in runs]


def _contradicts(run: Row, others: list[Row]) -> bool:
    own: float = run["tpot_seconds"]
    for other in others:
        times = (own, other["tpot_seconds"])
        same = (other["ep"], other["concurrency"]) == (run["ep"], run["concurrency"])
        if same and max(times) > CONTRADICTION * min(times):
            return True
        if other["concurrency"] <= run["concurrency"] and bool(times[1] > FASTER_WITH_MORE * own):
            return True
    return False


def apart(runs: list[Row]) -> list[str]:
    """Why a run is no measure of a step with that many sequences; empty: it is one."""
    rooflines = serving_checks([{**run, "contradicted": False} for run in runs], _roofline)
    return [
        "faster than the roofline" if check.predicted_seconds > run["tpot_seconds"] else _waiting(run)
        for run, check in zip(runs, rooflines, strict=True)
    ]


@cache
def _roofline(gpu: str, engine: str) -> DeviceModel:
    return ABLATIONS["data sheet's roofline"](shipped_device(gpu, engine))


def _waiting(run: Row) -> str:
    ttft = run["ttft_seconds"] or 0.0
    if ttft > QUEUED_SHARE * (ttft + run["tpot_seconds"] * (run["output_len"] - 1)):
        return "queued"
    if run["concurrency"] < SMALLEST_WAVE or run["prompt_len"] % NOMINAL:
        return ""
    return "waves" if ttft > BURST_SHARE * run["concurrency"] * idle_ttft_seconds(run) else ""


KERNEL_NOTES = {
    "comment": (
        "Single kernels that were not used to fit data/kernel_constants.json: other shapes, of experts"
        " models that were not fitted, of collectives every other size. Drawn by a fixed shuffle."
    ),
    "left_out": (
        "H200 vLLM prefill attention (faster than physics), vLLM fp8 experts on Hopper (about 0.6 TB/s), vLLM block-fp8"
        " products (timed without graphs), TensorRT-LLM decode attention on A100, TensorRT-LLM fp8 and nvfp4 products"
        " (they time a quantizing kernel), SGLang's experts in 16 bits, its MXFP4 experts (weights widened to 16 bits"
        " when loaded) and untuned kernels; working sets within L2;"
        " decode attention within twice L2; eager all-reduces; latent attention of vLLM (timed without graphs) and of"
        " TensorRT-LLM on A100 and RTX PRO 6000 (no constants describe it)"
    ),
    "fields": {
        "distinct, pairs": (
            "experts that the busiest rank reads and token-expert pairs that it computes, by the benchmark's own way to"
            " draw loads (balanced, or a bounded Pareto law)"
        ),
        "moe_intermediate_size": "of one rank: divided by the benchmark's moe_tp_size",
        "message_bytes": "per rank",
    },
}
SERVING_NOTES = {
    "comment": (
        "Serving runs in closed loop at a concurrency. tools/fit_serving.py fits the engines' time per step and per"
        " sequence to them, and learns the spread of predictions from stacks that it leaves out."
    ),
    "filters": (
        "aggregated, pp 1, at most 8 devices, experts whole on all of them or split over all, TPOT and concurrency"
        " present, weights and caches within memory; rows that are equal in every field once. Labels that count expert"
        " parallelism on top of the devices (tp 64, moe_tp 8, ep 8) are read as runs on 8 devices; GB200 runs on 12 and"
        " more devices are left out, since no model's heads divide so"
    ),
    "fields": {
        "prompt_len, output_len": "mean lengths: 0.9 of the nominal ones, as InferenceMAX draws them",
        "checkpoint": (
            "whose formats are taken, module by module; null: dtype for all. The rows name the precision alone: fp4"
            " rows are taken to serve NVIDIA's checkpoint of the model, or of its family"
        ),
        "kv_cache": "not stated: TensorRT-LLM keeps it in FP8 for quantized models, the others in 16 bits",
        "contradicted": (
            "the same configuration was measured with times that differ by more than 1.6x, or with fewer requests at"
            " 1.4x the time: with and without multi-token prediction, which the rows do not tell"
        ),
        "apart": (
            "why the time is not that of a step with so many sequences: faster than the data sheet's roofline; more"
            " than half of a request's time is its queue; requests of equal length run in waves, whose prompts are"
            " computed before any answer"
        ),
    },
}


def dumps(head: Row, key: str, items: list[Any]) -> str:
    """JSON with one item a line."""
    text = json.dumps(head, indent=1)[:-2]
    lines = ",\n".join("  " + json.dumps(item) for item in items)
    return f'{text},\n "{key}": [\n{lines}\n ]\n}}\n'


def main(folder: Path, target: Path) -> None:
    source = {"source": SOURCE, "licence": LICENCE}
    runs = serving_rows(folder)
    columns = [*runs[0], "contradicted", "apart"]
    flags = zip(runs, contradicted(runs), apart(runs), strict=True)
    rows = [[*run.values(), flag, why] for run, flag, why in flags]
    (target / "serving.json").write_text(dumps({**source, **SERVING_NOTES, "columns": columns}, "rows", rows))
    tables = kernel_tables(folder)
    (target / "kernels.json").write_text(dumps({**source, **KERNEL_NOTES}, "tables", tables))
    print(len(rows), sum(row[-2] for row in rows), sum(len(table["rows"]) for table in tables))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "data/measurements"))
