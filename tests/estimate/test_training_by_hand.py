"""Bytes and FLOPs of a training step of the hand-made models: 3 tokens, bf16, AdamW."""

from typing import Any

import pytest
from hand_made import BF16, DENSE, EXPERTS, SPARSE, model

from sparsecalc.core.workload import Workload
from sparsecalc.estimate.training import (
    Optimizer,
    Recipe,
    activation_bytes,
    adapter_params,
    is_adapted,
    trained_params,
    training_flops,
    training_memory,
)
from sparsecalc.library.formats import precision_for
from sparsecalc.read.number_formats import number_format

ADAMW = Optimizer(id="adamw", state_bytes_per_param=8, master_copy=True, source="")
LAYER = 2 * 60 + 216 + 156
"""Bytes that a layer of DENSE keeps with fused kernels: norms, attention, MLP (test_saved_tensors.py)."""
TAIL = 60 + 3 * 8 + 48
"""The final norm, the tokens' indices, the head's input."""


def recipe(**changes: Any) -> Recipe:
    fields = {"seq_len": 3, "compute": number_format("bf16"), "base": BF16, "optimizer": ADAMW, "kernels": "fused"}
    return Recipe(**fields | changes)


def states(spec: Any = DENSE, **changes: Any) -> dict[str, int]:
    found = training_memory(spec, recipe(**changes)).to_dict()
    assert found.pop("total_bytes") == sum(found.values())
    return found


def test_all_parameters_are_trained() -> None:
    """872 parameters: 2 bytes each of weights and gradients, 8 of Adam's states, 4 of the copy in fp32."""
    found = states()
    assert (found["weights_bytes"], found["gradients_bytes"]) == (1744, 1744)
    assert (found["optimizer_bytes"], found["master_bytes"], found["adapters_bytes"]) == (6976, 3488, 0)
    assert found["gathered_bytes"] == 0


def test_fp32_needs_no_copy_and_wider_gradients() -> None:
    fp32 = precision_for(DENSE, "fp32")
    found = states(compute=number_format("fp32"), base=fp32)
    assert (found["weights_bytes"], found["gradients_bytes"], found["master_bytes"]) == (3488, 3488, 0)
    plain = Optimizer(id="paged", state_bytes_per_param=8, master_copy=False, source="")
    assert states(optimizer=plain)["master_bytes"] == 0


@pytest.mark.parametrize(
    ("zero", "weights", "gradients", "optimizer", "gathered"),
    [
        (0, 1744, 1744, 6976, 0),
        (1, 1744, 1744, 1744, 0),
        (2, 1744, 436, 1744, 2 * 352),  # the gradients of one whole layer of 352 parameters
        (3, 436, 436, 1744, 2 * 352 + 2 * 352),  # and its weights
    ],
)
def test_zero_divides_states_over_4_devices(
    zero: int, weights: int, gradients: int, optimizer: int, gathered: int
) -> None:
    found = states(zero=zero, num_gpus=4)
    assert (found["weights_bytes"], found["gradients_bytes"]) == (weights, gradients)
    assert (found["optimizer_bytes"], found["gathered_bytes"]) == (optimizer, gathered)


def test_expert_parallelism_divides_the_experts_alone() -> None:
    """Of 1,224 parameters 576 are in experts, half of them here; ZeRO divides everything evenly."""
    found = states(SPARSE, num_gpus=2, ep=2)
    assert found["weights_bytes"] == 2 * (648 + 288)
    assert found["optimizer_bytes"] == 8 * (648 + 288)
    even = states(SPARSE, num_gpus=2, ep=2, zero=3)
    assert even["weights_bytes"] == 2 * 1224 // 2
    # a layer has 240 parameters outside and 288 in experts, half of them here: weights and gradients
    assert even["gathered_bytes"] == (2 + 2) * (240 + 144)


def test_parameters_of_adapters() -> None:
    """r * (in + out) per matrix, r = 2: queries 2 * 16, keys and values 2 * 12 each, output 2 * 16 in each of 2 layers;
    gate and up 2 * 2 * 14, down 2 * 14."""
    rows = DENSE.ops(Workload.prefill(3))
    attention = recipe(method="lora", rank=2, target="attention")
    assert trained_params(rows, attention) == (2 * (32 + 24 + 24 + 32), 0)
    assert trained_params(rows, recipe(method="lora", rank=2)) == (2 * (112 + 56 + 28), 0)
    assert trained_params(rows, recipe(method="lora", rank=2, target="ffn")) == (2 * 84, 0)
    assert trained_params(rows, recipe()) == (872, 0)
    down = next(op for op in rows if op.name == "down_proj")
    assert adapter_params(down, 2) == 28


def test_every_expert_has_adapters_of_its_own() -> None:
    """4 experts: gate and up 4 * 2 * 2 * 11, down 4 * 2 * 11 in each of 2 layers; the router has none."""
    rows = SPARSE.ops(Workload.prefill(3))
    asked = recipe(method="lora", rank=2, target="ffn")
    assert trained_params(rows, asked) == (0, 2 * (176 + 88))
    assert trained_params(rows, recipe()) == (648, 576)
    adapted = {op.name for op in rows if is_adapted(op, recipe(method="lora"))}
    assert adapted == {"q_proj", "k_proj", "v_proj", "o_proj", "experts.gate_up_proj", "experts.down_proj"}
    assert not any(is_adapted(op, recipe()) for op in rows)


