"""The largest batch and context of every built-in model: bytes there are within the budget, one more is not."""

import pytest
from test_fit import counted

from sparsecalc.decide.model_name import load_variant
from sparsecalc.device.find import load_accelerator
from sparsecalc.estimate.fit import LARGEST_BATCH, LARGEST_CONTEXT, fit
from sparsecalc.estimate.load import Load
from sparsecalc.estimate.placement import Placement
from sparsecalc.library.models import model_ids

LOADS = [
    (Placement(), Load(batch_size=1, context_len=4096, max_num_batched_tokens=8192)),
    (Placement(tp=8, pp=2), Load(batch_size=7, context_len=50_000, max_num_batched_tokens=2048)),
    (Placement(dp=16, ep=16), Load(batch_size=33, context_len=1000, max_num_batched_tokens=512)),
]
GPU = load_accelerator("h200-sxm")
BUDGET = int(GPU.capacity_bytes * 0.9)
"""vLLM's default share of a device's memory."""


@pytest.mark.parametrize(("plan", "load"), LOADS, ids=lambda value: getattr(value, "name", ""))
@pytest.mark.parametrize("name", model_ids())
def test_the_largest_load_is_the_last_that_fits(name: str, plan: Placement, load: Load) -> None:
    """By the ledger of each load itself, whatever the search knows about how bytes grow."""
    variant = load_variant(name)
    found = fit(variant.model, variant.precision, load, GPU, plan)
    assert found.bytes_per_gpu == counted(name, load, plan)
    assert found.fits == (found.bytes_per_gpu <= BUDGET)
    assert found.free_bytes_per_gpu == BUDGET - found.bytes_per_gpu

    def fits(**changed: int) -> bool:
        return counted(name, load.but(**changed), plan) <= BUDGET

    edges = (("batch_size", found.largest_batch_size, LARGEST_BATCH),)
    edges += (("context_len", found.largest_context_len, LARGEST_CONTEXT),)
    for field, largest, most in edges:
        assert largest == 0 or fits(**{field: largest})
        assert largest == most or not fits(**{field: largest + 1})
        assert found.fits == (largest >= getattr(load, field))
