"""What a training step keeps for its backward pass, row by row: 3 tokens of the hand-made layers in 2 bytes."""

from typing import Any

import pytest
from hand_made import ATTENTION, EXPERTS, mlp

from sparsecalc.core.workload import Workload
from sparsecalc.estimate.training_activations import Kernels, Saved, TrainingStep, kept, saved_by, saved_by_layer
from sparsecalc.model.basic_parts import Norm, Projection
from sparsecalc.model.feed_forward import RwkvChannelMix
from sparsecalc.model.latent import Mla
from sparsecalc.model.spec import Layer

NORM = Norm(name="norm", size=8)


def rows(part: Any, kernels: Kernels = "fused", size: int = 2, work: Workload | None = None) -> dict[str, int]:
    step = TrainingStep(work=work or Workload.prefill(3), size=size, kernels=kernels)
    return {row.name: row.nbytes for row in saved_by(part, step)}


def test_a_fused_norm_keeps_its_input_and_a_number_per_row() -> None:
    """3 * 8 elements of 2 bytes, 3 of 4; LayerNorm keeps mean and deviation."""
    assert rows(NORM) == {"norm: input": 48, "norm: statistics": 12}
    assert rows(NORM.but(bias=True)) == {"norm: input": 48, "norm: statistics": 24}


@pytest.mark.parametrize("kernels", ["torch", "eager"])
def test_transformers_norm_works_on_a_copy_in_fp32(kernels: Kernels) -> None:
    assert rows(NORM, kernels) == {"norm: input in fp32": 96, "norm: statistics": 12, "norm: normalized": 48}
    assert rows(NORM.but(bias=True), kernels) == {"norm: input": 48, "norm: statistics": 24}, "torch fuses LayerNorm"


def test_fused_attention_keeps_no_scores() -> None:
    """Input 8, queries 2 * 4, keys and values 4 + 4, mixed values 2 * 4 per token; a logarithm per token and head."""
    wanted = {"attention: input": 48, "queries": 48, "keys, values": 48, "mixed values": 48, "log-sum-exp": 24}
    assert rows(ATTENTION) == rows(ATTENTION, "torch") == wanted


def test_eager_attention_keeps_scores_of_every_pair() -> None:
    """3 * 3 pairs of 2 heads, in 4 bytes and in 2; keys and values once per query head."""
    wanted = {"attention: input": 48, "queries": 48, "keys, values per query head": 96, "mixed values": 48}
    assert rows(ATTENTION, "eager") == wanted | {"softmax in fp32": 72, "probabilities": 36}
    in_fp32 = rows(ATTENTION, "eager", size=4)
    assert in_fp32["softmax in fp32"] == 72
    assert "probabilities" not in in_fp32


def test_a_window_that_bounds_costs_torch_a_mask_and_copies() -> None:
    windowed = ATTENTION.but(sliding_window=2)
    masked = rows(windowed, "torch")
    assert (masked["keys, values"], masked["mask"]) == (96, 3 * 3 * 2)
    assert rows(windowed) == rows(ATTENTION)
    assert rows(ATTENTION.but(sliding_window=3), "torch") == rows(ATTENTION)


def test_gates_norms_and_shared_keys() -> None:
    gated = rows(ATTENTION.but(output_gate="per_element"))
    assert (gated["gate"], gated["gated values"]) == (48, 48)
    # one norm over 2 query heads and 1 key head of 4: 12 elements and 3 numbers per token
    normed = rows(ATTENTION.but(qk_norm=8))
    assert (normed["q, k norm: input"], normed["q, k norm: statistics"]) == (72, 36)
    assert "keys, values" not in rows(ATTENTION.but(key_value="shared"))


@pytest.mark.parametrize(("kernels", "kept_twice"), [("fused", 72), ("torch", 108), ("eager", 108)])
def test_a_gated_mlp(kernels: Kernels, kept_twice: int) -> None:
    """Gate and up of width 6, SiLU's result unless it is fused, and the product that goes down."""
    assert rows(mlp(), kernels) == {"mlp: input": 48, "mlp: up and activation": kept_twice, "mlp: input of down": 36}


