"""The document of `sweep`: tidy rows, one for each point."""

from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document


class SweepRow(Frozen):
    """All columns that a row may have: those that say which point it is, and the figures that are asked for."""

    point: int
    """Number of the point in the whole sweep, from 0: shards keep it."""
    model: str
    """The model as it was named."""
    accelerator: str | None = None
    """Id of the accelerator; this and the next nine only with `--gpu`."""
    num_gpus: int | None = None
    """Number of accelerators."""
    tp: int | None = None
    """Tensor-parallel devices."""
    pp: int | None = None
    """Pipeline stages."""
    dp: int | None = None
    """Copies of the attention."""
    ep: int | None = None
    """Ranks of expert parallelism."""
    engine: str | None = None
    """Id of the engine."""
    routing: str | None = None
    """Name of the routing that is assumed."""
    prompt_len: int | None = None
    """Tokens of a request's prompt."""
    output_len: int | None = None
    """Tokens of its answer."""
    weights_dtype: str | None = None
    """Number format of the weights."""
    kv_cache_dtype: str | None = None
    """Number format of the KV cache."""
    batch_size: int
    """Sequences held at once; as many requests are in flight."""
    context_len: int
    """Tokens per sequence."""
    total_params: int | None = None
    """All parameters."""
    active_params: int | None = None
    """Parameters that one token uses."""
    prefill_flops_per_token: float | None = None
    """FLOPs of a prompt of `context_len` tokens, divided by its tokens."""
    decode_flops_per_token: int | None = None
    """FLOPs of one more token that sees `context_len` tokens."""
    weights_bytes: int | None = None
    """Bytes of all weights."""
    kv_cache_bytes_per_token: int | None = None
    """Bytes that a sequence adds per token."""
    kv_cache_bytes: int | None = None
    """Bytes of the KV cache of all sequences at the context."""
    index_cache_bytes: int | None = None
    """Bytes of the keys that a sparse indexer keeps."""
    state_bytes: int | None = None
    """Bytes of recurrent states."""
    activation_bytes: int | None = None
    """Bytes of the intermediate results of a step at their peak."""
    logits_bytes: int | None = None
    """Bytes of the logits."""
    model_bytes: int | None = None
    """Bytes of weights, caches, states and working memory, without what is left to driver and engine."""
    fits: bool | None = None
    """Whether the load fits; where it does not, the seconds are those of devices large enough."""
    largest_batch_size: int | None = None
    """Largest batch that fits at this context; 0: none."""
    bytes_per_gpu: int | None = None
    """Bytes held on the busiest device (computed point by point)."""
    weights_bytes_per_gpu: int | None = None
    """Bytes of weights on the busiest device (computed point by point)."""
    free_bytes_per_gpu: int | None = None
    """Usable bytes of that device that are left; negative where the load does not fit (computed point by point)."""
    gpus_needed: int | None = None
    """Smallest number of these devices that holds it in even shares (computed point by point)."""
    largest_context_len: int | None = None
    """Largest context that fits at this batch (computed point by point)."""
    prefill_seconds: float | None = None
    """Seconds of one prompt on an idle server."""
    prefill_seconds_low: float | None = None
    """Lower end of its 80 % band."""
    prefill_seconds_high: float | None = None
    """Upper end of its 80 % band."""
    decode_seconds: float | None = None
    """Seconds of one decode step of the batch."""
    decode_seconds_low: float | None = None
    """Lower end of its 80 % band."""
    decode_seconds_high: float | None = None
    """Upper end of its 80 % band."""
    bound: str | None = None
    """What most of the decode step goes to: weights, kv_cache, activations, compute, overhead, network or host."""
    tokens_per_second: float | None = None
    """Tokens of the decode step divided by its seconds, all devices together."""
    running: int | None = None
    """Requests that are computed at once: those that memory, and the engine's limit, let in."""
    ttft_seconds: float | None = None
    """Seconds to the first token (TTFT) with all requests in flight."""
    tpot_seconds: float | None = None
    """Seconds per output token of a request (TPOT), with as many requests in flight as the batch holds."""
    tpot_seconds_low: float | None = None
    """Lower end of its 80 % band."""
    tpot_seconds_high: float | None = None
    """Upper end of its 80 % band."""
    output_tokens_per_second: float | None = None
    """Output tokens per second of all requests."""
    output_tokens_per_second_per_gpu: float | None = None
    """The same, divided by the number of accelerators."""
    joules_per_output_token_at_most: float | None = None
    """Energy per output token with all devices at their TDP; null without a TDP."""
    usd_per_hour: float | None = None
    """US dollars per hour of all devices; null without a price."""
    usd_per_million_output_tokens: float | None = None
    """US dollars per million output tokens; null without a price."""
    usd_per_million_input_tokens: float | None = None
    """US dollars per million tokens of prompts, computed alone; null without a price."""
    served_by: str | None = None
    """Where the figures of requests come from: `replay` of the scheduler, or the `formula` of a closed loop."""


class SweepReport(Document):
    """Tidy rows of a sweep, one for each point, in the order of the points."""

    points: int
    """Points of the whole sweep."""
    shard: str | None
    """`i/n`: the rows are those whose `point` is i modulo n; null: all."""
    axes: dict[str, list[Any]]
    """Values of each axis that was varied, the last one changing fastest."""
    columns: list[str]
    """Columns of the rows, in order."""
    rows: list[SweepRow]
    """The rows; in JSON they have these columns only. Points that cannot be are left out, with a warning."""

    def to_dict(self) -> dict[str, Any]:
        """All keys; of the rows the columns that were asked for."""
        return {**Document.to_dict(self.but(rows=[])), "rows": self.to_rows()}

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each point, with the columns that were asked for."""
        return [{name: getattr(row, name) for name in self.columns} for row in self.rows]
