"""Parameters, FLOPs and bytes of the hand-made models."""

import pytest
from hand_made import BF16, DENSE, EXPERTS, SPARSE, mlp, model

from sparsecalc.core.components import COMPONENTS
from sparsecalc.core.routing import Routing
from sparsecalc.estimate.costs import activation_bytes, experts, flops, layer_kinds, logits_bytes, memory, params
from sparsecalc.estimate.costs import step_tokens as tokens_of
from sparsecalc.estimate.load import Load
from sparsecalc.model.basic_parts import Head
from sparsecalc.read.number_formats import number_format


def test_parameters() -> None:
    found = params(DENSE)
    assert (found.total, found.active, found.active_excl_embedding, found.active_excl_embedding_and_head) == (
        872,
        872,
        872 - 80,
        872 - 160,
    )
    wanted = {"embedding": 80, "attention": 2 * 192, "dense_ffn": 2 * 144, "norm": 5 * 8, "lm_head": 80}
    assert found.by_component == dict.fromkeys(COMPONENTS, 0) | wanted


def test_a_token_uses_2_of_4_experts() -> None:
    found = params(SPARSE)
    assert (found.total, found.active) == (1224, 936)
    assert found.by_component["routed_experts"] == 2 * 288
    assert found.active_by_component["routed_experts"] == 2 * 144
    assert found.active_by_component["router"] == found.by_component["router"] == 2 * 32


def test_a_tied_head_is_the_table_again() -> None:
    found = params(DENSE.but(tie_word_embeddings=True, head=Head(in_features=8, out_features=10, tied=True)))
    assert (found.total, found.active_excl_embedding, found.active_excl_embedding_and_head) == (792, 712, 712)


def test_kinds_of_layers() -> None:
    (kind,) = layer_kinds(SPARSE)
    assert (kind.kind, kind.count, kind.params, kind.active) == ("gqa+moe", 2, 528, 384)


def test_flops() -> None:
    """Per layer 2 * (192 + 144) of products, and 2 * 2 heads * (4 + 4) of each pair; the head 2 * 80.

    The token at 5 sees 5 tokens: 2 * (672 + 160) + 160. A prompt of 3 has 6 pairs: (2 * (3 * 672 + 192) + 480) / 3.
    """
    at_5, of_3 = flops(DENSE, 5), flops(DENSE, 3)
    assert (at_5.decode_per_token, of_3.prefill_per_token) == (1824, 1632)
    assert at_5.decode_by_component["attention"] == 2 * (384 + 160)
    assert flops(DENSE, 3, causal=False).prefill_per_token == (2 * (3 * 672 + 9 * 32) + 480) / 3
    assert flops(SPARSE, 5).decode_per_token == 2 * (384 + 160 + 64 + 2 * 144) + 160


LOAD = Load(batch_size=2, context_len=5, max_num_batched_tokens=3)


def test_bytes() -> None:
    """Weights 2 * 872; a token has 2 layers * 8 elements of cache, 10 tokens are held."""
    found = memory(DENSE, BF16, LOAD)
    assert (found.weights_bytes, found.kv_cache_bytes_per_token, found.kv_cache_bytes) == (1744, 32, 320)
    assert (found.activation_bytes, found.logits_bytes, found.index_cache_bytes, found.state_bytes) == (240, 120, 0, 0)
    assert found.total_bytes == 1744 + 320 + 240, "intermediate results and logits are not held together"
    assert memory(DENSE, BF16, LOAD, framework_bytes=7).total_bytes == 1744 + 320 + 240 + 7
    assert found.bits_per_param == 16


def test_formats_by_component() -> None:
    """fp8 weights of one byte with unquantized norms; the head in bf16; a cache of one byte per element."""
    fp8 = number_format("fp8")
    mixed = BF16.but(weights=fp8, kv_cache=fp8, by_component={"lm_head": number_format("bf16")})
    found = memory(DENSE, mixed, LOAD)
    by_component = found.weights_by_component
    assert by_component["lm_head"] == 160
    assert by_component["norm"] == 2 * 40
    assert by_component["dense_ffn"] == 2 * (2 * fp8.matrix_bytes(6, 8) + fp8.matrix_bytes(8, 6))
    assert found.kv_cache_bytes == 160


@pytest.mark.parametrize(
    ("batch", "context", "chunk", "tokens"), [(2, 5, 3, 3), (2, 5, 100, 10), (7, 5, 3, 7), (1, 1, 100, 1)]
)
def test_tokens_of_the_largest_step(batch: int, context: int, chunk: int, tokens: int) -> None:
    assert tokens_of(Load(batch_size=batch, context_len=context, max_num_batched_tokens=chunk)) == tokens


def test_intermediate_results() -> None:
    """3 tokens in 2 bytes: input and residual 2 * 8 each, and the larger of attention and MLP.

    attention    q 8, k 4, v 4, mixed values 8                       = 24 per token
    MLP          gate and up 2 I, their product I                    = 18 at I = 6, 36 at I = 12
    experts      2 rows of: input 8, gate and up 6, product 3, result 8 = 50
    """
    assert activation_bytes(DENSE, BF16, 3) == 2 * 3 * (16 + 24)
    assert activation_bytes(model(mlp(12)), BF16, 3) == 2 * 3 * (16 + 36)
    assert activation_bytes(SPARSE, BF16, 3) == 2 * 3 * (16 + 50)


def test_logits_have_a_copy_in_fp32() -> None:
    """2 sequences of 10 logits in 2 and in 4 bytes."""
    assert logits_bytes(DENSE, BF16, 2) == 2 * 10 * (2 + 4)
    assert logits_bytes(DENSE.but(head=None), BF16, 2) == 0


def test_experts_that_a_step_reaches() -> None:
    """2 tokens reach 4 * (1 - (1/2)^2) = 3 of 4 experts: a quarter of 576 parameters is not read.

    Of the table, 2 of 10 rows: 1224 - 144 - 64 = 1016 parameters of 2 bytes.
    """
    found = experts(SPARSE, BF16, LOAD, Routing())
    assert found
    assert (found.layers, found.num_experts, found.num_experts_per_tok, found.batch_size) == (2, 4, 2, 2)
    assert found.expected_distinct == pytest.approx(3)
    assert found.weight_bytes_read == pytest.approx(2 * 1016)
    assert experts(DENSE, BF16, LOAD, Routing()) is None


def test_shared_experts_are_used_by_every_token() -> None:
    """One more gated MLP of width 5 per layer: 3 * 8 * 5."""
    shared = params(model(EXPERTS.but(shared_intermediate_size=5)))
    assert shared.by_component["shared_experts"] == shared.active_by_component["shared_experts"] == 240
    assert shared.active == 936 + 240
