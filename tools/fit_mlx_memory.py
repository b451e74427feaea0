"""Fit how often MLX holds the results of a prompt's step at once, to the rows of its peak memory.

    python tools/fit_mlx_memory.py

Prints the number that makes the median error of the rows smallest, to be written into data/mlx_memory.json by hand,
and the errors with it and with one fitted without each model.
"""

from statistics import median
from typing import Any

from sparsecalc.decide.desk_logs import desk_log_rows, mlx_of_row

TRIED = [place / 20 for place in range(0, 121)]


def errors(rows: list[dict[str, Any]], live_steps: float) -> list[float]:
    return [mlx_of_row(row, live_steps).peak_bytes / row["measured"] - 1 for row in rows]


def best(rows: list[dict[str, Any]]) -> float:
    return min(TRIED, key=lambda live: median(map(abs, errors(rows, live))))


def main() -> None:
    rows = [row for row in desk_log_rows() if row["figure"] == "peak_bytes"]
    live = best(rows)
    print(f"live_steps {live}: errors {', '.join(f'{error:+.1%}' for error in errors(rows, live))}")
    for model in sorted({row["model"] for row in rows}):
        others = [row for row in rows if row["model"] != model]
        own = [row for row in rows if row["model"] == model]
        found = best(others)
        print(f"without {model}: {found}; its errors {', '.join(f'{error:+.1%}' for error in errors(own, found))}")


if __name__ == "__main__":
    main()
