"""Learn the prior of `calibrate --from-llama-bench` from whole machines: python tools/fit_desk_anchor.py [--write].

Rows: those of data/measurements/desk.json and fixed_batch.json that lie on one device, each with its error where its
stack was left out of the fit of its profile (data/measurements/desk_left_out.json, by tools/fit_desk.py). A machine is
a device under an engine, backend and version, by one source. Of each machine some rows of a phase are the anchor, and
the others are predicted; an anchor of one row is each row in turn. The ratios of the widths are those that make the
mean of |ln(measured / predicted)|, capped, least, each machine counted as at most 20 rows. The noise is such that 80 %
of the errors of dense models lie in their bands, and sparse_share such that 80 % of those of mixtures of experts do.
What an anchor is worth is measured on machines that they were not learnt from.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

from sparsecalc.decide.anchored import place_of
from sparsecalc.decide.desk import as_run, desk_rows, engine_of
from sparsecalc.decide.desk_errors import left_out_checks, on_device
from sparsecalc.device.desk_anchor import DeskWidths, test_covariance
from sparsecalc.estimate.step import BAND

TARGET = Path(__file__).parent.parent / "data" / "desk_anchor.json"
RATIOS = ("machine", "kind", "model", "quantized", "length", "octaves")
START = np.log([3.0, 1.0, 1.0, 1.0, 1.0, 2.0])
"""Of the logarithms: widths in units of the noise, and octaves; they are drawn back to it weakly."""
WEIGHT, PULL, FOLDS, ANCHORS = 20, 0.002, 7, (0, 1, 3)
DRAWS, MOST_TRIES, HELD, CAP = 10, 250, 0.8, 3.0
"""Errors count up to CAP times their median."""
PHASES = {"decode": "decode", "prefill": "prompt"}

Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Errors of the rows that are not the anchor, their predicted deviations, and which rows they are."""


class Machine:
    """The rows of one phase on one machine: where they lie, their errors, and what was said of their spread."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.places = [row["place"] for row in rows]
        self.errors = np.array([row["error"] for row in rows])
        self.spreads = np.array([row["spread"] for row in rows])
        self.dense = np.array([place.dense for place in self.places])

    def shares(self, widths: DeskWidths) -> np.ndarray:
        """What mixtures of experts leave unknown over what dense models do, row by row."""
        return np.where(self.dense, 1.0, widths.sparse_share)

    def by_one(self, widths: DeskWidths) -> Drawn:
        """Each row in turn as the anchor of all others."""
        own = widths.unsure(float(self.spreads.mean()))
        shared = test_covariance(self.places, self.places, own)
        weights = shared / (shared.diagonal()[:, None] + own.noise**2)
        left = np.maximum(shared.diagonal()[None, :] - weights * shared, 0) + own.noise**2
        off = self.errors[None, :] - weights * self.errors[:, None]
        others = ~np.eye(len(self.places), dtype=bool)
        rest = np.broadcast_to(np.arange(len(self.places)), others.shape)
        return off[others], self.shares(own)[rest[others]] * left[others] ** 0.5, rest[others]

    def by_several(self, widths: DeskWidths, anchors: int) -> Drawn:
        """Some draws of so many anchors of the others."""
        own = widths.unsure(float(self.spreads.mean()))
        shared = test_covariance(self.places, self.places, own)
        rng, found = np.random.default_rng(0), []
        for _ in range(DRAWS):
            picked = rng.permutation(len(self.places))
            seen, rest = picked[:anchors], picked[anchors:]
            across = shared[np.ix_(seen, rest)]
            weights = np.linalg.solve(shared[np.ix_(seen, seen)] + own.noise**2 * np.eye(anchors), across)
            left = np.maximum(shared.diagonal()[rest] - (across * weights).sum(axis=0), 0) + own.noise**2
            spreads = self.shares(own)[rest] * left**0.5
            found.append((self.errors[rest] - weights.T @ self.errors[seen], spreads, rest))
        return tuple(np.concatenate(each) for each in zip(*found, strict=True))  # type: ignore[return-value]

    def drawn(self, widths: DeskWidths, anchors: int) -> Drawn:
        """The rows that are not the anchor; without one all rows as they are."""
        if not anchors:
            return self.errors, self.spreads, np.arange(len(self.errors))
        return self.by_one(widths) if anchors == 1 else self.by_several(widths, anchors)


def machines() -> dict[str, list[Machine]]:
    """The machines of each phase."""
    rows = {row["id"]: row for row in desk_rows() if on_device(row)}
    ratios = json.loads((TARGET.parent / "measurements" / "desk_left_out.json").read_text())["rows"]
    checks = zip([row for row in rows.values() if row["id"] in ratios], left_out_checks(), strict=True)
    found: dict[str, dict[tuple[Any, ...], list[dict[str, Any]]]] = {phase: defaultdict(list) for phase in PHASES}
    for row, check in checks:
        model, precision = as_run(row["model"], row["weights"], row["kv_cache"])
        own = {
            "place": place_of(model, precision, float(row["context_len"])),
            "error": float(np.log(check.measured_seconds / check.predicted_seconds)),
            "spread": float(np.log(check.seconds_high / check.predicted_seconds)) / BAND,
        }
        machine = (row["gpu"], engine_of(row), row["source"], row.get("host"), row.get("engine_version"))
        found[row["phase"]][machine].append(own)
    return {PHASES[phase]: [Machine(own) for own in groups.values()] for phase, groups in found.items()}


def widths_of(x: np.ndarray, noise: float) -> DeskWidths:
    """The widths of the ratios' logarithms."""
    values = dict(zip(RATIOS, np.exp(x).tolist(), strict=True))
    return DeskWidths(
        **{name: value * (1 if name == "octaves" else noise) for name, value in values.items()}, noise=noise
    )


