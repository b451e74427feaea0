"""TPOT of copies of the attention: dense copies wait for nobody; copies with common experts share chunks' cost."""

from collections.abc import Sequence
from math import comb, isclose

import pytest

from sparsecalc.core.workload import Workload
from sparsecalc.device.assemble import device_model
from sparsecalc.device.find import load_accelerator
from sparsecalc.estimate.load import Requests
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.serving import Copies, chunks, tpot_seconds
from sparsecalc.estimate.step import Step, step_time
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import load_model

H100 = device_model(load_accelerator("h100-sxm"))
OWN, SHARED, DECODE = 0.3, 0.02, 1.0


def toy_step(works: Sequence[Workload]) -> Step:
    """One second; longer by OWN if any copy has a chunk, and by SHARED for each that has one."""
    having = sum(int(work.batch_size) for work in works if work.phase == "prefill")
    return Step([], DECODE + (OWN if having else 0) + SHARED * having, 0.1)


@pytest.mark.parametrize("copies", [1, 2, 8])
def test_stalls_are_those_of_independent_copies(copies: int) -> None:
    requests = Requests(prompt_len=100, output_len=501, concurrency=81)
    found = tpot_seconds(requests, chunks(100, 8192), toy_step, Workload.decode, copies=Copies(count=copies)).seconds
    chance = 80 / 500 / copies
    binomial = [comb(copies, m) * chance**m * (1 - chance) ** (copies - m) for m in range(copies + 1)]
    expected = DECODE + sum(share * (OWN * (m > 0) + SHARED * m) for m, share in enumerate(binomial))
    assert isclose(found, expected, rel_tol=1e-9)


def tpot(name: str, plan: Placement, concurrency: int) -> float:
    spec = load_model(name).spec
    precision = precision_for(spec, "bf16")
    requests = Requests(prompt_len=4096, output_len=256, concurrency=concurrency)
    found = tpot_seconds(
        requests,
        chunks(4096, 8192),
        lambda works: step_time(spec, works, precision, H100, plan),
        Workload.decode,
        copies=Copies.of(plan, spec, "vllm"),
    )
    return float(found.seconds - H100.engine.sequence_seconds * concurrency)


@pytest.mark.parametrize("copies", [2, 4])
def test_dense_copies_are_servers_of_their_own(copies: int) -> None:
    alone, together = tpot("qwen3-8b", Placement(), 16), tpot("qwen3-8b", Placement(dp=copies), 16 * copies)
    assert isclose(alone, together, rel_tol=0.02)


def test_a_chunk_on_one_copy_is_computed_once_by_the_experts() -> None:
    spec, plan = load_model("qwen3-30b-a3b").spec, Placement(dp=4, ep=4)
    precision = precision_for(spec, "bf16")
    works = [Workload.decode(2048, 60), Workload.prefill(4096, logits="last")]

    def experts(chunk_copies: int) -> float:
        both = [works[0], works[1].but(batch_size=chunk_copies)]
        step = step_time(spec, both, precision, H100, plan)
        return float(sum(time.kernel.flops for time in step.times if time.kernel.family == "experts"))

    assert 3.5 < experts(4) / experts(1) < 4
