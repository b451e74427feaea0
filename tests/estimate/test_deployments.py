"""Whether a hand-made model fits on a hand-made device, the steps of its deployment, and speculative decoding."""

import pytest
from hand_made import BF16, DENSE, device, mlp, model

from sparsecalc.core.routing import Routing
from sparsecalc.device.accelerator import Accelerator, Price
from sparsecalc.estimate.costs import memory
from sparsecalc.estimate.deployment import Deployment, Drafting
from sparsecalc.estimate.fit import budget_bytes, fit
from sparsecalc.estimate.load import Load
from sparsecalc.estimate.placement import Placement
from sparsecalc.model.ledgers import Ledgers
from sparsecalc.model.recurrent import Mamba2

LOAD = Load(batch_size=2, context_len=5, max_num_batched_tokens=3)
"""Holds 1,744 bytes of weights, 320 of caches and 240 of intermediate results (test_splits.py)."""


def gpu(memory_bytes: int, usd_per_hour: float | None = None) -> Accelerator:
    price = {"value": usd_per_hour, "as_of": "2026-01", "source": "here", "basis": "on demand"}
    return Accelerator(
        id="tiny",
        name="tiny",
        vendor="here",
        kind="gpu",
        memory_bytes=memory_bytes,
        memory_bytes_per_second=100.0,
        peak_flops_per_second={"bf16": 1000.0},
        usd_per_hour=Price.model_validate(price) if usd_per_hour else None,
        sources=("here",),
        confidence="measured",
    )


def test_a_model_that_fits() -> None:
    """3,600 of 4,000 bytes may be used.

    batch     1744 + B (160 + 80) from 3 sequences on, whose step is then larger than a chunk of 3 tokens: 7
    context   1744 + 240 + 64 S: 25
    """
    found = fit(DENSE, BF16, LOAD, gpu(4000), Placement(), 0.9)
    assert (found.fits, found.bytes_per_gpu, found.weights_bytes_per_gpu) == (True, 2304, 1744)
    assert (found.free_bytes_per_gpu, found.reserved_bytes_per_gpu) == (3600 - 2304, 400)
    assert (found.largest_batch_size, found.largest_context_len) == (7, 25)
    assert (found.gpus_needed, found.capacity_bytes, found.num_gpus) == (1, 4000, 1)


@pytest.mark.parametrize(
    ("memory_bytes", "needed"),
    [
        (2560, 1),  # 2304 usable: 2064 bytes beside working memory of 240
        (2559, 2),
        (1200, 3),  # 1080 usable, 840 of them for 2064
        (270, 688),  # 243 usable, 3 of them
        (266, None),  # 239 usable, less than one device's own working memory
    ],
)
def test_devices_that_are_needed(memory_bytes: int, needed: int | None) -> None:
    found = fit(DENSE, BF16, LOAD, gpu(memory_bytes), Placement(), 0.9)
    assert found.gpus_needed == needed
    assert found.fits == (needed == 1)


def test_states_are_held_like_caches() -> None:
    """Mamba-2 with 2 heads of 4 and a state of 3: 24 elements, and 4 inputs of the convolution over 8 + 2 * 3 channels.

    In each of 2 layers and 50 sequences, 2 bytes each: 16,000 bytes, whatever the context.
    """
    mixer = Mamba2(hidden_size=8, num_heads=2, head_dim=4, state_size=3, n_groups=1, conv_kernel=4)
    group = DENSE.layer_groups[0]
    spec = DENSE.but(layer_groups=(group.but(layer=group.layer.but(mixers=(mixer,))),))
    held = memory(spec, BF16, LOAD.but(batch_size=50))
    assert (held.state_bytes, held.kv_cache_bytes, held.logits_bytes) == (2 * 50 * (24 + 56) * 2, 0, 3000)
    assert memory(spec, BF16, LOAD.but(batch_size=50, context_len=999)).state_bytes == 16_000
    found = fit(spec, BF16, LOAD.but(batch_size=50), gpu(20_000), Placement(), 0.9)
    working = max(held.activation_bytes, 3000)
    assert found.gpus_needed == -(-(held.weights_bytes + 16_000) // (18_000 - working)) == 2


def test_nothing_fits_where_the_weights_do_not() -> None:
    found = fit(DENSE, BF16, LOAD, gpu(1900), Placement(), 0.9)
    assert (found.largest_batch_size, found.largest_context_len) == (0, 0)
    assert found.free_bytes_per_gpu == 1710 - 2304


def test_stages_share_weights_and_caches() -> None:
    """On 2 stages: 872 + 160 + 240 bytes; caches of 80 B and 32 S: 1744 / 2 + B (80 + 80), 1744 / 2 + 240 + 32 S."""
    found = fit(DENSE, BF16, LOAD, gpu(2000, 1.5), Placement(pp=2), 0.9)
    assert (found.bytes_per_gpu, found.num_gpus, found.usd_per_hour) == (1272, 2, 3.0)
    assert (found.largest_batch_size, found.largest_context_len) == (928 // 160, 688 // 32)
    assert fit(DENSE, BF16, LOAD, gpu(2000), Placement(), 0.9).usd_per_hour is None


def test_the_share_of_a_device_that_may_be_used() -> None:
    assert budget_bytes(gpu(1001), 0.5) == 500
    assert budget_bytes(gpu(1000), None) == 900, "vLLM's default"
    usable = gpu(1000).model_copy(update={"memory_usable_bytes": 800})
    assert budget_bytes(usable, 0.5) == 400


# --- steps --------------------------------------------------------------------------------------------------------


def test_guesses_are_verified_beside_the_next_token() -> None:
    """Of 5 tokens, the last is new; 3 guesses follow it: 4 new tokens, which see 8."""
    zipf = Routing(kind="zipf", exponent=1.0)
    found = Deployment(Ledgers(DENSE), BF16, gpu(4000), device(), routing=zipf)
    work = found.decode(5, 2, draft_tokens=3)
    assert (work.phase, work.batch_size, work.new_tokens, work.context_len) == ("decode", 2, 4, 8)
    assert work.routing == zipf
    assert found.decode_of(LOAD) == found.decode(5, 2)


def test_guesses_cost_a_step_of_the_draft_model_each() -> None:
    """The draft model's step is that of a model with a narrower MLP; 1 + 0.5 + 0.25 + 0.125 tokens come out."""
    small = Deployment(Ledgers(model(mlp(2))), BF16, gpu(4000), device())
    one = small.step([small.decode_of(LOAD)]).seconds
    drafting = Drafting(draft_tokens=3, acceptance=0.5, draft=small)
    assert drafting.draft_seconds(LOAD) == pytest.approx(3 * one)
    assert drafting.accepted_tokens == 1.875
    assert Drafting(draft_tokens=3, acceptance=0.5).draft_seconds(LOAD) == 0
