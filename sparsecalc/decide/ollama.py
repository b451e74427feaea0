"""Ollama's own estimate of a model's memory, of what a question asks."""

from sparsecalc.core.ops import Ledger, Op
from sparsecalc.core.workload import Workload
from sparsecalc.decide.llama import llama_device
from sparsecalc.decide.question import Question
from sparsecalc.estimate.deployment import Deployment
from sparsecalc.estimate.llama_memory.buffers import CacheFormats
from sparsecalc.estimate.llama_memory.cache import LayerCache
from sparsecalc.estimate.llama_memory.figures import OllamaMemory
from sparsecalc.estimate.llama_memory.ollama import OllamaLoad, OllamaModel, ollama_memory, ollama_table
from sparsecalc.estimate.llama_memory.rules import usable_bytes
from sparsecalc.model.attention import Gqa
from sparsecalc.model.spec import LayerGroup

OLLAMA = "ollama"


def ollama_estimate(deployed: Deployment, question: Question) -> OllamaMemory | None:
    """The estimate for the question's first load on one device; None under any other engine."""
    if deployed.device.engine.id != OLLAMA:
        return None
    options, load = question.engine_options, question.load
    sequences = max(load.batch_size, options.parallel or 1)
    batch = min(load.context_len * sequences, options.ubatch_size or ollama_table()["num_batch"]["value"])
    asked = question.parallelism.host.n_gpu_layers
    return ollama_memory(
        _model(deployed, question, sequences, batch),
        OllamaLoad(
            context_len=load.context_len * sequences,
            batch=batch,
            flash_attention=options.flash_attn != "off",
            sequences=sequences,
            free_bytes=usable_bytes(deployed.gpu),
            metal=deployed.device.engine.backend == "metal",
            most_layers=asked,
        ),
    )


def _model(deployed: Deployment, question: Question, sequences: int, batch: int) -> OllamaModel:
    spec, precision = deployed.model.spec, deployed.precision
    device = llama_device(deployed, question)
    assert device is not None, "Ollama is based on llama.cpp"
    model, context = device.model, question.load.context_len
    sizes: dict[int, tuple[int, int]] = {}
    for group, (cache, _, _) in zip(spec.layer_groups, model.caches, strict=True):
        cells = _cells(spec.model_type, cache, context, sequences, batch)
        weights = sum(precision.weight_bytes(op) for op in _rows(group))
        held = cells * _cell_bits(cache, model.formats) // 8 + cache.state_bytes * sequences
        sizes.update(dict.fromkeys(group.positions, (weights, held)))
    ordered = [sizes[position] for position in sorted(sizes)]
    first = next((mixer for mixer in spec.mixers if isinstance(mixer, Gqa)), None)
    heads = next((mixer.tensor_parallel_heads for mixer in spec.mixers if mixer.tensor_parallel_heads), 1)
    gate = next((op for op in deployed.model.ops(Workload()) if op.name == "experts.gate_up_proj"), None)
    return OllamaModel(
        family=spec.model_type,
        layer_bytes=tuple(weights for weights, _ in ordered),
        output_bytes=_output_bytes(deployed),
        cache_bytes=tuple(cached for _, cached in ordered),
        hidden_size=spec.hidden_size,
        heads=heads,
        kv_heads=first.num_key_value_heads if first else heads,
        head_dim=first.head_dim if first else spec.hidden_size // heads,
        vocab_size=spec.vocab_size,
        experts_bytes=precision.weight_bytes(gate) // 2 if gate else 0,
        intermediate_size=gate.rows if gate else 0,
    )


def _cells(family: str, cache: LayerCache, context_len: int, sequences: int, batch: int) -> int:
    """Cells of a layer for all sequences: the whole context, or windows of the families that Ollama knows."""
    windows = ollama_table()["windows"]
    if not cache.attends:
        return 0
    if cache.window is None or family not in windows:
        return context_len * sequences
    return sequences * (windows[family] or cache.window) + batch


def _cell_bits(cache: LayerCache, formats: CacheFormats) -> int:
    """Bits of a cell, without the scales of quantized formats, as Ollama counts them."""
    keys, values = (int(each.bits_per_weight) for each in (formats.keys, formats.values))
    return cache.key_elements * keys + cache.value_elements * values


def _rows(group: LayerGroup) -> list[Op]:
    return list(Ledger(group.layer.ops(Workload())).stored(group.formats))


def _output_bytes(deployed: Deployment) -> int:
    """The last norm and the head, or the table that the head shares."""
    rows, weight_bytes = deployed.model.ops(Workload()), deployed.precision.weight_bytes
    outside = [op for op in rows if not op.group and op.component != "embedding"]
    tied = deployed.model.spec.tie_word_embeddings
    table = next((op for op in rows if op.component == "embedding" and op.kind == "lookup"), None)
    return sum(map(weight_bytes, outside)) + (weight_bytes(table) if tied and table else 0)
