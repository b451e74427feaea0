"""What GuideLLM writes as benchmarks.json (0.2 to 0.7, guidellm/benchmark/schemas): `benchmarks`, one for each load.

Metrics are distributions by what became of the requests: those of `successful` are read. inter_token_latency_ms is the
time after the first token over the tokens after it, which is what TPOT means elsewhere; time_per_output_token_ms counts
the first token too.
"""

from typing import Any

from sparsecalc.library.serving_files.rows import Record, ServingRow, number, part, seconds, word

STRATEGIES = (("config", "strategy"), ("args", "strategy"), ("scheduler", "strategy"))
"""Where a benchmark tells how its requests came, newest version first."""
MODELS = (("config", "backend", "model"), ("config", "spec", "backend", "model"), ("args", "backend_kwargs", "model"))
MORE_MODELS = (
    ("args", "model"),
    ("args", "processor"),
    ("worker", "backend_model"),
    ("benchmarker", "backend", "model"),
)


def read_guidellm(record: Record, where: str) -> list[ServingRow] | None:
    """A row for each benchmark; None where the object is of another tool."""
    listed = record.get("benchmarks")
    if not isinstance(listed, list) or not any(isinstance(part(each, "metrics"), dict) for each in listed):
        return None
    places = [f"{where}, benchmark {index}" for index in range(1, len(listed) + 1)]
    return [_row(each, record, place) for each, place in zip(listed, places, strict=True)]


def _row(benchmark: Record, report: Record, where: str) -> ServingRow:
    def successful(name: str) -> Any:
        return part(benchmark, "metrics", name, "successful", "mean")

    names = [part(place, *path) for place in (benchmark, report) for path in (*MODELS, *MORE_MODELS)]
    return ServingRow(
        where=where,
        tool="GuideLLM",
        model=next(filter(None, map(word, names)), None),
        concurrency=_concurrency(benchmark, successful("request_concurrency"), where),
        prompt_len=number(successful("prompt_token_count"), "prompt_token_count", where),
        output_len=number(successful("output_token_count"), "output_token_count", where),
        tpot_seconds=seconds(successful("inter_token_latency_ms"), "inter_token_latency_ms", where),
        ttft_seconds=seconds(successful("time_to_first_token_ms"), "time_to_first_token_ms", where),
    )


def _concurrency(benchmark: Record, measured: Any, where: str) -> float | None:
    """Streams of a closed loop; of any other what was in flight on average."""
    strategy: Any = next(filter(None, (part(benchmark, *path) for path in STRATEGIES)), {})
    kind = part(strategy, "type_") or part(strategy, "kind")
    if kind == "synchronous":
        return 1.0
    streams = number(part(strategy, "streams"), "streams", where) if kind == "concurrent" else None
    return streams or number(measured, "request_concurrency", where)
