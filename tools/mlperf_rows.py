"""Write data/measurements/mlperf.json from a table of MLPerf Inference results.

    python tools/mlperf_rows.py mlperf.csv

The table has a row for each result of the closed division: round, submitter, system, model, scenario,
tokens_per_second, samples_per_second, p99 and means of TTFT and TPOT, accelerator, accelerators_per_node, nodes,
framework. Results that repeat each other are kept once: the accuracy targets 99 and 99.9 of one run; of several results
of one system and scenario the fastest, since the slower ones are runs for compliance tests. Those with other answers
than the benchmark's (TEST07 of gpt-oss-120b) are dropped by their tokens per sample.
"""

import csv
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
COLUMNS = [
    *("round", "submitter", "system", "benchmark", "scenario", "accelerator", "devices_per_node", "nodes", "engine"),
    *("dtype", "kv_cache", "tokens_per_second", "ttft_p99_seconds", "tpot_p99_seconds"),
    *("ttft_mean_seconds", "tpot_mean_seconds"),
]
SAME_ANSWERS = 1.25
"""Tokens per sample are within this factor of the benchmark's."""


def main(path: str) -> None:
    facts = json.loads((ROOT / "data/mlperf_benchmarks.json").read_text())
    with Path(path).open(newline="") as file:
        told = [row for row in csv.DictReader(file) if row["tokens_per_second"]]
    best: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in (made(each, facts) for each in told):
        if row is None:
            continue
        key = tuple(row[name] for name in COLUMNS[:9])
        if key not in best or row["tokens_per_second"] > best[key]["tokens_per_second"]:
            best[key] = row
    rows = ",\n  ".join(json.dumps([row[name] for name in COLUMNS]) for row in best.values())
    text = json.dumps(HEAD | {"columns": COLUMNS}, indent=1)
    target = ROOT / "data/measurements/mlperf.json"
    target.write_text(f'{text[:-2]},\n "rows": [\n  {rows}\n ]\n}}\n')
    print(f"{len(best)} of {len(told)} results")


HEAD = {
    "source": "MLPerf Inference v5.1 and v6.0, closed division (mlcommons/inference_results_v5.1 and _v6.0)",
    "licence": "Apache-2.0",
    "comment": "MLPerf is a trademark of MLCommons; these results are unverified here. Lengths, limits and formats:"
    " data/mlperf_benchmarks.json. Written by tools/mlperf_rows.py.",
}


def made(row: dict[str, str], facts: dict[str, Any]) -> dict[str, Any] | None:
    """A result in the names of `COLUMNS`; None where the benchmark is not predicted, or the answers are not its own."""
    name = row["model"].replace("llama3_1", "llama3.1").removesuffix("-99.9").removesuffix("-99")
    benchmark = facts["benchmarks"].get(name)
    if benchmark is None:
        return None
    tokens = float(row["tokens_per_second"])
    if not 1 / SAME_ANSWERS < tokens / float(row["samples_per_second"]) / benchmark["output_len"] < SAME_ANSWERS:
        return None
    accelerator = next(each for each in facts["accelerators"] if each["name"] in row["accelerator"])
    format_of = next(each for each in facts["formats"] if covers(each, name, row["accelerator"]))
    return {
        **{column: row[column].strip() for column in ("round", "submitter", "system")},
        "benchmark": name,
        "scenario": row["scenario"].lower(),
        "accelerator": accelerator["name"],
        "devices_per_node": int(row["accelerators_per_node"]) * accelerator.get("devices", 1),
        "nodes": int(row["nodes"]),
        "engine": "trtllm" if "TensorRT" in row["framework"] else "vllm",
        **{column: format_of[column] for column in ("dtype", "kv_cache")},
        "tokens_per_second": tokens,
        **{f"{each}_seconds": number(row[f"{each}_s"]) for each in ("ttft_p99", "tpot_p99", "ttft_mean", "tpot_mean")},
    }


def covers(entry: dict[str, Any], benchmark: str, accelerator: str) -> bool:
    names, models = entry["accelerators"], entry["benchmarks"]
    return (not models or benchmark in models) and (not names or any(name in accelerator for name in names))


def number(text: str) -> float | None:
    return round(float(text), 5) if text else None


if __name__ == "__main__":
    main(*sys.argv[1:])