def learnt(some: list[Machine]) -> DeskWidths:
    """The widths of these machines."""
    several = [machine for machine in some if len(machine.places) > 1]
    cap = CAP * float(np.median(np.abs(np.concatenate([machine.errors for machine in several]))))

    def badness(x: np.ndarray, noise: float) -> float:
        total = PULL * float(np.sum((x - START) ** 2))
        for machine in several:
            off, _, _ = machine.by_one(widths_of(x, noise))
            total += min(1, len(machine.places) / WEIGHT) * float(np.minimum(np.abs(off), cap).mean())
        return total

    best, noise = START, 0.1
    simplex = np.vstack([np.zeros(len(START)), 0.5 * np.eye(len(START))])
    for _ in range(2):
        options = {"maxiter": MOST_TRIES, "xatol": 0.03, "fatol": 1e-4, "initial_simplex": best + simplex}
        best = minimize(badness, best, args=(noise,), method="Nelder-Mead", options=options).x
        noise = held(several, dense=True, widths=partial(widths_of, best))
    found = widths_of(best, noise)
    found = found.but(sparse_share=max(1.0, held(several, dense=False, widths=lambda v: found.but(sparse_share=v))))
    return DeskWidths(**{name: float(f"{value:.3g}") for name, value in vars(found).items()})


def held(some: list[Machine], dense: bool, widths: Callable[[float], DeskWidths]) -> float:
    """The value with whose widths 80 % of the errors of dense models, or of the others, lie in their 80 % bands."""
    low, high = 1e-2, 10.0
    while high / low > 1.005:
        value = (low * high) ** 0.5
        inside, weights = [], []
        for machine, count in ((machine, count) for machine in some for count in ANCHORS[1:]):
            if len(machine.places) > count:
                off, spreads, rest = machine.drawn(widths(value), count)
                own = machine.dense[rest] == dense
                if own.any():
                    inside.append(np.mean(np.abs(off[own]) <= BAND * spreads[own]))
                    weights.append(min(WEIGHT, len(machine.places)))
        low, high = (value, high) if np.average(inside, weights=weights) < HELD else (low, value)
    return low


def left_out(every: list[Machine]) -> dict[str, dict[str, dict[str, float]]]:
    """Errors of machines that the widths were not learnt from, by the rows that anchor them.

    Every row counts as much whatever the number of anchors that it is held against.
    """
    order = np.random.default_rng(1).permutation(len(every))
    found: dict[int, list[tuple[bool, float, bool, float]]] = {count: [] for count in ANCHORS}
    for fold in range(FOLDS):
        test = [every[place] for place in order[fold::FOLDS]]
        widths = learnt([machine for machine in every if machine not in test])
        for machine in test:
            for count in ANCHORS:
                if len(machine.places) > max(1, count):
                    off, spreads, rest = machine.drawn(widths, count)
                    inside = np.abs(off) <= BAND * np.minimum(spreads, machine.spreads[rest])
                    share = len(machine.places) / len(off)
                    rows = zip(machine.dense[rest], np.abs(np.expm1(-off)), inside, strict=True)
                    found[count] += [(bool(dense), float(e), bool(held), share) for dense, e, held in rows]
    return {str(count): summaries(rows) for count, rows in found.items()}


def quantile(rows: list[tuple[bool, float, bool, float]], at: float) -> float:
    """The error that a share of the rows' weight does not exceed."""
    ordered = sorted((row[1], row[3]) for row in rows)
    weights = np.cumsum([weight for _, weight in ordered])
    return ordered[int(np.searchsorted(weights, at * weights[-1]))][0]


def summaries(rows: list[tuple[bool, float, bool, float]]) -> dict[str, dict[str, float]]:
    kinds = {
        "all": rows,
        "dense": [row for row in rows if row[0]],
        "mixture of experts": [row for row in rows if not row[0]],
    }
    return {
        name: {
            "median": round(quantile(some, 0.5), 4),
            "p90": round(quantile(some, 0.9), 4),
            "in_band": round(float(np.average([row[2] for row in some], weights=[row[3] for row in some])), 3),
        }
        for name, some in kinds.items()
        if some
    }


def main() -> None:
    table = json.loads(TARGET.read_text())
    table["left_out"], table["rows"] = {}, {}
    for phase, every in machines().items():
        widths, errors = learnt(every), left_out(every)
        print(phase, widths)
        for count, kinds in errors.items():
            print(count, "rows:", *(f"{name} {values}" for name, values in kinds.items()))
        table["widths"][phase], table["left_out"][phase] = vars(widths), errors
        rows = sum(len(machine.places) for machine in every)
        table["rows"][phase] = f"{rows} of {len(every)} machines"
    if "--write" in sys.argv:
        TARGET.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
