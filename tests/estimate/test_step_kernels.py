"""The kernels that a step of a hand-made model launches, one by one, with counts worked by hand."""

from typing import Any

import pytest
from hand_made import ATTENTION, BF16, DENSE, EXPERTS, SPARSE, device, mlp, model

from sparsecalc.core.ops import Ledger
from sparsecalc.core.precision import Precision
from sparsecalc.core.routing import Routing
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.expert_kernels import tile_rows
from sparsecalc.estimate.kernel import Kernel, Setting, wide_format
from sparsecalc.estimate.kernels import kernels
from sparsecalc.estimate.placement import Placement
from sparsecalc.model.basic_parts import Product
from sparsecalc.model.recurrent import Mamba2
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.number_formats import number_format


def launched(
    spec: ModelSpec, *works: Workload, placement: Placement | None = None, precision: Precision = BF16
) -> list[Kernel]:
    setting = Setting(precision, placement or Placement(), device().peak_flops_per_second, "h100-sxm")
    rows = [spec.ops(work) for work in works]
    return kernels(rows, works, rows[0], setting)


def named(found: list[Kernel], name: str) -> Kernel:
    (one,) = [kernel for kernel in found if kernel.name == name]
    return one


def counts(kernel: Kernel, **wanted: float) -> None:
    names = ("flops", "weight_bytes", "cache_bytes", "activation_bytes", "vector_bytes")
    assert {name: getattr(kernel, name) for name in names} == pytest.approx(dict.fromkeys(names, 0) | wanted)


DECODE = Workload.decode(5, 3)
"""3 sequences of 5 tokens, the new one among them: 3 rows in every product, 15 query-key pairs."""


def test_neighbouring_projections_are_one_kernel_and_norms_are_one_each() -> None:
    assert [(kernel.name, kernel.layers) for kernel in launched(DENSE, DECODE)] == [
        ("embed_tokens", 1),
        ("input_norm", 2),
        ("post_norm", 2),
        ("q_proj+k_proj+v_proj", 2),
        ("scores_and_values", 2),
        ("rotary embedding, cache write", 2),
        ("o_proj", 2),
        ("gate_up_proj", 2),
        ("activation", 2),
        ("down_proj", 2),
        ("final_norm", 1),
        ("lm_head", 1),
    ]


def test_products() -> None:
    """q, k, v: 8 x (8 + 4 + 4) weights; each reads 8 and writes 8 or 4 elements of 3 rows, in 2 bytes."""
    found = launched(DENSE, DECODE)
    counts(named(found, "q_proj+k_proj+v_proj"), flops=768, weight_bytes=256, activation_bytes=240)
    counts(named(found, "o_proj"), flops=384, weight_bytes=128, activation_bytes=96)
    counts(named(found, "gate_up_proj"), flops=576, weight_bytes=192, activation_bytes=120)
    counts(named(found, "down_proj"), flops=288, weight_bytes=96, activation_bytes=84)
    counts(named(found, "lm_head"), flops=480, weight_bytes=160, activation_bytes=108)
    product = named(found, "o_proj")
    assert (product.family, product.form, product.dtype, product.extent) == ("gemm", "bf16", "bf16", 3)


def test_elementwise_kernels() -> None:
    """Norms read the rows and the residual and write both... 3 times 3 rows of 8; the MLP's product 3 times 3 x 6."""
    found = launched(DENSE, DECODE)
    counts(named(found, "embed_tokens"), activation_bytes=2 * 2 * 24)
    counts(named(found, "input_norm"), activation_bytes=3 * 2 * 24)
    counts(named(found, "activation"), activation_bytes=3 * 2 * 18)
    assert {kernel.dtype for kernel in found if kernel.family == "vector"} == {""}


