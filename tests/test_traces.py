"""What forward passes on the meta device tell, worked by hand: FLOPs per token, caches, visible pairs, real experts."""

from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from sparsecalc.measure.architecture.attention_tally import AttentionTally
from sparsecalc.measure.architecture.cache_tensors import cache_tensors, holds_tokens
from sparsecalc.measure.architecture.expert_choice import expert_choice
from sparsecalc.measure.counts.cache_verdicts import _cache_elements
from sparsecalc.measure.counts.step_flops import StepFlops, _of_real_experts
from sparsecalc.measure.derive.cache_traces import PROMPTS, HeldCache, growth_per_token
from sparsecalc.measure.derive.layer_places import Place
from sparsecalc.measure.derive.traces import Traces, flops_per_pair, flops_per_token

LAYER = Place("decoder", 0)


def empty(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def test_the_prompts_are_those_that_the_numbers_below_are_of() -> None:
    assert PROMPTS == (12, 40)


@pytest.mark.parametrize(
    ("prompts", "step", "per_token", "problem"),
    [
        ([1200, 4000], 100, (100, 0), ""),  # 100 a token, and the step is one
        ([1200, 4000], None, (100, 0), ""),  # no step was run
        ([1200, 4000], 2900, (30, 70), ""),  # 30 T + 70 S: the step is 30 + 70 * 41 = 2900
        ([1200, 4001], 100, (100, 0), "do not grow evenly with the tokens"),
        ([1000, 3800], 100, (95, 0), "do not grow evenly with the tokens"),  # 100 a token would be 1200
        ([1200, 4000], 101, (100, 0), "in a decode step"),
    ],
)
def test_flops_per_token(prompts: list[int], step: int | None, per_token: tuple[int, int], problem: str) -> None:
    assert flops_per_token(prompts, step) == (per_token, problem)


def test_flops_per_pair() -> None:
    """3 T^2 + 5 T: 3 * 144 + 60 = 492 and 3 * 1600 + 200 = 5000; one token that sees 41: 3 * 41 + 5 = 128."""
    assert flops_per_pair([492, 5000]) == pytest.approx((3, 5))
    traces = Traces()
    traces.add_unweighted((LAYER, "attn"), [492, 5000], 128, is_attention=True)
    assert (traces.pairs, traces.unweighted, traces.left_out) == ({(LAYER, "attn"): 3}, {(LAYER, "attn"): 5}, [])


@pytest.mark.parametrize(
    ("prompts", "step", "is_attention"),
    [([492, 5000], 127, True), ([492, 5000], 128, False), ([492, 5001], None, True)],
    ids=["another step", "a square that is not attention's", "no whole numbers"],
)
def test_products_that_do_not_add_up_are_told(prompts: list[int], step: int | None, is_attention: bool) -> None:
    traces = Traces()
    for _ in range(2):
        traces.add_unweighted((LAYER, "mix"), prompts, step, is_attention=is_attention)
    assert (traces.pairs, traces.unweighted) == ({}, {})
    assert traces.left_out == ["products without weights in mix"]


def test_how_a_cache_grows() -> None:
    """2 heads of 8: 16 elements a token; a window of 20 keeps 12 and 19 of the two prompts' tokens."""
    assert growth_per_token(empty(1, 2, 12, 8), empty(1, 2, 40, 8), None) == 16
    assert growth_per_token(empty(1, 2, 12, 8), empty(1, 2, 19, 8), 20) == 16
    assert growth_per_token(empty(1, 2, 12, 8), empty(1, 2, 20, 8), 20) is None
    assert growth_per_token(None, empty(1, 2, 40, 8), None) is None


def test_what_a_layers_cache_holds() -> None:
    told: list[str] = []
    held = HeldCache()
    held.add("keys", empty(1, 2, 12, 8), empty(1, 2, 40, 8), None, told.append)
    held.add("values", empty(1, 2, 12, 4), empty(1, 2, 40, 4), None, told.append)
    held.add("indexer_keys", empty(1, 12, 6), empty(1, 40, 6), None, told.append)
    held.add("conv_states", empty(1, 10, 3), empty(1, 10, 3), None, told.append)
    held.add("recurrent_states", None, empty(1, 4, 5, 6, dtype=torch.float32), None, told.append)
    held.add("keys", empty(1, 2, 12, 8), empty(1, 2, 39, 8), None, told.append)
    assert (held.per_token, held.index_per_token) == (16 + 8, 6)
    assert (held.conv_state, held.state, held.fp32, held.contracted) == (30, 120, True, True)
    assert told == ["growth of the cache's keys"]
    held.add("ssm_states", None, empty(1, 7), None, told.append)
    assert (held.state, held.fp32, held.contracted) == (127, False, False), "batch and channels: element by element"


def test_tensors_of_a_cache_by_name() -> None:
    layer = SimpleNamespace(keys=empty(2, 3), values=empty(2, 3), conv_states=[empty(4), empty(5)], _seen=empty(9))
    layer.flag, layer.count = True, empty()
    assert [(name, tensor.numel()) for name, tensor in cache_tensors(layer)] == [
        *(("keys", 6), ("values", 6)),
        *(("conv_states", 4), ("conv_states", 5)),
    ]
    assert [holds_tokens(name) for name in ("keys", "compressed_kv", "index_keys", "ssm_state")] == [True] * 3 + [False]
    cache = SimpleNamespace(layers=[layer])
    assert _cache_elements(cache) == (12, 9)
    assert _cache_elements(cache, values_are_keys=True) == (6, 9)
    assert _cache_elements(SimpleNamespace(layers=[layer], linear_cache=[empty(7)])) == (12, 16)
    assert _cache_elements(SimpleNamespace(states=empty(3, 4))) == (0, 12)


def attended(config: dict[str, Any], past: int, new: int, **module: Any) -> int:
    """FLOPs of a call with 4 heads, 8 wide for keys and 6 for values."""
    tally = AttentionTally(SimpleNamespace(**config), past)
    holder: Any = SimpleNamespace(**module)
    query, keys, values = empty(1, 4, new, 8), empty(1, 4, past + new, 8), empty(1, 4, past + new, 6)
    output, _ = tally.attend(holder, query, keys, values)
    assert output.shape == (1, new, 4, 6)
    return tally.flops


def test_attention_counts_visible_pairs() -> None:
    """2 * 4 * (8 + 6) = 112 a pair. 5 new tokens: causal 15 pairs; a window of 2: 1 + 4 * 2; chunks of 3: 6 + 3."""
    assert attended({}, 0, 5) == 112 * 15
    assert attended({}, 10, 1) == 112 * 11
    assert attended({}, 0, 5, is_causal=False) == 112 * 25
    assert attended({"sliding_window": 2}, 0, 5) == 112 * 9
    assert attended({"sliding_window": 2, "layer_types": ["full_attention"]}, 0, 5) == 112 * 15
    chunked = {"attention_chunk_size": 3, "layer_types": ["chunked_attention"]}
    assert attended(chunked, 0, 5, layer_idx=0) == 112 * 9
    indexed = {"index_topk": 2, "layer_types": ["indexed_attention"]}
    assert attended(indexed, 0, 5, layer_idx=0) == 112 * 9


def test_rows_of_zero_compute_experts_are_no_products() -> None:
    """6 of 8 experts have weights: of 1200 + 600 FLOPs, 900 + 450; of 100 + 50, 75 + 37, each rounded down."""
    experts: Any = SimpleNamespace(zero_expert_num=2, num_routed_experts=6)
    assert _of_real_experts(experts, 1800) == 1350
    assert _of_real_experts(experts, 150) == 112
    assert _of_real_experts(nn.Linear(1, 1), 150) == 150


def test_products_without_weights_by_the_class_that_makes_them() -> None:
    class Qwen3NextGatedDeltaNet(nn.Module):
        pass

    class LlamaAttention(nn.Module):
        pass

    step = StepFlops()
    for module, flops in ((Qwen3NextGatedDeltaNet(), 1), (LlamaAttention(), 20), (nn.Identity(), 300)):
        step.add_unweighted(module, flops)
        step.add_unweighted(module, flops)
    assert (step.state_updates, step.square, step.weights) == (2, 40, {"other": 600})


def test_the_choice_that_experts_are_part_of() -> None:
    """The nearest module around the experts that knows k and E, or the config."""
    model: Any = nn.Module()
    model.mlp, model.mlp.experts = nn.Module(), nn.Module()
    model.mlp.experts.gate_up_proj = nn.Parameter(empty(8, 2, 2))
    model.config = SimpleNamespace(
        get_text_config=lambda decoder: SimpleNamespace(num_experts_per_tok=2, num_experts=8)
    )
    name = "mlp.experts.gate_up_proj"
    assert expert_choice(name, model) == (2, 8)
    model.mlp.top_k, model.mlp.experts.num_experts = 3, 16
    assert expert_choice(name, model) == (3, 16)
