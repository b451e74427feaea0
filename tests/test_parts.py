"""What parts and ops say of themselves: experts, windows, heads, roles; and the arithmetic that they share."""

import subprocess
import sys

import numpy as np
import pytest

from sparsecalc import load
from sparsecalc.core.arrays import is_array
from sparsecalc.core.expert_shares import expected_experts_per_tok, inclusion_probabilities, zipf_shares
from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload
from sparsecalc.library.formats import precision_for
from sparsecalc.model.attention import Gqa
from sparsecalc.model.derived_parts import DerivedAttention, DerivedExperts, Scores, Weights, role_of
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.latent import Mla
from sparsecalc.model.recurrent import Mamba2
from sparsecalc.read.number_formats import number_format

GQA = Gqa(hidden_size=64, num_attention_heads=8, num_key_value_heads=2, head_dim=8)
MAMBA2 = Mamba2(hidden_size=64, num_heads=16, head_dim=8, state_size=4, n_groups=1, conv_kernel=4)
MOE = Moe(hidden_size=64, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=16, shared_intermediate_size=24)


def roles(part: Gqa | DenseMlp | Moe | Mla) -> dict[str, str]:
    return {op.name: op.role for op in part.ops(Workload())}


def test_mixtures_are_found_whatever_they_are_made_of() -> None:
    """Read or derived: 2 of 8 experts, and the width of the shared ones."""
    routed = Weights(name="experts", component="routed_experts", matrices=8, num_experts_per_tok=2, num_experts=8)
    shared = Weights(name="shared.down_proj", component="shared_experts", rows=64, cols=24, matrices=1)
    derived = DerivedExperts(weights=(routed, shared))
    for part in (MOE, derived):
        mixture = part.mixture
        assert mixture is part
        assert (mixture.num_experts, mixture.num_experts_per_tok) == (8, 2)
        assert (mixture.zero_experts, mixture.shared_intermediate_size) == (0, 24)
    assert DenseMlp(hidden_size=64, intermediate_size=16).mixture is None


def test_a_model_lists_its_mixtures_by_layers() -> None:
    """DeepSeek-V3: 3 dense layers, then 58 with 256 experts."""
    assert [(count, mixture.num_experts) for count, mixture in load("deepseek-v3").spec.mixtures] == [(58, 256)]
    assert load("llama-2-7b").spec.mixtures == []


def test_mixers_tell_their_window_and_heads() -> None:
    assert (GQA.window, GQA.but(sliding_window=16).window, GQA.but(attention_chunk_size=32).window) == (None, 16, 32)
    calls = tuple(
        Scores(num_attention_heads=8, head_dim=8, v_head_dim=8, sliding_window=window) for window in (64, 16, None)
    )
    assert DerivedAttention(scores=calls).window == 16
    assert (GQA.tensor_parallel_heads, MAMBA2.tensor_parallel_heads, DerivedAttention().tensor_parallel_heads) == (
        8,
        16,
        None,
    )
    assert (GQA.is_softmax_attention, MAMBA2.is_softmax_attention) == (True, False)


def test_ops_have_roles() -> None:
    assert roles(GQA.but(output_gate="per_head")) == {
        **{"q_proj": "query_head", "k_proj": "key_value", "v_proj": "key_value"},
        **{"gate_proj": "query_head", "scores_and_values": "query_head", "o_proj": "query_head"},
    }
    assert roles(DenseMlp(hidden_size=64, intermediate_size=16)) == {"gate_up_proj": "gate_up", "down_proj": "neurons"}
    assert roles(MOE)["gate_up_proj"] == "gate_up", "of the shared experts"
    assert (roles(MOE)["router"], roles(MOE)["experts.down_proj"]) == ("", "")


@pytest.mark.parametrize(
    ("name", "component", "role"),
    [
        ("k_proj", "attention", "key_value"),
        ("q_proj", "attention", ""),
        ("indexer.scores", "attention", "indexer"),
        ("dt_proj", "state_space", "state_update"),
        ("dt_proj", "attention", ""),
        ("up_proj", "dense_ffn", "gate_up"),
        ("fc2", "dense_ffn", "neurons"),
        ("gate_up_proj_adapter", "dense_ffn", "gate_up_adapter"),
        ("receptance", "dense_ffn", ""),
    ],
)
def test_derived_roles_come_from_names(name: str, component: str, role: str) -> None:
    assert role_of(name, component) == role  # type: ignore[arg-type]


def test_state_is_4_bytes_in_fp32_and_else_as_wide_as_activations() -> None:
    spec = load("llama-2-7b").spec
    precision = precision_for(spec, None, None)
    kept, moved = (
        Op(name="state", component="state_space", kind="scan", state_is_fp32=fp32, state_elements=10)
        for fp32 in (True, False)
    )
    assert (precision.state_element_bytes(kept), precision.state_element_bytes(moved)) == (4, 2)
    assert precision.but(activations=number_format("fp32")).state_element_bytes(moved) == 4


def test_zero_compute_experts_take_their_share_of_the_selections() -> None:
    """12 selected of 512 with weights and 256 without: 12 x 512 / 768 = 8."""
    assert expected_experts_per_tok(12, 512, 256) == 8
    op = Op(name="e", component="routed_experts", kind="experts", num_experts_per_tok=12, num_experts=512)
    assert op.expected_experts_per_tok == 12


def test_no_expert_is_selected_twice() -> None:
    """Shares 1, 1/2, 1/3 scaled to a sum of 2: the first would be 12/11, so it is 1; the others share the rest, 1."""
    assert zipf_shares(1, 3) == (1, 1 / 2, 1 / 3)
    assert inclusion_probabilities((1, 1 / 2, 1 / 3), 2) == pytest.approx((1, 3 / 5, 2 / 5))


def test_arrays_are_known_and_plain_numbers_import_no_numpy() -> None:
    assert [is_array(value) for value in (3, 2.5, "n", np.arange(3), np.float64(2))] == [
        False,
        False,
        False,
        True,
        True,
    ]
    code = "import sys; from sparsecalc.core.arrays import is_array, least; least(1, 2); print('numpy' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
