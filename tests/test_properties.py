"""Properties that hold for every model, not only for those with a published figure."""

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from sparsecalc.core.routing import expected_distinct_experts
from sparsecalc.core.workload import Workload
from sparsecalc.documents.compare import CompareReport
from sparsecalc.estimate.costs import flops, memory, params
from sparsecalc.estimate.load import Load
from sparsecalc.library.formats import precision_for
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.config import read_config
from sparsecalc.read.number_formats import format_ids
from sparsecalc.reports.formats import render

SIZES = st.integers(1, 12)


@st.composite
def mixtrals(draw: Any) -> dict[str, Any]:
    """Small mixture-of-experts configs."""
    kv_heads, group, experts = draw(SIZES), draw(st.integers(1, 4)), draw(st.integers(1, 16))
    return {
        "model_type": "mixtral",
        "vocab_size": draw(st.integers(2, 500)),
        "hidden_size": 8 * draw(SIZES) * kv_heads * group,
        "intermediate_size": draw(st.integers(1, 300)),
        "num_hidden_layers": draw(st.integers(1, 8)),
        "num_attention_heads": kv_heads * group,
        "num_key_value_heads": kv_heads,
        "num_local_experts": experts,
        "num_experts_per_tok": draw(st.integers(1, experts)),
        "sliding_window": draw(st.none() | st.integers(1, 64)),
        "tie_word_embeddings": draw(st.booleans()),
    }


def read(config: dict[str, Any]) -> ModelSpec:
    return read_config(config, model_id="drawn")


@given(mixtrals())
def test_one_expert_is_a_dense_model(config: dict[str, Any]) -> None:
    """A mixture of one expert is a dense MLP and a router of one row."""
    moe = read({**config, "num_local_experts": 1, "num_experts_per_tok": 1})
    keys = {key: value for key, value in config.items() if "expert" not in key}
    dense = read({**keys, "model_type": "mistral"})
    router = config["num_hidden_layers"] * config["hidden_size"]
    assert params(moe).total == params(moe).active == params(dense).total + router
    for work in (Workload.prefill(33), Workload.decode(33, batch_size=3)):
        assert moe.ops(work).total("flops") == dense.ops(work).total("flops") + 2 * router * work.tokens
        assert moe.ops(work).total("kv_elements") == dense.ops(work).total("kv_elements")


@given(mixtrals(), st.sampled_from(format_ids()))
def test_active_is_within_total_and_sums_agree(config: dict[str, Any], dtype: str) -> None:
    spec = read(config)
    found = params(spec)
    assert 0 < found.active <= found.total
    assert found.active_excl_embedding_and_head <= found.active_excl_embedding <= found.active
    assert sum(found.by_component.values()) == found.total
    held = memory(spec, precision_for(spec, dtype), Load(context_len=64, max_num_batched_tokens=64))
    assert sum(held.weights_by_component.values()) == held.weights_bytes


GROWS = ("vocab_size", "intermediate_size", "num_hidden_layers", "num_local_experts")


@given(mixtrals(), st.sampled_from(GROWS))
def test_more_of_anything_never_costs_less(config: dict[str, Any], key: str) -> None:
    small, large = read(config), read({**config, key: config[key] + 1})
    assert params(large).total > params(small).total
    assert params(large).active >= params(small).active
    assert large.ops(Workload.decode(50)).total("flops") >= small.ops(Workload.decode(50)).total("flops")


@given(mixtrals(), st.integers(1, 300), st.integers(1, 20))
def test_more_context_or_batch_never_takes_less(config: dict[str, Any], context: int, batch: int) -> None:
    spec = read(config)
    precision = precision_for(spec, "bf16")
    load = Load(batch_size=batch, context_len=context, max_num_batched_tokens=128)
    longer = Load(batch_size=batch, context_len=context + 1, max_num_batched_tokens=128)
    wider = Load(batch_size=batch + 1, context_len=context, max_num_batched_tokens=128)
    base = memory(spec, precision, load)
    assert memory(spec, precision, longer).total_bytes >= base.total_bytes
    assert memory(spec, precision, wider).total_bytes > base.total_bytes
    assert flops(spec, context + 1).decode_per_token >= flops(spec, context).decode_per_token


@given(mixtrals(), st.integers(1, 60), st.integers(0, 60))
def test_a_prompt_in_chunks_computes_what_it_computes_at_once(config: dict[str, Any], first: int, second: int) -> None:
    spec = read(config)
    whole = spec.ops(Workload.prefill(first + second)).total("flops")
    part = spec.ops(Workload.prefill(first)).total("flops")
    rest = spec.ops(Workload(new_tokens=second, context_len=first + second)).total("flops")
    assert part + rest == whole


@given(st.integers(1, 512), st.data())
def test_distinct_experts(experts: int, data: Any) -> None:
    k = data.draw(st.integers(1, experts))
    values = [expected_distinct_experts(experts, k, tokens) for tokens in (1, 2, 3, 10, 100, 100_000)]
    assert abs(values[0] - k) < 1e-9 * experts
    assert all(a <= b + 1e-9 for a, b in pairwise(values))
    assert k <= values[-1] + 1e-9
    assert values[-1] <= experts
    assert expected_distinct_experts(8, 2, 4) == 8 * (1 - 0.75**4)


@settings(max_examples=25)
@given(st.lists(st.sampled_from(["mixtral-8x7b", "llama-70b", "qwen3-30b-a3b", "deepseek-v3"]), min_size=2, max_size=3))
def test_json_round_trip(names: list[str]) -> None:
    from sparsecalc import compare

    report = compare(names)
    assert TypeAdapter(CompareReport).validate_json(render(report, "json")) == report
