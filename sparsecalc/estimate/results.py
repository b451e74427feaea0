"""The typed results of an estimate, as the JSON contract names them. Counts in units, sizes in bytes."""

from sparsecalc.core.components import Component
from sparsecalc.core.frozen import Frozen
from sparsecalc.estimate.host_results import HostPrediction
from sparsecalc.estimate.llama_memory.figures import LlamaMemory, MlxMemory, OllamaMemory


class Params(Frozen):
    """Distinct stored parameters of the text decoder, and those that one token uses."""

    total: int
    """All parameters: a tied table once, no buffers, no multi-token-prediction layers, no vision tower."""
    active: int
    """Parameters that one token uses: all but the routed experts that it does not select."""
    active_excl_embedding: int
    """Active parameters without the input embedding's table."""
    active_excl_embedding_and_head: int
    """Active parameters without the input embedding and the LM head."""
    by_component: dict[Component, int]
    """All parameters by component."""
    active_by_component: dict[Component, int]
    """Active parameters by component."""


class LayerKind(Frozen):
    """One kind of layer: how many, and the parameters of one."""

    kind: str
    """What is in a layer: its mixer and its feed-forward."""
    count: int
    """Number of such layers."""
    params: int
    """Parameters of one such layer."""
    active: int
    """Parameters of one such layer that one token uses."""


class Flops(Frozen):
    """FLOPs per token of a prompt of `context_len`, and of the token that sees `context_len` tokens."""

    prefill_per_token: float
    """FLOPs of a prompt of `context_len` tokens, divided by its tokens."""
    decode_per_token: int
    """FLOPs of one more token that sees `context_len` tokens, itself among them."""
    context_len: int
    """Tokens of context."""
    decode_by_component: dict[Component, int]
    """FLOPs of that token by component."""


class Experts(Frozen):
    """How a mixture of experts is used by one decode step of `batch_size` tokens."""

    layers: int
    """Layers with experts."""
    num_experts: int
    """Routed experts of a layer."""
    num_experts_per_tok: int
    """Experts that a token selects, zero-compute experts among them."""
    shared_intermediate_size: int
    """Width of the shared experts, which every token uses; 0 without them."""
    batch_size: int
    """Sequences in the batch."""
    routing: str
    """Name of the routing that is assumed."""
    expected_distinct: float
    """Expected distinct experts that the step reaches in one layer."""
    weight_bytes_read: float
    """Expected bytes of all weights, dense ones included, that the step reads."""


class Memory(Frozen):
    """Bytes held for `batch_size` sequences of `context_len` tokens, over all devices."""

    batch_size: int
    """Sequences in the batch."""
    context_len: int
    """Tokens per sequence."""
    weights_dtype: str
    """Number format of the weights."""
    weights_dtype_from: str
    """Where that format comes from: `requested`, `the config's quantization_config` or `default`."""
    kv_cache_dtype: str
    """Number format of the KV cache."""
    weights_bytes: int
    """Bytes of all weights, with the scales of their format."""
    bits_per_param: float
    """Bits of the weights divided by all parameters."""
    weights_by_component: dict[Component, int]
    """Bytes of the weights by component."""
    kv_cache_bytes_per_token: int
    """Bytes that a sequence adds per token before any window is full, over all layers with a cache."""
    kv_cache_bytes: int
    """Bytes of the KV cache of all sequences at the context."""
    index_cache_bytes: int
    """Bytes of the keys that a sparse indexer keeps."""
    state_bytes: int
    """Bytes of recurrent states."""
    activation_bytes: int
    """Bytes of the intermediate results of a step at their peak."""
    logits_bytes: int
    """Bytes of the logits; they and the intermediate results are not held at the same time."""
    framework_bytes: int
    """Bytes that are left to driver, engine and fragmentation; 0 without `--gpu`."""
    total_bytes: int
    """Sum of all of these, with the larger of intermediate results and logits."""

    def as_llama(self, found: LlamaMemory) -> "Memory":
        """The same with llama.cpp's caches, an indexer's keys among them, states and compute buffer."""
        held = self.weights_bytes + found.kv_buffer_bytes + found.state_buffer_bytes + self.framework_bytes
        return self.but(
            kv_cache_bytes=found.kv_buffer_bytes,
            index_cache_bytes=0,
            state_bytes=found.state_buffer_bytes,
            activation_bytes=found.compute_buffer_bytes,
            total_bytes=held + max(found.compute_buffer_bytes, self.logits_bytes),
        )


class PhasePrediction(Frozen):
    """Seconds of one step, with the 80 % band of the estimate."""

    seconds: float
    """Seconds of the step."""
    seconds_low: float
    """Lower end of the 80 % band."""
    seconds_high: float
    """Upper end of the 80 % band."""
    tokens_per_second: float
    """Tokens of the step divided by its seconds, all devices together."""
    bound: str
    """What most of the time goes to: weights, kv_cache, activations, compute, overhead, network or host."""
    by_bound: dict[str, float]
    """Seconds by what they are spent on."""
    by_component: dict[str, float]
    """Seconds by component."""


class Speculation(Frozen):
    """Speculative decoding: `draft_tokens` are guessed, each accepted with probability `acceptance`."""

    draft_tokens: int
    """Tokens that are guessed in each step."""
    acceptance: float
    """Probability that a guessed token is accepted, 0 to 1."""
    accepted_tokens: float
    """Expected tokens per step: (1 - acceptance ** (draft_tokens + 1)) / (1 - acceptance)."""
    verify_seconds: float
    """Seconds of the step that verifies the guesses."""
    draft_seconds: float
    """Seconds of the draft model's steps for one step of the model; 0 without a draft model."""
    speedup: float
    """Seconds per token without speculation, divided by those with it, at the same batch and context."""


