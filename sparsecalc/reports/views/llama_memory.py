"""What people read of llama.cpp's memory: its buffers, in the words of its log."""

from sparsecalc.estimate.llama_memory.figures import LlamaMemory
from sparsecalc.reports.view import Grid


def llama_grid(found: LlamaMemory) -> Grid:
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
