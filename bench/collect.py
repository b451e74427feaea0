"""Put the parts of bench/gpu.sh or bench/cpu.sh into one JSON file and one markdown page per device and day.

python bench/collect.py PARTS_FOLDER OUT_FOLDER
"""

import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any


def milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value * 1e3:.3g}"


def figure(value: float | None, size: float = 1.0) -> str:
    return "" if value is None else f"{value / size:.3g}"


def table(headers: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headers)} |"
    yield "|---" * len(headers) + "|"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def measured(name: str, document: dict[str, Any]) -> Iterator[str]:
    """Whole model, layers and steps of `profile` and `bench`, with what was predicted."""
    rows = []
    for entry in document["measurements"]:
        predicted, median = entry.get("predicted_seconds"), entry["median_seconds"]
        size = [str(entry[key]) for key in ("batch_size", "new_tokens", "context_len", "layers")]
        band = [milliseconds(entry[key]) for key in ("median_seconds", "p10_seconds", "p90_seconds")]
        ratio = "" if not predicted else f"{predicted / median:.2f}"
        rate = [
            figure(entry.get("achieved_flops_per_second"), 1e12),
            figure(entry.get("achieved_bytes_per_second"), 1e9),
        ]
        experts = [figure(entry.get("distinct_experts")), figure(entry.get("expected_distinct_experts"))]
        what = " ".join(filter(None, (entry["component"], entry.get("kind"))))
        rows.append([entry["phase"], what, *size, *band, milliseconds(predicted), ratio, *rate, *experts])
    yield f"## {name}: {document.get('model', '')}\n"
    headers = ["phase", "component", "batch", "new", "context", "layers", "ms", "p10", "p90", "predicted ms", "ratio"]
    yield from table([*headers, "TFLOP/s", "GB/s", "experts", "expected"], rows)


def benchmarks(name: str, document: dict[str, Any]) -> Iterator[str]:
    """Rows of micro-benchmarks: what they are, and their median."""
    yield f"## {name}\n"
    kinds: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in document["rows"]:
        shown = {key: value for key, value in row.items() if not isinstance(value, list | dict)}
        kinds.setdefault(tuple(shown), []).append(shown)
    for columns, rows in kinds.items():
        cells = [
            [f"{row[key]:.4g}" if isinstance(row[key], float) else str(row[key]) for key in columns] for row in rows
        ]
        yield from table(list(columns), cells)


def accuracy(parts: dict[str, Any]) -> dict[str, list[float]]:
    """|predicted / measured - 1| by kind: layers by phase, models that generate, distinct experts, peak memory."""
    by_kind: dict[str, list[float]] = {}

    def add(kind: str, predicted: float | None, actual: float | None) -> None:
        if predicted and actual:
            by_kind.setdefault(kind, []).append(abs(predicted / actual - 1))

    for part in parts.values():
        for row in part.get("measurements", ()):
            generated = row["method"] in ("generate", "vllm")
            if generated or row["component"] == "layer":
                kind = f"generate, {row['phase']}" if generated else f"one layer, {row['phase']}"
                add(kind, row["predicted_seconds"], row["median_seconds"])
                add("distinct experts", row["expected_distinct_experts"], row["distinct_experts"])
            if row["component"] == "step" and not generated:
                add("peak memory", row["predicted_memory_bytes"], row["peak_memory_bytes"])
    layers = [error for kind, errors in by_kind.items() if kind.startswith("one layer") for error in errors]
    return {**by_kind, **({"one layer, all": layers} if layers else {})}


def accuracy_table(errors: dict[str, list[float]]) -> Iterator[str]:
    """Median, 90th percentile and largest error of each kind, in percent."""
    yield "## |predicted / measured - 1|\n"
    rows = []
    for kind, values in errors.items():
        ordered = sorted(values)
        chosen = (median(ordered), ordered[ceil(0.9 * len(ordered)) - 1], ordered[-1])
        rows.append([kind, str(len(ordered)), *(f"{100 * value:.1f}" for value in chosen)])
    yield from table(["what", "points", "median %", "90th percentile %", "largest %"], rows)


def main() -> None:
    parts, out = Path(sys.argv[1]), Path(sys.argv[2])
    documents: dict[str, Any] = {}
    for path in sorted(parts.glob("*.json")):
        try:
            documents[path.stem] = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            print(f"{path.name} is not whole; left out", file=sys.stderr)
    environments = [part["environment"] for part in documents.values() if part.get("environment")]
    if not environments:
        sys.exit("nothing was measured")
    device, date = environments[0]["device_name"], datetime.now(UTC).date().isoformat()
    failed = sorted(path.stem for path in parts.glob("*.failed"))
    slug = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    target = out / f"{slug}-{date}.json"
    errors = accuracy(documents)
    document = {"device": device, "date": date, "environment": environments[0], "failed": failed}
    document |= {"accuracy": errors, "parts": documents}
    target.write_text(json.dumps(document) + "\n", encoding="utf-8")
    page = [f"# {device}, {date}\n", "Medians in ms; ratio: predicted / measured.\n"]
    page += [f"- {key}: {value}" for key, value in environments[0].items()]
    page += [f"\nParts that failed or ran out of time: {', '.join(failed)}.\n" if failed else ""]
    page += accuracy_table(errors) if errors else []
    for name, part in documents.items():
        page += measured(name, part) if "measurements" in part else benchmarks(name, part) if "rows" in part else []
    target.with_suffix(".md").write_text("\n".join(page) + "\n", encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