def test_attention_of_a_decode_step() -> None:
    """15 pairs x 2 heads x (4 + 4) x 2 FLOPs; 15 positions x 8 elements of cache; 3 x 2 x (4 + 4) moved."""
    found = launched(DENSE, DECODE)
    scores = named(found, "scores_and_values")
    counts(scores, flops=480, cache_bytes=240, activation_bytes=96)
    assert (scores.family, scores.launches, scores.extent, scores.rows_per_cache_head) == ("attention_decode", 1, 5, 2)
    # keys and values of 3 tokens are read and written, queries and results once: 2 * (2 * 24 + 48)
    counts(named(found, "rotary embedding, cache write"), activation_bytes=192)


def test_attention_of_a_prompt_reads_no_cache() -> None:
    """A prompt of 3 tokens: 1 + 2 + 3 pairs."""
    scores = named(launched(DENSE, Workload.prefill(3)), "scores_and_values")
    counts(scores, flops=2 * 6 * 2 * 8, activation_bytes=96)
    assert (scores.family, scores.extent, scores.rows_per_cache_head) == ("attention_prefill", 3, 6)


def test_a_chunk_and_sequences_share_products_and_attend_apart() -> None:
    """3 decoding sequences and a prompt of 4 tokens: 7 rows in every product."""
    found = launched(DENSE, DECODE, Workload.prefill(4))
    counts(named(found, "o_proj"), flops=2 * 7 * 64, weight_bytes=128, activation_bytes=7 * 32)
    assert named(found, "o_proj").extent == 7
    decode, prompt = (kernel for kernel in found if kernel.name == "scores_and_values")
    assert (decode.family, decode.flops) == ("attention_decode", 480)
    assert (prompt.family, prompt.flops) == ("attention_prefill", 2 * 10 * 2 * 8)
    assert sum(kernel.name.startswith("rotary") for kernel in found) == 2


def test_two_devices_split_heads_and_copy_what_cannot_be_split() -> None:
    """Queries are halved; the one key-value head is on both, whose products and cache are therefore whole."""
    found = launched(DENSE, DECODE, placement=Placement(tp=2))
    # q 384 / 2 + k and v 192 each; 128 / 2 + 64 + 64 bytes; inputs whole, outputs of q halved: (96 * 3/4 + 72 + 72)
    counts(named(found, "q_proj+k_proj+v_proj"), flops=576, weight_bytes=192, activation_bytes=72 + 72 + 72)
    counts(named(found, "scores_and_values"), flops=240, cache_bytes=240, activation_bytes=48)
    counts(named(found, "rotary embedding, cache write"), activation_bytes=2 * (2 * 24 + 24))
    counts(named(found, "down_proj"), flops=144, weight_bytes=48, activation_bytes=84 * 3 / 4)
    counts(named(found, "activation"), activation_bytes=54)


def test_two_key_value_heads_share_the_cache() -> None:
    """4 query heads of 4 over 2 key-value heads on 2 devices: half of 15 positions x 16 elements."""
    spec = model(mlp(), ATTENTION.but(num_attention_heads=4, num_key_value_heads=2))
    found = launched(spec, DECODE, placement=Placement(tp=2))
    counts(named(found, "scores_and_values"), flops=480, cache_bytes=240, activation_bytes=2 * 3 * 4 * 8 / 2)
    counts(named(found, "rotary embedding, cache write"), activation_bytes=2 * (2 * 3 * 16 / 2 + 3 * 4 * 8 / 2))


@pytest.mark.parametrize(("tp", "moved"), [(1, 108), (2, 81)])
def test_products_of_activations_have_no_weights(tp: int, moved: int) -> None:
    """3 tokens x 2 rows of 4, each times a matrix 4 x 5 that was computed before; one of two sides is split."""
    product = Product(name="mix", rows=2, in_features=4, out_features=5)
    found = launched(DENSE.but(final=(product,)), DECODE, placement=Placement(tp=tp))
    counts(named(found, "mix"), flops=2 * 6 * 20 / tp, activation_bytes=moved)
    assert named(found, "mix").family == "gemm"


