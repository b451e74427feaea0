"""Options that several commands share, and the `Question` that they make."""

from typing import Annotated, Any

import typer

Format = Annotated[str, typer.Option("--format", "-f", help="table, markdown, json or csv")]
Json = Annotated[bool, typer.Option("--json", help="the same as --format json")]
Output = Annotated[str | None, typer.Option("--output", "-o", help="write to this file instead of stdout")]
Gpu = Annotated[str | None, typer.Option(help="an accelerator (sparsecalc gpus): does it fit, how many are needed")]
NumGpus = Annotated[int, typer.Option("--num-gpus", help="how many of them")]
Batch = Annotated[int, typer.Option("--batch-size", help="sequences held at once")]
Context = Annotated[
    int | None, typer.Option("--context", "--max-model-len", help="tokens per sequence (default: 4096)")
]
Dtype = Annotated[
    str | None, typer.Option(help="weights: bf16, fp8, int4, q4_k, experts=mxfp4,... (default: the config's)")
]
KvDtype = Annotated[str | None, typer.Option("--kv-cache-dtype", help="KV cache (default: bf16)")]
Share = Annotated[
    float | None, typer.Option("--gpu-memory-utilization", help="share of a device to use (default: 0.9)")
]
Batched = Annotated[
    int | None, typer.Option("--max-num-batched-tokens", help="prompt tokens computed at once (default: 8192)")
]
FromArchitecture = Annotated[
    bool, typer.Option("--from-architecture", help="count transformers' own class, for a model_type without a reader")
]


def question(values: dict[str, Any]) -> Any:
    """The options of a command as a `Question`."""
    from sparsecalc.decide.compare import Question

    return Question(
        batch_size=values["batch_size"],
        context_len=values["context"],
        dtype=values["dtype"],
        kv_cache_dtype=values["kv_cache_dtype"],
        gpu=values.get("gpu"),
        num_gpus=values.get("num_gpus", 1),
        device_memory_share=values.get("gpu_memory_utilization"),
        max_num_batched_tokens=values.get("max_num_batched_tokens"),
    )