def test_lora_trains_adapters_beside_frozen_weights() -> None:
    """224 parameters of adapters in 2 bytes."""
    found = states(method="lora", rank=2, target="attention")
    assert (found["weights_bytes"], found["adapters_bytes"], found["gradients_bytes"]) == (1744, 448, 448)
    assert (found["optimizer_bytes"], found["master_bytes"]) == (8 * 224, 4 * 224)


def test_quantized_weights_are_widened_one_matrix_at_a_time() -> None:
    """The largest of the quantized ones, 8 x 8 in 2 bytes."""
    base = precision_for(DENSE, "nf4")
    found = states(method="qlora", base=base)
    assert found["gathered_bytes"] == 2 * 64
    assert found["weights_bytes"] < 1744


# --- activations --------------------------------------------------------------------------------------------------


def test_activations() -> None:
    """Logits: 3 rows of 10, as they are, their logarithms and their gradients in fp32, and an index per row."""
    logits = 3 * (10 * (2 + 8) + 8)
    assert activation_bytes(DENSE, recipe()) == (TAIL + 2 * LAYER, 0, logits)
    assert activation_bytes(DENSE, recipe(fused_loss=True)) == (TAIL + 2 * LAYER, 0, 0)


def test_full_checkpointing_keeps_inputs_of_layers() -> None:
    """3 * 8 * 2 bytes for each of 2 layers; one is computed again, after the logits are gone."""
    kept, again, logits = activation_bytes(DENSE, recipe(checkpointing="full"))
    assert (kept, again, logits) == (TAIL + 2 * 48, LAYER, 324)
    assert states(checkpointing="full")["recomputed_bytes"] == LAYER - 324
    assert states(checkpointing="full", seq_len=3, fused_loss=True)["recomputed_bytes"] == LAYER


def test_selective_checkpointing_drops_score_matrices() -> None:
    """72 + 36 bytes per layer where attention is not fused, nothing where it is."""
    eager, selective = (
        activation_bytes(DENSE, recipe(kernels="eager", checkpointing=how)) for how in ("none", "selective")
    )
    assert selective[:2] == (eager[0] - 2 * 108, 108)
    assert activation_bytes(DENSE, recipe(checkpointing="selective"))[1] == 0


def test_adapters_keep_a_narrow_row_and_frozen_weights_no_input() -> None:
    """Per layer 4 matrices * 3 rows * rank 2 * 2 bytes; the inputs of MLP (48 and 36) and head are not kept."""
    found, _, _ = activation_bytes(DENSE, recipe(method="lora", rank=2, target="attention"))
    assert found == TAIL - 48 + 2 * (LAYER - 84 + 4 * 3 * 2 * 2)


# --- FLOPs --------------------------------------------------------------------------------------------------------

FORWARD = 2 * (3 * 672 + 192) + 480
"""3 tokens: per layer 2 * 336 of products each and 6 pairs of 2 * 2 * 8; the head 160 each."""


def test_flops_of_full_training() -> None:
    found = training_flops(DENSE, recipe())
    assert (found.forward, found.backward, found.attention) == (FORWARD, 2 * FORWARD, 3 * 2 * 192)
    assert (found.adapters, found.recomputed, found.model) == (0, 0, 3 * FORWARD)


def test_frozen_weights_need_no_gradient_of_their_own() -> None:
    """Adapters of 224 parameters: 2 * 3 * 224 forward, twice that backward; of the frozen products only the rows'."""
    found = training_flops(DENSE, recipe(method="lora", rank=2, target="attention"))
    adapters, scores = 2 * 3 * 224, 2 * 192
    assert found.forward == FORWARD + adapters
    assert found.backward == (FORWARD - scores) + 2 * scores + 2 * adapters
    assert found.adapters == 3 * adapters


def test_experts_adapters_compute_for_their_tokens_alone() -> None:
    """Each of 3 tokens uses 2 of 4 experts: of 2 * 264 parameters in experts, half."""
    found = training_flops(SPARSE, recipe(method="lora", rank=2, target="ffn"))
    assert found.adapters == 3 * 2 * 3 * 264


def test_checkpointing_computes_layers_or_scores_again() -> None:
    assert training_flops(DENSE, recipe(checkpointing="full")).recomputed == FORWARD - 480
    assert training_flops(DENSE, recipe(checkpointing="selective")).recomputed == 2 * 192
    lora = recipe(method="lora", rank=2, target="attention", checkpointing="full")
    assert training_flops(DENSE, lora).recomputed == FORWARD - 480 + 2 * 3 * 224


def test_experts_keep_their_rows_for_training() -> None:
    """Norms 2 * 60, attention 216, experts 48 + 48 + 12 + 192 + 96 + 72 + 36 + 96 (test_saved_tensors.py)."""
    kept, _, _ = activation_bytes(model(EXPERTS), recipe())
    assert kept == TAIL + 2 * (120 + 216 + 600)
