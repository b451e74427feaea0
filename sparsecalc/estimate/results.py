"""The typed results of an estimate, as the JSON contract names them. Counts in units, sizes in bytes."""

from sparsecalc.core.components import Component
from sparsecalc.core.frozen import Frozen


class Params(Frozen):
    """Distinct stored parameters of the text decoder, and those that one token uses."""

    total: int
    active: int
    active_excl_embedding: int
    active_excl_embedding_and_head: int
    by_component: dict[Component, int]
    active_by_component: dict[Component, int]


class LayerKind(Frozen):
    """One kind of layer: how many, and the parameters of one."""

    kind: str
    count: int
    params: int
    active: int


class Flops(Frozen):
    """FLOPs per token of a prompt of `context_len`, and of the token that sees `context_len` tokens."""

    prefill_per_token: float
    decode_per_token: int
    context_len: int
    decode_by_component: dict[Component, int]


class Experts(Frozen):
    """How a mixture of experts is used by one decode step of `batch_size` tokens."""

    layers: int
    num_experts: int
    num_experts_per_tok: int
    shared_intermediate_size: int
    batch_size: int
    routing: str
    expected_distinct: float
    weight_bytes_read: float
    """Expected bytes of all weights that one decode step reads."""


class Memory(Frozen):
    """Bytes held for `batch_size` sequences of `context_len` tokens, over all devices."""

    batch_size: int
    context_len: int
    weights_dtype: str
    weights_dtype_from: str
    kv_cache_dtype: str
    weights_bytes: int
    bits_per_param: float
    weights_by_component: dict[Component, int]
    kv_cache_bytes_per_token: int
    kv_cache_bytes: int
    index_cache_bytes: int
    state_bytes: int
    activation_bytes: int
    logits_bytes: int
    framework_bytes: int
    total_bytes: int


class PhasePrediction(Frozen):
    """Seconds of one step, with the 80 % band of the estimate."""

    seconds: float
    seconds_low: float
    seconds_high: float
    tokens_per_second: float
    """Tokens of the step over its seconds, all devices together."""
    bound: str
    """What most of the time goes to: weights, kv_cache, activations, compute, overhead, network or host."""
    by_bound: dict[str, float]
    """Seconds by what they are spent on."""
    by_component: dict[str, float]


class Speculation(Frozen):
    """Speculative decoding: `draft_tokens` are guessed, each accepted with probability `acceptance`."""

    draft_tokens: int
    acceptance: float
    accepted_tokens: float
    """Expected tokens per step: (1 - acceptance ** (draft_tokens + 1)) / (1 - acceptance)."""
    verify_seconds: float
    draft_seconds: float
    speedup: float
    """Seconds per token without over with it, at the same batch and context."""


class ServingPrediction(Frozen):
    """Requests in closed loop: `concurrency` of them are always in flight."""

    prompt_len: int
    output_len: int
    concurrency: int
    ttft_seconds: float
    """Of an idle server: no queue."""
    tpot_seconds: float
    tpot_seconds_low: float
    tpot_seconds_high: float
    output_tokens_per_second: float
    output_tokens_per_second_per_gpu: float
    joules_per_output_token_at_most: float | None
    """All devices at their TDP; an upper bound. None where the TDP is not known."""


class Prediction(Frozen):
    """A model on a number of accelerators: whether it fits, and how long its steps take."""

    accelerator: str
    num_gpus: int
    placement: str
    fits: bool
    gpus_needed: int | None
    """By even shares. None: no number of these devices holds it, since one cannot hold its own working memory."""
    capacity_bytes: int
    capacity_is_measured: bool
    device_memory_share: float
    bytes_per_gpu: int
    weights_bytes_per_gpu: int
    free_bytes_per_gpu: int
    largest_batch_size: int
    largest_context_len: int
    engine: str = ""
    routing: str = ""
    prefill: PhasePrediction | None = None
    """One prompt of prompt_len tokens on an idle server."""
    decode: PhasePrediction | None = None
    """One step of the batch at the context."""
    serving: ServingPrediction | None = None
    speculation: Speculation | None = None
    usd_per_million_output_tokens: float | None = None
    usd_per_million_input_tokens: float | None = None
    usd_per_hour: float | None = None

    @property
    def reserved_bytes_per_gpu(self) -> int:
        """Bytes of a device that are left to the driver, the engine and fragmentation."""
        return self.capacity_bytes - self.bytes_per_gpu - self.free_bytes_per_gpu