class EngineMemory(Frozen):
    """A device's memory as the engine's log tells it; of the busiest device, but the tokens and the concurrency.

    vLLM, TensorRT-LLM: share of the device = weights + activation + other + kv_cache; CUDA graphs come on top. SGLang:
    share * (device - other) = weights + kv_cache; activations and CUDA graphs take what the share leaves.
    """

    weights_bytes: int
    """Bytes of weights as the engine lays them out, padded, with the allocator's rounding ("Model loading took")."""
    activation_bytes: int
    """Peak of the step that the engine profiles itself with: a chunk of a prompt, or the sampler of max_num_seqs."""
    cuda_graph_bytes: int
    """Bytes of CUDA graphs, captured beside the cache; 0 with `--enforce-eager`."""
    other_bytes: int
    """Bytes of CUDA context, libraries and communication buffers."""
    kv_cache_bytes: int
    """Bytes that are left for the KV cache ("Available KV cache memory"); 0 or less: with these settings it refuses."""
    kv_cache_tokens: int
    """Tokens that the cache holds ("GPU KV cache size"); of one copy of the attention."""
    block_size: int
    """Tokens of one block of full attention."""
    num_blocks: int
    """Blocks of the cache."""
    max_concurrency: float
    """Sequences of the whole context that there are blocks for ("Maximum concurrency")."""
    max_num_seqs: int
    """Sequences that run at once at most."""
    max_num_batched_tokens: int
    """Tokens of the step that is profiled."""


class ServingPrediction(Frozen):
    """Requests in closed loop: `concurrency` of them are always in flight."""

    prompt_len: int
    """Tokens of a prompt."""
    output_len: int
    """Tokens of an answer."""
    concurrency: int
    """Requests in flight, those that wait included."""
    running: int
    """Most requests that are computed at once: those that memory, and the engine's limit, let in."""
    waiting: int
    """Requests in flight that wait for a place."""
    ttft_seconds: float
    """Seconds to the first token (TTFT), mean of the replayed requests, those of the opening burst among them."""
    ttft_seconds_low: float
    """Lower end of its 80 % band."""
    ttft_seconds_high: float
    """Upper end of its 80 % band."""
    ttft_idle_seconds: float
    """The same on an idle server, without a queue."""
    tpot_seconds: float
    """Seconds per output token of a request (TPOT), mean of the replayed requests."""
    tpot_seconds_low: float
    """Lower end of its 80 % band."""
    tpot_seconds_high: float
    """Upper end of its 80 % band."""
    output_tokens_per_second: float
    """Output tokens per second of all requests."""
    output_tokens_per_second_per_gpu: float
    """The same, divided by the number of devices."""
    joules_per_output_token_at_most: float | None
    """Energy per output token with all devices at their TDP, an upper bound; None without a TDP."""


class Prediction(Frozen):
    """A model on a number of accelerators: whether it fits, and how long its steps take."""

    accelerator: str
    """Id of the accelerator."""
    num_gpus: int
    """Number of accelerators."""
    placement: str
    """Parallelism, such as `tp 4`."""
    fits: bool
    """Whether the load fits."""
    gpus_needed: int | None
    """Smallest number of these devices that holds it in even shares; None where no number does."""
    capacity_bytes: int
    """Memory of one device, in bytes."""
    capacity_is_measured: bool
    """Whether that is the memory that a device reports, rather than what its data sheet says."""
    device_memory_share: float
    """Share of that memory that may be used, 0 to 1."""
    bytes_per_gpu: int
    """Bytes held on the busiest device, without what is left to driver and engine."""
    weights_bytes_per_gpu: int
    """Bytes of weights on the busiest device."""
    free_bytes_per_gpu: int
    """Usable bytes of that device that are left; negative where the load does not fit."""
    largest_batch_size: int
    """Largest batch that fits at this context."""
    largest_context_len: int
    """Largest context that fits at this batch."""
    host_memory_bytes: int = 0
    """Bytes of weights, KV cache and states that lie in host memory, of all devices together."""
    host: HostPrediction | None = None
    """The host and what lies there; None where everything is on the devices."""
    engine: str = ""
    """Id of the engine."""
    engine_memory: EngineMemory | None = None
    """The device's memory in the engine's own terms; None for an engine whose memory is not modelled."""
    llama_memory: LlamaMemory | None = None
    """Memory as llama.cpp's log prints it; None for an engine that is not based on it."""
    ollama_memory: OllamaMemory | None = None
    """Ollama's estimate, as its log prints it; None for any other engine."""
    mlx_memory: MlxMemory | None = None
    """MLX's peak memory; None for any other engine."""
    routing: str = ""
    """Name of the routing that is assumed."""
    prefill: PhasePrediction | None = None
    """One prompt of prompt_len tokens on an idle server."""
    decode: PhasePrediction | None = None
    """One step of the batch at the context."""
    serving: ServingPrediction | None = None
    """Requests in a closed loop."""
    speculation: Speculation | None = None
    """Speculative decoding; None without `--draft-tokens`."""
    usd_per_million_output_tokens: float | None = None
    """US dollars per million output tokens; None without a price."""
    usd_per_million_input_tokens: float | None = None
    """US dollars per million tokens of prompts, computed alone; None without a price."""
    usd_per_hour: float | None = None
    """US dollars per hour of all devices; None without a price."""

    @property
    def reserved_bytes_per_gpu(self) -> int:
        """Bytes of a device that are left to the driver, the engine and fragmentation."""
        return self.capacity_bytes - self.bytes_per_gpu - self.free_bytes_per_gpu
