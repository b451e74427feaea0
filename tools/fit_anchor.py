"""Learn the prior of `calibrate --from-serving` from whole stacks: python tools/fit_anchor.py [--write].

Rows: data/measurements/serving.json, without those that do not tell of a step (contradicted, apart). Of each stack (a
model, device, engine and format) some rows drawn at random are the anchor, and the others are predicted. The prior's
six ratios are those that make the mean of |ln(measured / predicted)|, capped, least over such draws, each stack
counted as at most 40 rows. Its deviations are such that 80 % of the errors of mixtures of experts, and 80 % of those of
dense models, lie in their 80 % bands. What it is worth is measured in the same way on stacks that it was not learnt
from.
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from sparsecalc.decide.published import model_of, serving_rows
from sparsecalc.decide.published_load import replayed
from sparsecalc.decide.simulation_figures import band
from sparsecalc.device.anchor import AnchorPrior, StackLoad, covariance
from sparsecalc.estimate.step import BAND

TARGET = Path(__file__).parent.parent / "data" / "anchor.json"
RATIOS = ("scale", "shape", "sequences_octaves", "prompt_octaves", "split_octaves", "whole_experts")
START = np.log([0.6, 2.2, 2.7, 4.5, 0.6, 0.33])
"""Of the logarithms of the ratios; they are drawn back to it weakly."""
WEIGHT, PULL, FOLDS, ANCHORS = 40, 0.003, 7, (0, 1, 3, 5, 8)
HELD = 0.8
DRAWS, LEARNING_DRAWS, MOST_TRIES = 20, 5, 120
CAP = 2.5
"""Errors count up to this many times their median: some rows had multi-token prediction and do not tell."""

Name = tuple[str, str, str, str]
Sample = tuple[StackLoad, float, float]
"""Where a row lies, ln(measured / predicted), and the deviation that was predicted of it (infinite: none was)."""


class Stack:
    """The rows of one stack: where they lie, their errors, and what was said of their spread."""

    def __init__(self, name: Name, samples: list[Sample]) -> None:
        self.model, self.device, self.engine, self.dtype = name
        self.loads = [load for load, _, _ in samples]
        self.errors = np.array([error for _, error, _ in samples])
        self.spreads = np.array([spread for _, _, spread in samples])
        self.kind = model_of(self.model).spec.kind
        self.sparse = self.kind != "dense"


def stacks() -> dict[str, list[Stack]]:
    """The stacks, once with their errors of TPOT and once with those of TTFT, as far as it was measured."""
    found: dict[str, dict[Name, list[Sample]]] = {"tpot": {}, "ttft": {}}
    for row in serving_rows():
        if row["contradicted"] or row.get("apart"):
            continue
        served, name = replayed(row), (row["model"], row["gpu"], row["engine"], row["dtype"])
        low, high = band(served)
        places = {"tp": row["tp"], "dp": row.get("dp", 1), "ep": row["ep"]}
        load = StackLoad(sequences=row["concurrency"], prompt_len=row["prompt_len"], **places)
        off = np.log(row["tpot_seconds"] / served.tpot.mean())
        found["tpot"].setdefault(name, []).append((load, off, np.log(high / low) / 2 / BAND))
        if row["ttft_seconds"]:
            off = np.log(row["ttft_seconds"] / served.ttft.mean())
            found["ttft"].setdefault(name, []).append((load, off, np.inf))
    return {of: [Stack(name, samples) for name, samples in groups.items()] for of, groups in found.items()}


def prior_of(x: np.ndarray, noise: float = 1.0) -> AnchorPrior:
    """The prior of the ratios' logarithms: deviations are in units of the noise."""
    values = dict(zip(RATIOS, np.exp(x).tolist(), strict=True))
    values |= {name: values[name] * noise for name in ("scale", "shape")}
    return AnchorPrior(noise=noise, **values)


def learnt(some: list[Stack]) -> AnchorPrior:
    cap = CAP * float(np.median(np.abs(np.concatenate([stack.errors for stack in some]))))

    def badness(x: np.ndarray) -> float:
        prior, total = prior_of(x), PULL * float(np.sum((x - START) ** 2))
        for stack in some:
            off = np.concatenate([errors for errors, _, _ in draws(stack, prior, LEARNING_DRAWS, ANCHORS[1:])])
            total += min(1, len(stack.loads) / WEIGHT) * float(np.minimum(np.abs(off), cap).mean())
        return total

    options = {"maxiter": MOST_TRIES, "xatol": 0.02, "fatol": 1e-5}
    best = minimize(badness, START, method="Nelder-Mead", options=options).x
    noise, dense = (held([stack for stack in some if stack.sparse is sparse], best) for sparse in (True, False))
    prior = prior_of(best, noise).but(dense_share=min(1.0, dense / noise))
    return AnchorPrior(**{name: float(f"{value:.3g}") for name, value in vars(prior).items()})


