"""What `vllm bench serve --save-result` writes (vLLM 0.33.0, vllm/benchmarks/serve.py): one object, times in ms.

--append-result writes one object behind the other. --metadata KEY=VALUE puts more keys beside the others: those with
the names of our columns are read. TensorRT-LLM's benchmark_serving writes the same keys.
"""

from typing import Any

from sparsecalc.library.serving_files.rows import Record, ServingRow, in_flight, mean, number, seconds, whole, word

METADATA = ("gpu", "dtype", "kv_cache_dtype")
DEGREES = {"tp": "tensor_parallel_size", "pp": "pipeline_parallel_size", "dp": "data_parallel_size", "ep": "ep"}
SERVERS = {"vllm": "vllm", "sglang": "sglang", "tensorrt-llm": "trtllm"}
"""Values of --backend that name an engine; `openai` is any."""


def read_vllm_serve(record: Record, where: str) -> list[ServingRow] | None:
    """The row; None where the object is of another tool."""
    if not {"model_id", "mean_tpot_ms", "total_input_tokens"} <= record.keys():
        return None
    done = record.get("completed")
    told: dict[str, Any] = {name: word(record.get(name)) for name in METADATA}
    told |= {name: whole(record.get(name) or record.get(long), name, where) for name, long in DEGREES.items()}
    row = ServingRow(
        where=where,
        tool="vllm bench serve",
        model=word(record["model_id"]),
        **told,
        num_gpus=whole(record.get("num_gpus"), "num_gpus", where),
        engine=word(record.get("engine")) or SERVERS.get(str(record.get("backend"))),
        prompt_len=mean(record["total_input_tokens"], done, "total_input_tokens", where),
        output_len=mean(record.get("total_output_tokens"), done, "total_output_tokens", where),
        tpot_seconds=seconds(record["mean_tpot_ms"], "mean_tpot_ms", where),
        ttft_seconds=seconds(record.get("mean_ttft_ms"), "mean_ttft_ms", where),
        unusable=_unusable(record),
    )
    return [row.but(concurrency=_concurrency(record, row, where))]


def _unusable(record: Record) -> str:
    guessed = any(name.startswith("spec_decode") and record[name] for name in record)
    return "speculative decoding: a step yields several tokens" if guessed else ""


def _concurrency(record: Record, row: ServingRow, where: str) -> float | None:
    """Of a closed loop its size, but not more than there are prompts; of an open one what was in flight on average."""
    size = number(record.get("max_concurrency"), "max_concurrency", where)
    prompts = number(record.get("num_prompts"), "num_prompts", where)
    if size and record.get("request_rate") in (None, "inf"):
        return min(size, prompts or size)
    mean_size = in_flight(number(record.get("request_throughput"), "request_throughput", where), row)
    return min(size, mean_size) if size and mean_size else mean_size
