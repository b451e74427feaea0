"""What AIPerf (0.1 to 0.14) and its predecessor GenAI-Perf export: profile_export_aiperf.json and .csv, and theirs.

JSON: a metric is an object with its `unit` and `avg`; older AIPerf has them under `records` by their tags; what was
asked is `input_config`. CSV: `Metric,avg,...` with the unit in parentheses, an empty line, then `Metric,Value` of the
whole run; it tells neither model nor concurrency. Their inter-token latency is (request latency - TTFT) / (output
length - 1), which is TPOT. Source: docs.nvidia.com/aiperf, metrics reference and JSON export schema;
triton-inference-server/perf_analyzer, genai_perf/export_data.
"""

import csv
import re
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import brief
from sparsecalc.library.serving_files.rows import Record, ServingRow, in_flight, number, part, word

PER_SECOND = {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0, "sec": 1.0, "seconds": 1.0}
CONCURRENCIES = (("loadgen", "concurrency"), ("concurrency",), ("perf_analyzer", "stimulus", "concurrency"))
MODELS = (("endpoint", "model_names"), ("model_names",), ("model",), ("endpoint", "model_name"))
METRIC = re.compile(r"^(?P<name>[^()]+?)\s*(\((?P<unit>[^()]*)\))?$")


def read_aiperf(record: Record, where: str) -> list[ServingRow] | None:
    """The row of a JSON export; None where the object is of another tool."""
    older = record.get("records")
    metrics = older if isinstance(older, dict) else record
    asked = record.get("input_config")
    if not isinstance(asked, dict) or not (part(metrics, "request_latency") or part(metrics, "request_throughput")):
        return None
    found = {name: (part(each, "avg"), part(each, "unit")) for name, each in metrics.items() if isinstance(each, dict)}
    row = _row(found, where)
    sizes = (number(part(asked, *path), "concurrency", where) for path in CONCURRENCIES if not _a_list(asked, path))
    size = next(filter(None, sizes), None)
    return [row.but(model=_model(asked), concurrency=size or row.concurrency)]


def read_aiperf_csv(text: str, where: str) -> list[ServingRow] | None:
    """The row of a csv export; None where the file is of another tool."""
    if not text.lstrip().startswith("Metric,avg,"):
        return None
    found: dict[str, tuple[Any, Any]] = {}
    for line in csv.reader(text.splitlines()):
        match = METRIC.match(line[0].strip()) if len(line) > 1 else None
        if match and match["name"] != "Metric":
            found.setdefault(match["name"].lower().replace(" ", "_"), (line[1], match["unit"]))
    return [_row(found, where)]


def _row(found: dict[str, tuple[Any, Any]], where: str) -> ServingRow:
    """The row of metrics by name, each a mean and its unit."""

    def plain(name: str) -> float | None:
        return number(found.get(name, (None, None))[0], name, where)

    def time(*names: str) -> float | None:
        name = next((name for name in names if name in found), names[0])
        value, unit = found.get(name, (None, None))
        if value is not None and unit not in PER_SECOND:
            raise InputError(f"{name} is in {brief(unit)}", where=where, hint=f"Known: {', '.join(PER_SECOND)}")
        measured = number(value, name, where)
        return measured / PER_SECOND[unit] if measured else None

    row = ServingRow(
        where=where,
        tool="AIPerf",
        prompt_len=plain("input_sequence_length"),
        output_len=plain("output_sequence_length"),
        tpot_seconds=time("inter_token_latency"),
        ttft_seconds=time("time_to_first_token", "ttft"),
    )
    return row.but(concurrency=in_flight(plain("request_throughput"), row))


def _model(asked: Record) -> str | None:
    names = next(filter(None, (part(asked, *path) for path in MODELS)), None)
    return word(names[0] if isinstance(names, list) else names)


def _a_list(asked: Record, path: tuple[str, ...]) -> bool:
    return isinstance(part(asked, *path), list)
