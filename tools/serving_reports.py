"""Write data/measurements/serving_reports.json: python tools/serving_reports.py serving_reports.csv [TARGET].

The CSV has what users, recipes and repositories report of their servers, one figure a line, each with the command that
asks for it. Lines of one run become one row; a run of a model that is not built in is left out and named.
"""

import csv
import re
import shlex
import sys
from pathlib import Path
from typing import Any

from measurement_fixtures import dumps

from sparsecalc.core.errors import InputError
from sparsecalc.library.models import load_model

Row = dict[str, Any]
DEFAULTS: Row = {"dtype": "bf16", "kv-cache-dtype": "bf16", "tp": "1", "pp": "1"}
FIGURES = {"TPOT ms": "tpot_seconds", "TTFT ms (load)": "ttft_seconds", "output tok/s": "output_tokens_per_second"}
NOTES = {
    "comment": (
        "Serving runs as users, recipes and repositories report them, of stacks that nobody tuned for a benchmark. None"
        " of their times was fitted but the launch of an eager engine; the spread of such reports is learnt from them."
    ),
    "fields": {
        "eager": "without CUDA graphs (--enforce-eager), where the settings say so",
        "tpot_seconds": "mean; null where only the throughput is reported",
        "concurrency": "requests in flight; where a client had more, the mean batch that its server reports",
        "settings, note": "the conditions as stated, and what is not stated and was assumed",
    },
}


def asked(command: str) -> tuple[str, Row]:
    """The model and the options of `sparsecalc show MODEL --option value ...`."""
    words = shlex.split(command)[2:]
    options = {name.removeprefix("--"): value for name, value in zip(words[1::2], words[2::2], strict=True)}
    return words[0].removesuffix(".json"), {**DEFAULTS, **options}


def run_of(line: Row) -> Row | None:
    """The conditions of a line; None where its model is not built in."""
    name, options = asked(line["command"])
    model, dtype = name.lower(), options["dtype"]
    if model.endswith("-nvfp4"):  # a checkpoint of experts and dense layers in NVFP4, attention in 16 bits
        model, dtype = model.removesuffix("-nvfp4"), "nvfp4,attention=bf16"
    try:
        model = load_model(model).spec.id
    except InputError:
        return None
    version = re.search(rf"{options['engine']} (\d[\d.]*\d)", line["settings"])
    return {
        "model": model,
        "dtype": dtype,
        "kv_cache": options["kv-cache-dtype"],
        "gpu": options["gpu"],
        "engine": options["engine"],
        "version": version.group(1) if version else "",
        "eager": "eager" in line["settings"],
        **{name: int(options[name]) for name in ("tp", "pp")},
        "prompt_len": int(options["prompt-len"]),
        "output_len": int(options["output-len"]),
        "concurrency": int(options["concurrency"]),
        "source": line["source"],
        "settings": line["settings"],
        "note": line["note"],
        **dict.fromkeys(FIGURES.values()),
    }


def runs(lines: list[Row]) -> list[Row]:
    """One row for all figures of a run."""
    found: dict[tuple[str, str], Row] = {}
    for line in lines:
        run = run_of(line)
        if run is None:
            print(f"{line['id']} is left out: {asked(line['command'])[0]} is not built in")
            continue
        row = found.setdefault((line["command"], line["settings"]), run)
        scale = 1e-3 if "ms" in line["fact"] else 1.0
        row[FIGURES[line["fact"]]] = float(f"{float(line['measured']) * scale:.5g}")
    return list(found.values())


def main(source: Path, target: Path) -> None:
    with source.open() as file:
        rows = runs(list(csv.DictReader(file)))
    head = {"source": "each row names its own", **NOTES, "columns": list(rows[0])}
    target.write_text(dumps(head, "rows", [list(row.values()) for row in rows]))
    print(len(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "data/measurements/serving_reports.json"))
