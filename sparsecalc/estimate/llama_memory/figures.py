"""The typed figures of memory under llama.cpp, Ollama and MLX, as the JSON contract names them."""

from sparsecalc.core.frozen import Frozen


class LlamaBuffers(Frozen):
    """What llama.cpp's log prints of one place: a device, or the host's memory."""

    place: str
    """Its name in the log: `CUDA0`, `CPU`."""
    model_buffer_bytes: int
    """Bytes of weights ("model buffer size"); the input embedding lies in host memory, whatever is offloaded."""
    kv_buffer_bytes: int
    """Bytes of the KV cache ("KV buffer size"), full and windowed."""
    state_buffer_bytes: int
    """Bytes of recurrent states, in fp32 ("RS buffer size")."""
    compute_buffer_bytes: int
    """Bytes of the graph's intermediate results ("compute buffer size")."""
    output_buffer_bytes: int
    """Bytes of the logits that the host reads ("output buffer size")."""
    total_bytes: int
    """Sum of all of these."""


class LlamaMemory(Frozen):
    """Memory as llama.cpp's log prints it, of all places together where nothing else is said."""

    model_buffer_bytes: int
    """Bytes of weights; those of a tied head count twice, for it lies in host memory and on a device."""
    kv_buffer_bytes: int
    """Bytes of the KV cache: kv_full_bytes + kv_window_bytes."""
    kv_full_bytes: int
    """Bytes of the cells of layers that see the whole context."""
    kv_window_bytes: int
    """Bytes of the cells of layers with a sliding window."""
    state_buffer_bytes: int
    """Bytes of recurrent states, in fp32."""
    compute_buffer_bytes: int
    """Bytes of the compute buffer of the device with the largest; of the host where no device computes."""
    host_buffer_bytes: int
    """Bytes of the host's compute buffer: inputs and masks for the devices, or all of a CPU's graph."""
    output_buffer_bytes: int
    """Bytes of the logits that the host reads."""
    kv_cells: int
    """Cells of one sequence in a layer that sees the whole context."""
    window_cells: int
    """Cells of one sequence in a layer with a sliding window; 0 without."""
    sequences: int
    """Sequences that have cells of their own (-np)."""
    ubatch_size: int
    """Tokens of a micro-batch (-ub)."""
    flash_attention: bool
    """Whether attention is computed without a matrix of scores (-fa)."""
    layers_offloaded: int
    """Layers on devices, the output among them ("offloaded X/Y layers")."""
    layers: int
    """All layers, the output among them."""
    total_bytes: int
    """Bytes of all buffers."""
    buffers: list[LlamaBuffers]
    """The buffers of each place, host memory first."""


class OllamaMemory(Frozen):
    """Ollama's estimate, as its log prints it when it loads a model ("offload to cuda", "memory.required.full")."""

    required_full_bytes: int
    """Bytes of all of the model, on devices and in host memory ("memory.required.full")."""
    required_partial_bytes: int
    """Bytes of what is offloaded ("memory.required.partial"); 0: nothing is."""
    required_kv_bytes: int
    """Bytes of the KV cache ("memory.required.kv")."""
    weights_bytes: int
    """Bytes of weights, without the input embedding ("memory.weights.total")."""
    weights_repeating_bytes: int
    """Bytes of the layers' weights ("memory.weights.repeating")."""
    weights_nonrepeating_bytes: int
    """Bytes of the output's weights ("memory.weights.nonrepeating")."""
    graph_full_bytes: int
    """Bytes of the graph where all layers are offloaded ("memory.graph.full")."""
    graph_partial_bytes: int
    """Bytes of the graph where some are ("memory.graph.partial")."""
    layers_offloaded: int
    """Layers that Ollama offloads, the output among them ("layers.offload")."""
    layers: int
    """All layers, the output among them ("layers.model")."""


class MlxMemory(Frozen):
    """MLX's peak memory (mx.get_peak_memory), as mlx_lm prints it behind an answer."""

    weights_bytes: int
    """Bytes of weights."""
    kv_cache_bytes: int
    """Bytes of the cache, in steps of 256 cells."""
    growth_bytes: int
    """Bytes of the cache before its last step, which is held while it is copied."""
    activation_bytes: int
    """Bytes of the results of a prompt's step that are held at once."""
    peak_bytes: int
    """Sum of all of these ("Peak memory")."""
