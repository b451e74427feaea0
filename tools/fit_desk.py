"""Fit llama.cpp and its like in data/desk_engines.json: python tools/fit_desk.py [--write] [--rows] [GROUP...].

The rows are those of data/measurements/desk.json that lie on one device, and those of fixed_batch.json. Each backend
has one set of constants; families of devices differ from it as far as their rows insist (a prior holds them together),
so that a device of which nothing was measured has the constants of its backend. Bands come from the errors on stacks
left out: data/measurements/desk_left_out.json.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from desk_fit import FAMILIES, FREE, OLD, Fit, family_of, stack_of

from sparsecalc.decide.desk import desk_rows, engine_of, kind_of, on_device
from sparsecalc.measure.calibrate.constants_fit import Floats

Row = dict[str, Any]
DATA = Path(__file__).parent.parent / "data"
TARGET, LEFT_OUT = DATA / "desk_engines.json", DATA / "measurements" / "desk_left_out.json"
BASES = {"llama.cpp:rocm": "llama.cpp:cuda", "llama.cpp:vulkan": "llama.cpp:cuda"}
"""Backends whose constants start at those of another."""
UNMEASURED = {"llama.cpp:sycl": "llama.cpp:vulkan"}
"""Backends without rows, and whose constants they have."""
SOURCE = (
    "fitted by tools/fit_desk.py to data/measurements/desk.json and fixed_batch.json; errors on stacks left out:"
    " docs/desk.md"
)
BAND = 1.2816
FEW = 12
"""So many rows of all backends weigh beside a backend's own in its band."""


