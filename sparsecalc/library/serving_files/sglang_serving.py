"""What SGLang's bench_serving appends to its jsonl (SGLang 0.5.23, sglang/benchmark/serving.py): an object a run, ms.

`server_info` is what the server says of itself: its arguments, among them the model and how it is split. With
--enable-dp-attention the tp_size devices are dp_size copies of the attention, else there are dp_size servers.
"""

from typing import Any

from sparsecalc.library.serving_files.rows import (
    Record,
    ServingRow,
    in_flight,
    mean,
    number,
    part,
    seconds,
    whole,
    word,
)

QUANTIZATIONS = {"fp8": "fp8", "w8a8_fp8": "fp8", "modelopt_fp8": "fp8", "modelopt_fp4": "nvfp4", "w8a8_int8": "int8"}
"""SGLang's --quantization as our formats; a checkpoint that is quantized already says so itself."""


def read_sglang_serving(record: Record, where: str) -> list[ServingRow] | None:
    """The row; None where the object is of another tool."""
    if not {"mean_tpot_ms", "random_range_ratio", "total_input_tokens"} <= record.keys() or "model_id" in record:
        return None
    done, server = record.get("completed"), record.get("server_info")
    backend = str(record.get("backend"))
    row = ServingRow(
        where=where,
        tool="sglang bench_serving",
        model=word(part(server, "model_path")),
        engine="sglang" if backend.startswith("sglang") else backend if backend == "vllm" else None,
        dtype=QUANTIZATIONS.get(str(part(server, "quantization"))),
        kv_cache_dtype=word(part(server, "kv_cache_dtype")),
        **_split(server, where),
        prompt_len=mean(record["total_input_tokens"], done, "total_input_tokens", where),
        output_len=mean(record.get("total_output_tokens"), done, "total_output_tokens", where),
        tpot_seconds=seconds(record["mean_tpot_ms"], "mean_tpot_ms", where),
        ttft_seconds=seconds(record.get("mean_ttft_ms"), "mean_ttft_ms", where),
        unusable=_unusable(record, where),
    )
    return [row.but(concurrency=_concurrency(record, row, where))]


def _split(server: Record | None, where: str) -> dict[str, Any]:
    tp, dp, ep, pp = (whole(part(server, f"{name}_size"), f"{name}_size", where) for name in ("tp", "dp", "ep", "pp"))
    if tp and dp and part(server, "enable_dp_attention"):
        tp = max(1, tp // dp)
    return {"tp": tp, "dp": dp, "ep": ep, "pp": pp}


def _unusable(record: Record, where: str) -> str:
    accepted = number(record.get("accept_length"), "accept_length", where)
    return "speculative decoding: a step yields several tokens" if accepted and accepted > 1 else ""


def _concurrency(record: Record, row: ServingRow, where: str) -> float | None:
    """Of a closed loop its size, but not more than there are requests; of an open one what was in flight on average."""
    size = number(record.get("max_concurrency"), "max_concurrency", where)
    rate = record.get("request_rate")
    if size and (rate is None or str(rate).lower() in ("inf", "infinity")):
        return min(size, number(record.get("completed"), "completed", where) or size)
    return in_flight(number(record.get("request_throughput"), "request_throughput", where), row)
