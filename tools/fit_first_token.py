"""Fit what a first token waits for outside of an engine's steps: python tools/fit_first_token.py [--write].

    TTFT = TTFT of the replay + prefill_seconds + prompt_token_seconds * prompt_len + first_token_steps * step

For each engine of data/engines.json with serving runs that state their TTFT (data/measurements/serving.json); the
least mean |ln(predicted / measured)|, over a grid. Errors are printed for stacks (model, accelerator, format) that
were left out of the fit, one fifth at a time; first_token_spread is such that their 80 % band holds 80 % of them.
"""

import json
import sys
import zlib
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from sparsecalc.decide.published import is_measure, serving_rows
from sparsecalc.decide.published_load import replayed
from sparsecalc.estimate.step import BAND

TARGET = Path(__file__).parent.parent / "data" / "engines.json"
GRID = {
    "prefill_seconds": (0.0, 0.01, 0.02, 0.04, 0.08),
    "prompt_token_seconds": (0.0, 2e-6, 5e-6, 1e-5, 1.5e-5, 2e-5),
    "first_token_steps": (0.0, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 13.0, 16.0, 20.0, 25.0, 30.0, 40.0),
}
FOLDS, COVERED = 5, 0.8


def fold(row: dict[str, Any]) -> int:
    """Whole stacks together, the same on every run."""
    return zlib.crc32(f"{row['model']} {row['gpu']} {row['dtype']}".encode()) % FOLDS


def logs(table: np.ndarray, values: tuple[float, ...]) -> np.ndarray:
    """ln(predicted / measured); columns of `table`: measured, replayed, prompt_len, seconds of a step."""
    measured, own, prompt, step = table.T
    return np.log((own + values[0] + values[1] * prompt + values[2] * step) / measured)


def fitted(table: np.ndarray) -> tuple[float, ...]:
    """The values of the grid with the least mean error."""
    return min(product(*GRID.values()), key=lambda values: float(np.abs(logs(table, values)).mean()))


def summary(errors: np.ndarray) -> str:
    share = np.abs(np.exp(errors) - 1) * 100
    return f"median {np.median(share):.1f} %, 90th percentile {np.percentile(share, 90):.0f} % ({len(share)})"


def main() -> None:
    table = json.loads(TARGET.read_text())
    rows = [row for row in serving_rows() if row["ttft_seconds"] and is_measure(row)]
    every = []
    for entry in table["engines"]:
        own = [row for row in rows if row["engine"] == entry["id"]]
        if not own:
            continue
        columns = []
        for row in own:
            served = replayed(row)
            alone = float((served.ttft - served.to_client - served.front).mean())
            columns.append((row["ttft_seconds"], alone, row["prompt_len"], served.itl.mean * served.busy.mean()))
        data, folds = np.array(columns), np.array([fold(row) for row in own])
        left_out = np.concatenate(
            [logs(data[folds == part], fitted(data[folds != part])) for part in range(FOLDS) if (folds == part).any()]
        )
        best = fitted(data)
        entry.update({name: value for name, value in zip(GRID, best, strict=True) if value})
        entry["first_token_spread"] = round(float(np.quantile(np.abs(left_out), COVERED)) / BAND, 3)
        every.append(left_out)
        print(entry["id"], dict(zip(GRID, best, strict=True)), "stacks left out:", summary(left_out))
    print("all", summary(np.concatenate(every)))
    if "--write" in sys.argv:
        TARGET.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
