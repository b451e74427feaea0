"""Ollama's "memory required": its estimate of a model's memory, by which it chooses how many layers to offload."""

from functools import cache
from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.data_files import read_data
from sparsecalc.estimate.llama_memory.figures import OllamaMemory

MIB = 2**20


@cache
def ollama_table() -> dict[str, Any]:
    """data/ollama_memory.json."""
    found: dict[str, Any] = read_data("ollama_memory.json")
    return found


class OllamaModel(Frozen):
    """What the estimate asks of a model, in sizes of its GGUF file."""

    family: str
    layer_bytes: tuple[int, ...]
    """Weights of each layer, in order."""
    output_bytes: int
    """Weights of the output: those of the head, or of the table that it shares."""
    cache_bytes: tuple[int, ...]
    """Cache of each layer for all sequences together."""
    hidden_size: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab_size: int
    experts_bytes: int = 0
    """One layer's tensor of experts' gates; 0 without."""
    intermediate_size: int = 0


class OllamaLoad(Frozen):
    """The load: tokens of the cache of all sequences together, and what the device has."""

    context_len: int
    """num_ctx * num_parallel."""
    batch: int
    """num_batch."""
    flash_attention: bool
    sequences: int
    free_bytes: int
    metal: bool = False
    most_layers: int | None = None
    """num_gpu; None: as many as fit."""


def graph_bytes(model: OllamaModel, load: OllamaLoad) -> tuple[int, int]:
    """Bytes of the graph where some layers are offloaded, and where all are ("memory.graph.partial", ".full").

    Source: data/ollama_memory.json; the rules are those of GraphSize, by architecture.
    """
    families = ollama_table()["families"]
    rule = next((name for name, members in families.items() if model.family in members and name != "explained"), "")
    partial, full = _RULES[rule](model, load) if rule else (0, 0)
    partial = partial or model.heads // max(1, model.kv_heads) * sum(model.cache_bytes) // 6
    full = full or partial
    return (full if load.metal else partial), full