def test_a_window_bounds_what_is_read() -> None:
    """Of 5 tokens, 2 are in the window: 3 x 2 pairs, 3 x 2 positions x 8 elements."""
    windowed = model(mlp(), ATTENTION.but(sliding_window=2))
    counts(named(launched(windowed, DECODE), "scores_and_values"), flops=192, cache_bytes=96, activation_bytes=96)


def test_the_cache_is_read_in_its_own_format() -> None:
    narrow = BF16.but(kv_cache=number_format("fp8"))
    scores = named(launched(DENSE, DECODE, precision=narrow), "scores_and_values")
    assert (scores.cache_bytes, scores.form, scores.dtype) == (120, "fp8", "bf16")
    wide = BF16.but(kv_cache=number_format("fp32"))
    assert named(launched(DENSE, DECODE, precision=wide), "scores_and_values").form == "bf16"


def test_experts_are_one_layer() -> None:
    """One token selects 2 of 4 experts of 3 x 8 x 3 weights.

    flops 2 * 2 * 72; padding 2 experts * half a tile of 16 rows * 2 * 72; weights 2 * 144 bytes;
    moved 2 * 2 rows * (8 + 2 * 3 + 3 + 8); between 2 * (2 rows * (6 + 8 + 3) + 8)
    """
    found = launched(SPARSE, Workload.decode(5))
    layer = named(found, "experts")
    counts(layer, flops=288, weight_bytes=288, activation_bytes=100, vector_bytes=84)
    assert (layer.padding_flops, layer.distinct, layer.extent, layer.layers) == (2 * 72 * 16, 2, 1, 2)
    counts(named(found, "router"), flops=64, weight_bytes=64, activation_bytes=2 * 12)
    assert not [kernel for kernel in found if kernel.name == "activation"], "it is inside the layer of experts"


def test_more_tokens_reach_more_experts() -> None:
    """4 * (1 - (1 - 2/4) ** 3) = 3.5 of 4 experts."""
    assert named(launched(SPARSE, DECODE), "experts").distinct == pytest.approx(3.5)


@pytest.mark.parametrize(
    ("tokens", "rows"), [(1, 16), (32, 16), (33, 32), (96, 32), (97, 64), (512, 64), (513, 128), (10**6, 128)]
)
def test_tiles_of_fused_experts(tokens: int, rows: int) -> None:
    """Rows of a tile by tokens of the step: vLLM's default configuration of its fused kernels."""
    assert tile_rows(tokens) == rows


def test_two_devices_split_every_expert() -> None:
    """36 of an expert's 72 elements on each; rows of 8 stay whole, of the inner 6 and 3 half is here."""
    layer = named(launched(SPARSE, Workload.decode(5), placement=Placement(tp=2)), "experts")
    inner = {"activation_bytes": 2 * 2 * (8 + 3 + 1.5 + 8), "vector_bytes": 2 * (2 * (3 + 8 + 1.5) + 8)}
    counts(layer, flops=144, weight_bytes=144, **inner)
    assert (layer.padding_flops, layer.distinct) == (2 * 36 * 16, 2)


def test_a_rank_keeps_what_is_dispatched_to_it() -> None:
    """2 copies of the attention with 2 tokens each, 8 pairs in all: the busiest of 2 ranks has more than half of them,
    keeps intermediate results of its own pairs, and sums up its own 2 tokens."""
    layer = named(launched(SPARSE, Workload.decode(5, 2), placement=Placement(dp=2, ep=2)), "experts")
    busiest = Routing().busiest_rank(4, 2, 4, 2)
    assert 4 < busiest.pairs < 8
    counts(
        layer,
        flops=2 * 72 * busiest.pairs,
        weight_bytes=144 * busiest.distinct,
        activation_bytes=2 * 25 * busiest.pairs,
        vector_bytes=2 * (17 * busiest.pairs + 2 * 8),
    )
    assert layer.extent == pytest.approx(busiest.pairs / busiest.distinct)