def groups_of(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by the engine and backend whose kernels they ran."""
    found: dict[str, list[Row]] = {group: [] for group in FAMILIES}
    for row in rows:
        group = (
            f"{'mlx' if row['engine'] == 'mlx' else 'llama.cpp'}:{engine_of(row).partition('@')[0].partition(':')[2]}"
        )
        if row["engine"] in ("llama.cpp", "ollama", "ik_llama.cpp", "mlx"):
            found[group].append(row)
    return found


def left_out_errors(fit: Fit, x: Floats) -> tuple[Floats, list[bool]]:
    """ln(predicted / measured) of each row with its stack left out, and whether others of its family remained."""
    errors, known = np.zeros(len(fit.rows)), [False] * len(fit.rows)
    stacks = [stack_of(row) for row in fit.rows]
    for stack in sorted(set(stacks)):
        out = np.array([float(other == stack) for other in stacks])
        best = fit.errors(fit.solve(out, x))
        family = family_of(stack[0], fit.group)
        others = {family_of(gpu, fit.group) for gpu, _ in set(stacks) - {stack}}
        for place, other in enumerate(stacks):
            if other == stack:
                errors[place], known[place] = best[place], family in others
    return errors, known


def report(rows: Sequence[Row], errors: Sequence[float], title: str) -> None:
    for phase in ("decode", "prefill"):
        for kind in ("dense", "moe"):
            own = [
                abs(np.exp(error) - 1)
                for row, error in zip(rows, errors, strict=True)
                if (row["phase"], kind_of(row)) == (phase, kind)
            ]
            if own:
                figures = f"{len(own):4}  median {np.median(own):6.1%}  p90 {np.quantile(own, 0.9):6.1%}"
                print(f"  {title:10} {phase:8} {kind:6} {figures}")


def print_rows(fit: Fit, x: Floats) -> None:
    for row, error in zip(fit.rows, fit.errors(x), strict=True):
        words = ("gpu", "engine", "phase", "model", "weights", "batch_size", "context_len", "published")
        print("R", *(row[word] for word in words), f"{np.exp(error) - 1:+.0%}", row["source"][:14])


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.3g}") for name, value in values.items()}


def backend_entry(entry: Row, fit: Fit, x: Floats) -> None:
    """Write the fitted constants of a backend, and of its families, into its entry."""
    for kernels, fields in entry["kernels"].items():
        fields.update({**rounded(fit.constants(x, kernels, -1)), "spread": 0.0})
    entry["formats"] = {
        name: [float(f"{value:.3g}") for value in pair] for name, pair in fit.formats(x).items() if pair != (1.0, 1.0)
    }
    widths = {
        kernels: {f.constant for f in FREE.values() if f.width and kernels in f.classes} for kernels in entry["kernels"]
    }
    entry["devices"] = []
    for family in fit.families:
        own = {
            kernels: {
                name: v for name, v in rounded(fit.constants(x, kernels, family)).items() if name in widths[kernels]
            }
            for kernels in entry["kernels"]
        }
        entry["devices"].append({**FAMILIES[fit.group][family], "kernels": {k: v for k, v in own.items() if v}})
    if OLD in fit.programs:
        entry["builds"] = [{"up_to": 2900, **rounded(fit.factors(x, OLD))}]
    entry["source"] = SOURCE


def spreads(errors: dict[tuple[str, str, str], list[float]], group: str) -> dict[str, Any]:
    """The bands of a backend: by phase, and how much wider for mixtures of experts."""

    def width(phase: str, kind: str) -> float:
        own = errors.get((group, phase, kind), [])
        every = [error for (_, p, k), values in errors.items() if (p, k) == (phase, kind) for error in values]
        mine, all_ = (np.quantile(np.abs(values), 0.8) / BAND if values else 0.0 for values in (own, every))
        return float(((len(own) * mine**2 + FEW * all_**2) / (len(own) + FEW)) ** 0.5)

    dense, prompt = width("decode", "dense"), width("prefill", "dense")
    wider = (width("decode", "moe") / dense * width("prefill", "moe") / prompt) ** 0.5
    return {
        **rounded({"spread": dense, "prompt_spread": prompt}),
        "spread_factors": {"dense": 1.0, "moe": float(f"{max(1.0, wider):.3g}")},
    }


def main() -> None:
    groups, solved = groups_of([row for row in desk_rows() if on_device(row)]), {}
    only = [name for name in sys.argv[1:] if name in groups] or list(groups)
    errors: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    unknown: list[float] = []
    lines: dict[str, Any] = {}
    for group in only:
        base = solved.get(BASES.get(group, ""))
        fit = Fit(
            group,
            groups[group],
            {n: float(np.exp(v)) for n, v in zip(base[0].names, base[1], strict=True)} if base else None,
        )
        x = fit.solve()
        solved[group] = (fit, x)
        print(group, len(fit.rows), "rows", len(fit.names), "constants")
        report(fit.rows, fit.errors(x), "in sample")
        if "--rows" in sys.argv:
            print_rows(fit, x)
        for name, value, middle in zip(fit.names, np.exp(x), np.exp(fit.center), strict=True):
            if name[0] == "all" or abs(np.log(value / middle)) > 0.05:
                print("     ", name, f"{value:.3g}")
        if "--left-out" not in sys.argv and "--write" not in sys.argv:
            continue
        out, known = left_out_errors(fit, x)
        report(fit.rows, out, "left out")
        for row, error, kept in zip(fit.rows, out, known, strict=True):
            errors[group, row["phase"], kind_of(row)].append(error)
            lines[row["id"]] = [round(float(np.exp(error)), 4), kept]
            if not kept:
                unknown.append(error)
    if "--write" in sys.argv:
        write(solved, errors, unknown, lines)


def write(
    solved: dict[str, Any], errors: dict[tuple[str, str, str], list[float]], unknown: list[float], lines: Row
) -> None:
    """Write both files."""
    table = json.loads(TARGET.read_text())
    by_name = {
        f"{entry['id']}:{backend['backend']}": backend for entry in table["engines"] for backend in entry["backends"]
    }
    for group, (fit, x) in solved.items():
        backend_entry(by_name[group], fit, x)
        own = spreads(errors, group)
        by_name[group].update(own)
        for program in set(fit.programs) - {OLD}:
            by_name[f"{program}:{group.partition(':')[2]}"].update(
                {**rounded(fit.factors(x, program)), "source": SOURCE}
            )
    far = float(np.quantile(np.abs(unknown), 0.8) / BAND) if unknown else 0.0
    for name, entry in by_name.items():
        if name in solved:
            entry["unmeasured_spread"] = float(f"{max(0.0, far**2 - entry['spread'] ** 2) ** 0.5:.3g}")
    TARGET.write_text(json.dumps(table, indent=1) + "\n")
    LEFT_OUT.write_text(
        json.dumps(
            {
                "comment": "predicted / measured of each row with its stack left out of the fit, and whether others of its family remained",
                "rows": lines,
            },
            indent=1,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