def _llama(model: OllamaModel, load: OllamaLoad) -> tuple[int, int]:
    b, e, v, c, h = load.batch, model.hidden_size, model.vocab_size, load.context_len, model.heads
    head = model.head_dim * model.kv_heads
    full = max(4 * b * (1 + 4 * e + c * (1 + h)), 4 * b * (e + v))
    scores = 4 * b * (1 + e + max(c, e)) + e * e * 9 // 16 + 4 * c * (b * h + head)
    partial = 4 * b * e + max(scores, 4 * b * (e + v) + e * v * 105 // 128)
    if model.experts_bytes:
        streamed = 3 * model.experts_bytes + 4 * b * (2 * model.intermediate_size + model.kv_heads + e + c + head)
        partial = max(streamed, 4 * (c * b * h + c * head + b * 1024 + head * b))
    return partial, full


def _gemma(model: OllamaModel, load: OllamaLoad) -> tuple[int, int]:
    b, e, v, c, h = load.batch, model.hidden_size, model.vocab_size, load.context_len, model.heads
    wide = 2 * model.head_dim * h
    full = max(4 * b * (e + v), 4 * b * (2 + c + c * h + 2 * e + wide))
    scores = 4 * b * (2 * e + 1 + wide + c + c * h) + 4 * model.head_dim * c * 8 + e * model.head_dim * h * 9 // 16
    return max(4 * e * b + e * v * 105 // 128 + 4 * v * b, scores), full


def _command_r(model: OllamaModel, load: OllamaLoad) -> tuple[int, int]:
    b, e, v, c, h = load.batch, model.hidden_size, model.vocab_size, load.context_len, model.heads
    full = max(4 * b * (e + v), 4 * b * (2 + 4 * e + c * (1 + h)))
    scores = 4 * b * (1 + 2 * e + c * (1 + h)) + 4 * e * c + e * e * 9 // 16
    return max(4 * b * (e + v) + e * v * 105 // 128, scores), full


def _qwen2(model: OllamaModel, load: OllamaLoad) -> tuple[int, int]:
    b, e, v, c, h = load.batch, model.hidden_size, model.vocab_size, load.context_len, model.heads
    full = max(4 * b * (e + v), 4 * b * (1 + 2 * e + c + c * h))
    scores = 4 * (b * (1 + 2 * e + c * (1 + h)) + e * (1 + c))
    return max(4 * b * (e + v) + e * v * 105 // 128, scores), full


def _phi2(model: OllamaModel, load: OllamaLoad) -> tuple[int, int]:
    b, e, v, c, h = load.batch, model.hidden_size, model.vocab_size, load.context_len, model.heads
    full = max(4 * b * (e + v), 4 * b * (1 + 4 * e + c + c * h))
    return max(4 * b * (2 * e + v) + e * v * 105 // 128, 4 * b * (2 + 3 * e + c + c * h)), full


def _stablelm(model: OllamaModel, load: OllamaLoad) -> tuple[int, int]:
    b, e, v, c, h = load.batch, model.hidden_size, model.vocab_size, load.context_len, model.heads
    full = 4 * b * (c * (1 + h) + 3 * e + 2)
    return max(4 * b * (v + 2 * e), full), full


def _deepseek2(model: OllamaModel, load: OllamaLoad) -> tuple[int, int]:
    b, e, v, c, k = load.batch, model.hidden_size, model.vocab_size, load.context_len, model.kv_heads
    wide = 2 * model.head_dim * k
    full = max(4 * b * (3 * e + v), 4 * b * (3 * e + 2 + c * (1 + k) + wide))
    scores = 4 * b * (2 * e + 1 + wide + c + c * k) + 4 * model.head_dim * c * k + e * model.head_dim * k * 9 // 16
    return max(4 * b * (3 * e + v) + e * v * 105 // 128, scores), full


def _gpt_oss(model: OllamaModel, load: OllamaLoad) -> tuple[int, int]:
    if load.flash_attention:
        fused = (4 * load.sequences + load.context_len // 1024 + 110) * MIB
        return fused, fused
    held = 4 * model.heads // max(1, model.kv_heads) * sum(model.cache_bytes) // 6
    return held, held


_RULES = {
    "llama": _llama,
    "gemma": _gemma,
    "command-r": _command_r,
    "qwen2": _qwen2,
    "phi2": _phi2,
    "stablelm": _stablelm,
    "deepseek2": _deepseek2,
    "gpt-oss": _gpt_oss,
}


def ollama_memory(model: OllamaModel, load: OllamaLoad) -> OllamaMemory:
    """Ollama's estimate on one device, and the layers that it offloads.

    kept      = minimum + one layer's weights and cache (the first one's) + the larger graph
    layers in order, each with its cache, as long as kept + all of them < free; then the output
    required  = minimum + one layer + what was offloaded + the graph (full, or partial) + what was not offloaded
    """
    table, (partial, full) = ollama_table()["minimum_bytes"], graph_bytes(model, load)
    sizes = [weights + cached for weights, cached in zip(model.layer_bytes, model.cache_bytes, strict=True)]
    least = (table["metal"] if load.metal else table["value"]) + sizes[0]
    graph, held = max(partial, full), least
    most = len(sizes) + 1 if load.most_layers is None else load.most_layers
    count, wanted = 0, [*sizes, model.output_bytes]
    if load.free_bytes >= least + graph + sizes[0]:
        for size in wanted[:most]:
            if load.free_bytes <= held + graph + size:
                break
            held, count = held + size, count + 1
    whole = count == len(wanted)
    taken = held + (full if whole else partial) if count else 0
    return OllamaMemory(
        required_full_bytes=(taken or least + full) + sum(wanted[count:]),
        required_partial_bytes=taken,
        required_kv_bytes=sum(model.cache_bytes),
        weights_bytes=sum(model.layer_bytes) + model.output_bytes,
        weights_repeating_bytes=sum(model.layer_bytes),
        weights_nonrepeating_bytes=model.output_bytes,
        graph_full_bytes=full,
        graph_partial_bytes=partial,
        layers_offloaded=count,
        layers=len(wanted),
    )
