"""Bytes of a device in closed form: as they are counted load by load, and the largest load that fits."""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsecalc.core.workload import Workload
from sparsecalc.decide.model_name import load_variant
from sparsecalc.decide.question import ask
from sparsecalc.decide.show import show
from sparsecalc.device.find import load_accelerator
from sparsecalc.estimate.costs import working_bytes
from sparsecalc.estimate.fit import DeviceMemory, fit
from sparsecalc.estimate.load import Load
from sparsecalc.estimate.offload import resident_share
from sparsecalc.estimate.placement import Placement
from sparsecalc.library.models import model_ids
from sparsecalc.model.spec import ModelSpec

SPARSE = [
    "llama-2-7b+2:4",
    "llama-2-7b+kv-budget=700",
    "llama-2-7b+quest=512",
    "llama-2-7b+mod=0.3",
    "deepseek-v3+dsa=900",
]


def counted(name: str, load: Load, plan: Placement) -> int:
    """Bytes of the fullest device, from the ledger of the very load."""
    variant = load_variant(name)
    spec, precision = variant.loaded.spec, variant.precision
    sequences = ceil(load.batch_size / plan.dp)
    weights = caches = 0.0
    for op in spec.ops(Workload.decode(load.context_len, sequences)):
        ways = plan.ways(op)
        weights += precision.weight_bytes(op) * op.layers / ways * resident_share(plan, op)
        state = op.state_elements * (4 if op.state_is_fp32 else precision.activations.bits / 8)
        cached = precision.kv_cache_bytes(op.kv_elements) + precision.kv_cache_bytes(op.index_elements)
        caches += (cached + state) * op.layers / ways
    working = max(working_bytes(spec, precision, load.but(batch_size=sequences)))
    return ceil(weights / plan.pp) + ceil(caches / plan.pp) + working


@pytest.mark.parametrize("name", [*model_ids()[::7], *SPARSE])
def test_one_ledger_serves_every_batch(name: str) -> None:
    """Caches and states grow with the sequences one by one, in every family and under techniques."""
    variant = load_variant(name)
    plan = Placement(dp=2, pp=2)
    memory = DeviceMemory(variant.model, variant.precision, plan)
    for batch in (3, 1, 2, 64, 1000):
        load = Load(batch_size=batch, context_len=5000, max_num_batched_tokens=2048)
        assert memory.at(load).total == counted(name, load, plan)


@given(
    name=st.sampled_from(["gemma-3-27b", "gpt-oss-20b", "jamba-1.5-mini", "mixtral-8x7b", "deepseek-v3.2"]),
    context=st.integers(1, 300_000),
    batch=st.integers(1, 400),
    chunk=st.sampled_from([16, 2048, 8192]),
    gpus=st.sampled_from([1, 2, 8]),
)
def test_the_largest_batch_and_context_are_the_last_that_fit(
    name: str, context: int, batch: int, chunk: int, gpus: int
) -> None:
    variant, gpu = load_variant(name, "int4"), load_accelerator("h200-sxm")
    plan, load = Placement(pp=gpus), Load(batch_size=batch, context_len=context, max_num_batched_tokens=chunk)
    fitting = fit(variant.model, variant.precision, load, gpu, plan)
    memory = DeviceMemory(variant.model, variant.precision, plan)
    budget = fitting.bytes_per_gpu + fitting.free_bytes_per_gpu

    def fits(**changed: int) -> bool:
        return memory.at(load.but(**changed)).total <= budget

    for field, largest in (("batch_size", fitting.largest_batch_size), ("context_len", fitting.largest_context_len)):
        assert largest == 0 or fits(**{field: largest})
        assert not fits(**{field: largest + 1})


def test_show_builds_few_ledgers(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    ops = ModelSpec.ops
    monkeypatch.setattr(ModelSpec, "ops", lambda self, work: built.append(work) or ops(self, work))
    show("qwen3-30b-a3b", ask(gpu="h100-sxm"))
    assert len(built) == len(set(built)) <= 12
