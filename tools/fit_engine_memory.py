"""Fit the constants of data/engine_memory.json to logs of real servers: python tools/fit_engine_memory.py.

Four constants, by least squares on the relative error of the bytes that the rows named below leave for the KV cache;
`other_bytes` is one source's own figure and is kept. What is missing there: rows whose settings contradict their own
figures, and those where the forward pass and not the sampler is the peak. Prints each row's error, and its error where
the constants were fitted without it.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from sparsecalc.decide.engine_logs import Row, engine_log_rows, logged_device
from sparsecalc.estimate.engine_memory.memory import EngineDevice

GIB = 2**30
TARGET = Path(__file__).parent.parent / "data" / "engine_memory.json"
NAMES = (
    "sampler_bytes_per_logit",
    "sampler_bytes_per_logit_fused",
    "parallel_bytes",
    "graph_bytes_per_size",
)
ROWS = (
    *("M05P", "M07P", "M07bP", "M08P", "M09P", "M10P", "M11P", "M13P", "M14P", "M16P", "M19P"),
    *("M21P", "M21bP", "M22P", "M23P", "M40P"),
)


def shares(device: EngineDevice, sorts: bool) -> np.ndarray:
    """How often each constant is taken from the room of a row."""
    rules, plan, spec = device.rules, device.plan, device.model.spec
    logits = rules.profiled_seqs * (spec.head.out_features if spec.head else 0)
    profiled = rules.rule == "profiled"
    others = plan.tp * plan.dp - 1 if rules.fast_links else int(plan.num_gpus > 1)
    scale = 1.0 if profiled else rules.memory_share
    sampler = [logits * sorts * profiled, logits * (not sorts) * profiled]
    return np.array([*sampler, scale * others, rules.graph_sizes * rules.graphs_in_share])


def main() -> int:
    """Fit, print, and write the constants."""
    table = json.loads(TARGET.read_text())
    now = np.array([table["fitted"][name] for name in NAMES])
    rows: list[Row] = [row for row in engine_log_rows() if row["id"] in ROWS]
    devices = [logged_device(row, as_run=True)[0] for row in rows]
    design = np.array([shares(one, not one.rules.graphs_in_share) for one in devices])
    measured = np.array([float(row["measured"]) for row in rows])
    rest = np.array([float(one.room) for one in devices]) + design @ now  # the room without any of the constants
    taken = rest - measured
    weights = 1 / np.abs(measured)
    best = solve(design * weights[:, None], taken * weights)
    errors = []
    for place, row in enumerate(rows):
        kept = np.arange(len(rows)) != place
        alone = solve((design * weights[:, None])[kept], (taken * weights)[kept])
        within, without = ((rest - design @ x)[place] / measured[place] - 1 for x in (best, alone))
        errors.append(abs(without))
        print(f"{row['id']:6} {measured[place] / GIB:8.2f} GiB  fitted {within:+7.1%}  without it {without:+7.1%}")
    print(f"without it: median {np.median(errors):.1%}, worst {max(errors):.1%}")
    rounded = {name: float(f"{value:.3g}") for name, value in zip(NAMES, best, strict=True)}
    table["fitted"].update({name: int(value) if value > 1000 else value for name, value in rounded.items()})
    TARGET.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n")
    return 0


def solve(design: np.ndarray, taken: np.ndarray) -> Any:
    """Least squares; columns are scaled to their largest value, and a constant that no row tells is 0."""
    scale = np.abs(design).max(axis=0)
    scale[scale == 0] = 1
    return np.linalg.lstsq(design / scale, taken, rcond=None)[0] / scale


if __name__ == "__main__":
    sys.exit(main())
