"""Write data/measurements/serving_traces.json from whole runs of a server, request by request.

    python tools/serving_traces.py FOLDER

FOLDER has runs.json (how each run was made) and a CSV for each: arrival_s, prompt_tokens, output_tokens, queued_s,
scheduled_s, first_token_s, last_token_s.
"""

import csv
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MODELS = {
    "meta-llama/Llama-3.1-8B": "llama-3.1-8b",
    "Qwen/Qwen3-30B-A3B-Instruct-2507": "qwen3-30b-a3b",
}
ACCELERATORS = {"NVIDIA RTX PRO 6000 Blackwell": "rtx-pro-6000-blackwell"}
FORMATS = {"bfloat16": "bf16"}
TIMES = ("arrival_s", "first_token_s", "last_token_s")
LENGTHS = ("prompt_tokens", "output_tokens")


def main(folder: str) -> None:
    source = Path(folder)
    made = json.loads((source / "runs.json").read_text())
    runs = [run(how, source / f"{name}.csv") for name, how in made.items()]
    head = {
        "source": "casys-kaist/LLMServingSim (commit 5daddb2), bench/examples: vLLM itself, measured by its authors",
        "licence": "MIT",
        "comment": "Whole runs request by request, as columns; seconds since the start. Written by"
        " tools/serving_traces.py. Nothing was fitted to them.",
    }
    text = json.dumps(head, indent=1)[:-2] + ',\n "runs": [\n' + ",\n".join(map(entry, runs)) + "\n ]\n}\n"
    (ROOT / "data/measurements/serving_traces.json").write_text(text)
    print(f"{len(runs)} runs, {sum(len(each['arrival_s']) for each in runs)} requests")


def run(how: dict[str, Any], table: Path) -> dict[str, Any]:
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    engine, version = how["engine"].split()
    return {
        "model": MODELS[how["model"]],
        "gpu": ACCELERATORS[how["device"]],
        "tp": how["tensor_parallel_size"],
        "dp": how["data_parallel_size"],
        "expert_parallel": how["expert_parallel"],
        "engine": engine,
        "version": version,
        "dtype": FORMATS[how["dtype"]],
        "max_num_seqs": how["max_num_seqs"],
        "max_num_batched_tokens": how["max_num_batched_tokens"],
        **{name: [float(row[name]) for row in rows] for name in TIMES},
        **{name: [int(row[name]) for row in rows] for name in LENGTHS},
    }


def entry(found: dict[str, Any]) -> str:
    return (
        "  {\n" + ",\n".join(f"   {json.dumps(name)}: {json.dumps(value)}" for name, value in found.items()) + "\n  }"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