def test_a_plain_mlp() -> None:
    assert rows(mlp().but(gated=False))["mlp: up and activation"] == 36


def test_experts_keep_the_rows_that_are_routed_to_them() -> None:
    """6 choices of 2 experts each for 3 tokens: indices of 8 bytes, rows of 8 in and out, inner rows of 3."""
    wanted = {
        "experts: input": 48,
        "router probabilities": 3 * 4 * 4,
        "routing weights": 12,
        "routing indices": 4 * 6 * 8,
        "routed rows": 96,
        "experts: up and activation": 72,
        "experts: input of down": 36,
        "experts: results": 96,
    }
    assert rows(EXPERTS) == wanted
    assert rows(EXPERTS, "torch") == wanted | {"experts: up and activation": 108}
    eager = {"experts: up and activation": 108, "experts: results": 192, "routing indices": 3 * 6 * 8}
    assert rows(EXPERTS, "eager") == wanted | eager


def test_zero_compute_experts_take_rows_away() -> None:
    """Of 6 choices among 4 + 2 experts, 4 fall on one with weights; the router still tells 6 apart."""
    found = rows(EXPERTS.but(zero_experts=2))
    assert (found["routed rows"], found["router probabilities"], found["routing weights"]) == (64, 72, 12)


def test_shared_experts_are_an_mlp_on_the_same_input() -> None:
    found = rows(EXPERTS.but(shared_intermediate_size=5, shared_gate=True))
    assert (found["mlp: up and activation"], found["mlp: input of down"]) == (60, 30)
    assert "mlp: input" not in found
    assert found["shared expert: result"] == 48


def test_other_parts_keep_what_their_products_need() -> None:
    assert rows(Projection(name="extra", in_features=8, out_features=5)) == {"extra: input": 48}


def test_an_input_that_two_products_read_is_kept_once() -> None:
    """RWKV's channel mix: key and receptance read 8, value reads the key's 6."""
    part = RwkvChannelMix(hidden_size=8, intermediate_size=6)
    assert rows(part) == {"key: input": 48, "value: input": 36}


def test_latent_attention_is_counted_by_its_products() -> None:
    """Queries from 8 over 6, latents of 5 + 2 from 8: one input of 8, then 6 and 5, and twice what attention moves."""
    part = Mla(
        hidden_size=8,
        num_attention_heads=2,
        q_lora_rank=6,
        kv_lora_rank=5,
        qk_nope_head_dim=3,
        qk_rope_head_dim=2,
        v_head_dim=4,
    )
    found = rows(part)
    assert (found["q_a_proj: input"], found["q_b_proj: input"], found["kv_b_proj: input"]) == (48, 36, 30)
    assert "kv_a_proj: input" not in found


def test_a_layer_is_its_parts() -> None:
    step = TrainingStep(work=Workload.prefill(3), size=2, kernels="fused")
    layer = Layer(mixers=(ATTENTION,), feed_forwards=(mlp(),), norms=(NORM, NORM))
    assert kept(saved_by_layer(layer, step), frozenset({"attention", "dense_ffn"})) == 2 * 60 + 216 + 156


def test_inputs_are_kept_for_weights_that_are_trained() -> None:
    """Frozen weights need no input; what follows them needs its own gradient all the same."""
    step = TrainingStep(work=Workload.prefill(3), size=2, kernels="eager")
    attention, dense = list(saved_by(ATTENTION, step)), list(saved_by(mlp(), step))
    nothing = frozenset[Any]()
    assert kept(attention, nothing) == kept(attention, frozenset({"attention"})) - 48 - 48
    assert kept(dense, nothing) == 108
    assert kept(dense, frozenset({"dense_ffn"})) == 108 + 48 + 36
    assert kept(attention, nothing, scores=False) == kept(attention, nothing) - 72 - 36


def test_bytes_of_a_tensor() -> None:
    assert Saved(name="x", elements=3, bytes_each=4).nbytes == 12
