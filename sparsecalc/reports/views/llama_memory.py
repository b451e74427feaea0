"""What people read of memory in the words of llama.cpp's and Ollama's logs, and of MLX's peak."""

from collections.abc import Iterator

from sparsecalc.core.units import nbytes
from sparsecalc.documents.show import Advice, ModelReport
from sparsecalc.estimate.llama_memory.figures import LlamaMemory, MlxMemory, OllamaMemory
from sparsecalc.reports.view import Grid


def desk_grids(model: ModelReport) -> Iterator[Grid]:
    """The tables that there is something to say in."""
    if model.llama_memory:
        yield _llama(model.llama_memory)
    if model.prediction and model.prediction.ollama_memory:
        yield _ollama(model.prediction.ollama_memory)
    if model.prediction and model.prediction.mlx_memory:
        yield _mlx(model.prediction.mlx_memory)


def _ollama(found: OllamaMemory) -> Grid:
    rows = [
        ["memory.required.full", nbytes(found.required_full_bytes)],
        ["memory.required.partial", nbytes(found.required_partial_bytes)],
        ["memory.required.kv", nbytes(found.required_kv_bytes)],
        ["memory.weights.total", nbytes(found.weights_bytes)],
        ["memory.weights.repeating", nbytes(found.weights_repeating_bytes)],
        ["memory.weights.nonrepeating", nbytes(found.weights_nonrepeating_bytes)],
        ["memory.graph.full", nbytes(found.graph_full_bytes)],
        ["memory.graph.partial", nbytes(found.graph_partial_bytes)],
    ]
    return Grid(
        headers=[f"Ollama's estimate, layers.offload={found.layers_offloaded} of {found.layers}", ""], rows=rows
    )


def _mlx(found: MlxMemory) -> Grid:
    rows = [
        ["weights", nbytes(found.weights_bytes)],
        ["cache", nbytes(found.kv_cache_bytes)],
        ["cache before it last grew", nbytes(found.growth_bytes)],
        ["results of a prompt's step", nbytes(found.activation_bytes)],
        ["peak", f"{found.peak_bytes / 1e9:.3f} GB"],
    ]
    return Grid(headers=["MLX's peak memory", ""], rows=rows)


def _llama(found: LlamaMemory) -> Grid:
    """The buffers, a column for each place."""
    kinds = (
        ("model buffer", [place.model_buffer_bytes for place in found.buffers]),
        (f"KV buffer ({_cells(found)})", [place.kv_buffer_bytes for place in found.buffers]),
        ("RS buffer (recurrent states)", [place.state_buffer_bytes for place in found.buffers]),
        (_compute(found), [place.compute_buffer_bytes for place in found.buffers]),
        ("output buffer", [place.output_buffer_bytes for place in found.buffers]),
        ("all buffers", [place.total_bytes for place in found.buffers]),
    )
    rows = [[label, *(_mebibytes(size) if size else "-" for size in sizes)] for label, sizes in kinds if any(sizes)]
    title = f"memory in llama.cpp's log, {found.layers_offloaded}/{found.layers} layers offloaded"
    return Grid(headers=[title, *(place.place for place in found.buffers)], rows=rows)


def _cells(found: LlamaMemory) -> str:
    windows = f", {found.window_cells:,} in windows" if found.window_cells else ""
    sequences = f" x {found.sequences:,} sequences" if found.sequences > 1 else ""
    return f"{found.kv_cells:,} cells{windows}{sequences}"


def _compute(found: LlamaMemory) -> str:
    attention = "flash attention" if found.flash_attention else "no flash attention"
    return f"compute buffer ({found.ubatch_size:,} tokens, {attention})"


def _mebibytes(size: int) -> str:
    """As the log prints it."""
    return f"{size / 2**20:,.2f} MiB"


def advice_lines(advice: Advice | None) -> Iterator[str]:
    """What to type, and how much context is left."""
    if advice is None:
        return
    if not advice.fits:
        yield "Advice: it does not fit, however its layers and experts are placed."
        return
    placed = f"{advice.gpu_layers} of {advice.layers} layers on devices"
    if advice.gpu_layers in (0, advice.layers):
        placed = "all layers on devices" if advice.gpu_layers else "all layers in host memory"
    experts = f", experts of the first {advice.cpu_moe_layers} in host memory," if advice.cpu_moe_layers else ""
    margin = f" with {nbytes(advice.margin_bytes)} left free" if advice.margin_bytes else ""
    yield f"Advice: {placed}{experts} fit{margin}; then up to {advice.largest_context_len:,} tokens of context."
    yield f"  {advice.command}"
    yield from (f"  {line}" for line in advice.modelfile.splitlines())
