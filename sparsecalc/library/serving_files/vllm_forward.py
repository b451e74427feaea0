"""What `vllm bench forward --output-json` writes (vLLM 0.33.0, vllm/benchmarks/forward/main.py): a list of cases.

A case is a batch that is fixed request by request, its forward pass timed as one CUDA graph on all ranks: no scheduler,
no sampler, no CPU time between steps. A batch of plain decodes is a decode step; its median is what a step's kernels
take. The file names no model and no device.
"""

from sparsecalc.core.errors import InputError
from sparsecalc.library.serving_files.rows import Record, ServingRow, number, part, seconds, word

ONE_TOKEN = 1
"""Length of the answer of a step's rows: nothing else is computed beside its decodes."""


def read_vllm_forward(record: Record, where: str) -> list[ServingRow] | None:
    """The row of a case; None where the object is of another tool."""
    if not {"case", "requests", "median_us"} <= record.keys():
        return None
    row = ServingRow(
        where=f"{where}, case {word(record['case']) or '?'}",
        tool="vllm bench forward",
        engine="vllm",
        output_len=ONE_TOKEN,
        tpot_seconds=seconds(record["median_us"], "median_us", where, 1e6),
        kernels_only=True,
    )
    requests = record["requests"]
    if not isinstance(requests, list) or not requests:
        raise InputError("the case has no requests", where=row.where)
    news, lengths = ([_tokens(each, name, row.where) for each in requests] for name in ("query_len", "kv_len"))
    if any(new != 1 for new in news) or any(length <= 1 for length in lengths):
        return [row.but(unusable="not a batch of plain decodes")]
    return [row.but(concurrency=float(len(requests)), prompt_len=sum(lengths) / len(lengths) - ONE_TOKEN)]


def _tokens(request: Record, name: str, where: str) -> float:
    found = number(part(request, name), name, where)
    if found is None:
        raise InputError(f"a request has no {name}", where=where)
    return found