def held(some: list[Stack], x: np.ndarray) -> float:
    """The noise with which 80 % of the stacks' errors lie in the 80 % band, the predicted deviation a limit to it."""
    prior, low, high = prior_of(x), 1e-3, 3.0
    parts = [(stack, part) for stack in some for part in draws(stack, prior, LEARNING_DRAWS, ANCHORS[1:])]
    off = np.concatenate([np.abs(part[0]) for _, part in parts])
    spreads = np.concatenate([part[1] for _, part in parts])
    own = np.concatenate([stack.spreads[part[2]] for stack, part in parts])
    while high / low > 1.001:
        noise = (low * high) ** 0.5
        within = np.mean(off <= BAND * np.minimum(noise * spreads, own))
        low, high = (noise, high) if within < HELD else (low, noise)
    return float(low)


def draws(
    stack: Stack, prior: AnchorPrior, times: int, counts: tuple[int, ...]
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For draws of so many anchors: errors of the other rows, their predicted deviations, and which rows they are."""
    rng, found, own = np.random.default_rng(0), [], prior.of(stack.kind)
    shared = covariance(stack.loads, stack.loads, own)
    for count in counts:
        for _ in range(times if count else 1):
            picked = rng.permutation(len(stack.loads))
            seen, rest = picked[:count], picked[count:]
            across = shared[np.ix_(seen, rest)]
            weights = np.linalg.solve(shared[np.ix_(seen, seen)] + own.noise**2 * np.eye(len(seen)), across)
            left = shared.diagonal()[rest] - (across * weights).sum(axis=0) + own.noise**2
            found.append((stack.errors[rest] - weights.T @ stack.errors[seen], left**0.5, rest))
    return found


def between_models(all_stacks: list[Stack], prior: AnchorPrior) -> float:
    """The correlation between models that makes the errors of one device under one engine in one format likeliest."""
    groups: dict[tuple[str, str, str], list[Stack]] = {}
    for stack in all_stacks:
        groups.setdefault((stack.device, stack.engine, stack.dtype), []).append(stack)

    def unlikely(correlation: float) -> float:
        return sum(_together(group, correlation, prior) for group in groups.values())

    return min((share / 20 for share in range(20)), key=unlikely)


def _together(group: list[Stack], correlation: float, prior: AnchorPrior) -> float:
    loads = [load for stack in group for load in stack.loads]
    errors = np.concatenate([stack.errors for stack in group])
    owner = np.repeat(range(len(group)), [len(stack.loads) for stack in group])
    alike = np.where(owner[:, None] == owner[None, :], 1.0, correlation)
    matrix = covariance(loads, loads, prior) * alike + (prior.noise**2 + 1e-6) * np.eye(len(loads))
    _, log_determinant = np.linalg.slogdet(matrix)
    return float(errors @ np.linalg.solve(matrix, errors) + log_determinant) / 2


def left_out(all_stacks: list[Stack]) -> dict[str, dict[str, dict[str, float]]]:
    """Errors of stacks that the prior was not learnt from, by the rows that anchor them."""
    order = np.random.default_rng(1).permutation(len(all_stacks))
    found: dict[int, list[tuple[bool, float, bool]]] = {count: [] for count in ANCHORS}
    for fold in range(FOLDS):
        test = [all_stacks[place] for place in order[fold::FOLDS]]
        prior = learnt([stack for stack in all_stacks if stack not in test])
        for stack in test:
            for count in ANCHORS:
                found[count] += drawn(stack, count, prior)
    return {str(count): summaries(rows) for count, rows in found.items()}


def drawn(stack: Stack, count: int, prior: AnchorPrior) -> list[tuple[bool, float, bool]]:
    """Of the rows that are not the anchor: sparse, the error, whether the band held."""
    rows = []
    for off, spreads, rest in draws(stack, prior, DRAWS, (count,)):
        own = stack.spreads[rest]
        limits = BAND * (np.minimum(spreads, own) if count else np.where(np.isinf(own), spreads, own))
        rows += [(stack.sparse, abs(np.expm1(-e)), bool(abs(e) <= b)) for e, b in zip(off, limits, strict=True)]
    return rows


def summaries(rows: list[tuple[bool, float, bool]]) -> dict[str, dict[str, float]]:
    kinds = {
        "all": rows,
        "dense": [row for row in rows if not row[0]],
        "mixture of experts": [row for row in rows if row[0]],
    }
    return {
        name: {
            "median": round(float(np.median([row[1] for row in some])), 4),
            "p90": round(float(np.percentile([row[1] for row in some], 90)), 4),
            "in_band": round(float(np.mean([row[2] for row in some])), 3),
        }
        for name, some in kinds.items()
    }


def main() -> None:
    table = json.loads(TARGET.read_text())
    for of, found in stacks().items():
        prior, errors = learnt(found), left_out(found)
        shared = between_models(found, prior)
        print(of, prior, "correlation between models:", shared)
        for count, kinds in errors.items():
            print(count, "rows:", *(f"{name} {values}" for name, values in kinds.items()))
        rows = sum(len(stack.loads) for stack in found)
        table["prior"][of], table["left_out"][of] = vars(prior), errors
        table["between_models"][of] = shared
        table["rows"][of] = f"{rows} of {len(found)} stacks"
    if "--write" in sys.argv:
        TARGET.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
