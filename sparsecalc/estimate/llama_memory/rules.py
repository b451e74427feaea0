"""What llama.cpp is told of its memory, and what it does without: data/llama_memory.json, typed."""

from functools import cache
from typing import TYPE_CHECKING, Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.data_files import read_data
from sparsecalc.estimate.engine_memory.rules import EngineOptions

if TYPE_CHECKING:  # pydantic is imported only where an accelerator is named
    from sparsecalc.device.accelerator import Accelerator


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
    wide_masks: bool
    """Whether masks are made in 32 bits and cast to 16 for flash attention, which holds both for a while."""
    hidden_inputs: int
    """Inputs of hidden states in the host's compute buffer: those looked up, and in later builds those given."""
    fused_projections: bool
    """Whether the family's fused products are read in place."""
    margin_bytes: int
    """Bytes of a device that are left free when a load is said to fit."""


@cache
def table() -> dict[str, Any]:
    """data/llama_memory.json."""
    found: dict[str, Any] = read_data("llama_memory.json")
    return found


def llama_rules(options: EngineOptions, family: str, engine: str = "", release: str = "") -> LlamaRules:
    """The rules of an engine for a model of a family.

    A micro-batch is --max-num-batched-tokens in other engines' words.
    `release`: a build (b9739) or a version (0.5.0, later than all builds that are known here); without one the rules
    are those before `half_masks_from`, as most logs are.
    """
    found = table()
    later = bool(release) and (release[0] != "b" or int(release[1:]) >= found["half_masks_from"]["build"])
    return LlamaRules(
        ubatch_size=options.ubatch_size or options.max_num_batched_tokens or found["ubatch_size"]["value"],
        flash_attention=options.flash_attn != "off",
        swa_full=options.swa_full or engine in found["engines_without_windowed_cache"]["engines"],
        parallel=options.parallel,
        cell_padding=found["cell_padding"]["value"],
        keeps_windows=family not in found["families_without_windowed_cache"]["families"],
        keeps_last_hidden=family in found["families_that_keep_last_hidden"]["families"],
        wide_masks=not later,
        hidden_inputs=2 if later else 1,
        fused_projections=later and family in found["families_with_fused_projections"]["families"],
        margin_bytes=found["margin_bytes"]["value"],
    )


def pipeline_copies() -> int:
    """Copies of inputs that a scheduler keeps for cards that take turns."""
    return int(table()["pipeline_copies"]["value"])


def usable_bytes(gpu: "Accelerator") -> int:
    """Bytes that llama.cpp finds free on an idle device: those of the device less what driver and desktop keep.

    An integrated device's usable share of the machine's memory (Metal's recommendedMaxWorkingSetSize) is kept whole.
    """
    kept: int = table()["driver_bytes"]["value"] if gpu.kind == "gpu" else 0
    return min(gpu.capacity_bytes, gpu.memory_bytes - kept)
