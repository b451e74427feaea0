"""What llama.cpp is told of its memory, and what it does without: data/llama_memory.json, typed."""

from functools import cache
from typing import TYPE_CHECKING, Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.data_files import read_data

if TYPE_CHECKING:  # pydantic is imported only where an accelerator is named
    from sparsecalc.device.accelerator import Accelerator


class LlamaOptions(Frozen):
    """llama.cpp's options of memory; None: its default."""

    ubatch_size: int | None = None
    """-ub: tokens of a micro-batch, which a step computes at most."""
    cache_type_k: str | None = None
    """-ctk: format of cached keys; None: as --kv-cache-dtype, f16 without one."""
    cache_type_v: str | None = None
    """-ctv: format of cached values, likewise."""
    flash_attn: str | None = None
    """-fa: on, off or auto."""
    swa_full: bool = False
    """--swa-full: windows are cached in full."""
    parallel: int | None = None
    """-np: sequences that have cells of their own; None: the batch size."""


class LlamaRules(Frozen):
    """How an engine based on llama.cpp fills memory."""

    ubatch_size: int
    flash_attention: bool
    swa_full: bool
    parallel: int | None
    cell_padding: int
    """Cells of a cache are a multiple of this."""
    keeps_windows: bool
    """Whether the family's sliding windows bound its cache."""
    keeps_last_hidden: bool
    """Whether the hidden states before the last norm are kept beside it."""
    margin_bytes: int
    """Bytes of a device that are left free when a load is said to fit."""


@cache
def table() -> dict[str, Any]:
    """data/llama_memory.json."""
    found: dict[str, Any] = read_data("llama_memory.json")
    return found


def llama_rules(options: LlamaOptions, family: str, ubatch_size: int | None = None) -> LlamaRules:
    """The rules for a model of a family; `ubatch_size`: a chunk in another engine's words, where -ub is not given."""
    found = table()
    return LlamaRules(
        ubatch_size=options.ubatch_size or ubatch_size or found["ubatch_size"]["value"],
        flash_attention=options.flash_attn != "off",
        swa_full=options.swa_full,
        parallel=options.parallel,
        cell_padding=found["cell_padding"]["value"],
        keeps_windows=family not in found["families_without_windowed_cache"]["families"],
        keeps_last_hidden=family in found["families_that_keep_last_hidden"]["families"],
        margin_bytes=found["margin_bytes"]["value"],
    )


def usable_bytes(gpu: "Accelerator") -> int:
    """Bytes that llama.cpp finds free on an idle device: those of the device less what driver and desktop keep.

    An integrated device's usable share of the machine's memory (Metal's recommendedMaxWorkingSetSize) is kept whole.
    """
    if gpu.memory_usable_bytes is not None:
        return gpu.memory_usable_bytes
    kept: int = table()["driver_bytes"]["value"] if gpu.kind == "gpu" else 0
    return gpu.capacity_bytes - kept