def test_ranks_without_data_parallel_attention_keep_all_pairs() -> None:
    """2 tokens, 4 pairs: intermediate results of all of them are on both ranks."""
    layer = named(launched(SPARSE, Workload.decode(5, 2), placement=Placement(tp=2, ep=2)), "experts")
    busiest = Routing().busiest_rank(4, 2, 2, 2)
    assert layer.flops == pytest.approx(2 * 72 * busiest.pairs)
    assert layer.vector_bytes == pytest.approx(2 * (17 * 4 + 2 * 8))


def test_zero_compute_experts_take_pairs_from_every_rank() -> None:
    """4 tokens choose 2 of 4 + 2: 5 whole pairs of the 16 / 3 that are expected, shared like those."""
    spec = model(EXPERTS.but(zero_experts=2))
    layer = named(launched(spec, Workload.decode(5, 4), placement=Placement(tp=2, ep=2)), "experts")
    busiest = Routing().busiest_rank(4, 4 / 3, 4, 2)
    assert layer.flops == pytest.approx(2 * 72 * busiest.pairs * 5 / (16 / 3))


def test_a_state_is_read_and_written_once_per_step() -> None:
    """Mamba-2, 3 sequences: 4 x 4 x 8 elements of state, and 4 inputs of a convolution over 16 + 2 x 8 channels.

    state        2 * 3 * 128 read and written, 2 * 3 * 16 in and out; two products of 2 FLOPs per element
    convolution  2 * 3 * 128 read and written, 2 * 3 * 32 in and out, elementwise
    """
    mixer = Mamba2(hidden_size=8, num_heads=4, head_dim=4, n_groups=1, state_size=8, conv_kernel=4)
    group = DENSE.layer_groups[0]
    found = launched(DENSE.but(layer_groups=(group.but(layer=group.layer.but(mixers=(mixer,))),)), DECODE)
    scan, convolution = named(found, "state_update"), named(found, "conv1d")
    counts(scan, flops=2 * 3 * 128 * 2, cache_bytes=2 * (2 * 3 * 128 + 2 * 3 * 16))
    counts(convolution, cache_bytes=2 * (2 * 3 * 128 + 2 * 3 * 32))
    assert (scan.family, convolution.family) == ("scan", "vector")


# --- forms --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "peaks", "form"),
    [
        ("bf16", {"bf16": 1.0}, ("bf16", "bf16")),
        ("bf16", {"fp16": 1.0, "fp32": 1.0}, ("bf16", "fp16")),
        ("bf16", {"fp32": 1.0}, ("bf16", "fp32")),
        ("fp8", {"bf16": 1.0, "fp8": 2.0}, ("fp8", "fp8")),
        ("fp8", {"bf16": 1.0}, ("weight-only", "bf16")),
        ("int4", {"bf16": 1.0, "int4": 4.0}, ("weight-only", "bf16")),
    ],
)
def test_the_form_of_a_products_operands(stored: str, peaks: dict[str, float], form: tuple[str, str]) -> None:
    """Multiplied as stored where the device can and engines do, else widened to 16 bits."""
    precision = BF16.but(weights=number_format(stored))
    op = next(op for op in DENSE.ops(DECODE) if op.name == "down_proj")
    assert Setting(precision, Placement(), peaks, "h100-sxm").form(op) == form


def test_the_widest_format_that_is_multiplied() -> None:
    assert wide_format({"fp8": 1.0, "fp16": 1.0, "bf16": 1.0}) == "bf16"
    assert wide_format({"fp32": 1.0, "fp16": 1.0}) == "fp16"
    assert wide_format({"int8": 1.0}) == "int8"


def test_idle_ops_launch_nothing() -> None:
    """Rows without tokens, such as an encoder's in decode."""
    rows: Any = Ledger(DENSE.ops(Workload.decode(5, 0)))
    setting = Setting(BF16, Placement(), {"bf16": 1.0}, "h100-sxm")
    named_kernels = [kernel.name for kernel in kernels([rows], [Workload.decode(5, 0)], rows, setting)]
    assert "o_proj" not in named_kernels
    assert "down_proj" not in named_kernels
