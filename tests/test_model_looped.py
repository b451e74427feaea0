"""Parts of looped, picked and multimodal layers on tiny sizes: each number worked by hand.

The work: B = 2 sequences with T = 3 new tokens of S = 5, so 6 tokens and 2 * (3 + 4 + 5) = 24 query-key pairs.
"""

from collections.abc import Iterable

import pytest

from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload
from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Head, Table
from sparsecalc.model.block_residual import BlockResidual, MessageGates
from sparsecalc.model.block_sparse import BlockSparseAttention
from sparsecalc.model.feed_forward import DenseMlp
from sparsecalc.model.latent import Mla
from sparsecalc.model.matrix_lstm import MatrixLstm
from sparsecalc.model.ngram_embedding import NgramEmbedding
from sparsecalc.model.query_key_conv import QueryKeyConv
from sparsecalc.model.spec import Layer, ModelSpec, group_layers

WORK = Workload(batch_size=2, new_tokens=3, context_len=5)
TOKENS, PAIRS = 6, 24


def column(ops: Iterable[Op], name: str) -> dict[str, float]:
    return {op.name: getattr(op, name) for op in ops if getattr(op, name)}


def model(*layers: Layer) -> ModelSpec:
    return ModelSpec(
        id="made",
        model_type="made",
        hidden_size=10,
        vocab_size=7,
        tie_word_embeddings=True,
        tables=(Table(rows=7, size=10, is_input=True),),
        layer_groups=group_layers(layers),
        head=Head(in_features=10, out_features=7, tied=True),
    )


GQA = Gqa(hidden_size=10, num_attention_heads=4, num_key_value_heads=2, head_dim=3)
LAYER = Layer(mixers=(GQA,), feed_forwards=(DenseMlp(hidden_size=10, intermediate_size=6),))
PARAMS = 10 * 12 + 2 * 10 * 6 + 12 * 10 + 3 * 10 * 6


def test_another_pass_through_a_layer_is_computed_and_cached_but_not_stored_again() -> None:
    once, twice = model(LAYER), model(LAYER, LAYER.but(reused=True))
    assert once.num_hidden_layers == twice.num_hidden_layers == 1
    assert once.ops(WORK).total("params") == twice.ops(WORK).total("params") == PARAMS + 7 * 10
    one, two = once.ops(WORK), twice.ops(WORK)
    head = 2 * TOKENS * 10 * 7
    assert two.total("flops") - head == 2 * (one.total("flops") - head)
    assert two.total("kv_elements") == 2 * one.total("kv_elements") == 2 * 2 * 5 * 2 * 2 * 3
    assert two.sum(lambda op: op.read_params) - one.sum(lambda op: op.read_params) == PARAMS


def test_a_pass_that_keeps_nothing_is_computed_all_the_same() -> None:
    scores = GQA.but(kept=False).scores(WORK)
    assert (scores.flops, scores.kv_elements, scores.kv_elements_per_token) == (2 * PAIRS * 4 * 6, 0, 0)
    assert scores.cache_read_elements == 2 * 5 * 2 * 6


def test_a_layer_that_a_text_passes_by_is_only_stored() -> None:
    rows = model(LAYER, LAYER.but(idle=True)).ops(WORK)
    alone = model(LAYER).ops(WORK)
    assert rows.total("params") == alone.total("params") + PARAMS
    for name in ("flops", "kv_elements", "kv_elements_per_token", "activation_elements"):
        assert rows.total(name) == alone.total(name)
    assert rows.sum(lambda op: op.read_params) == alone.sum(lambda op: op.read_params)


def test_cross_attention_to_a_source_of_fixed_length() -> None:
    """9 frames: keys and values of all of them with the prompt, nothing new in a decode step."""
    cross = GQA.but(name="encoder_attn", key_value="cross", source_len=9)
    prompt, step = list(cross.ops(WORK)), list(cross.ops(Workload.decode(50, 2)))
    assert column(prompt, "flops")["k_proj"] == 2 * (2 * 9) * 10 * 6
    assert "k_proj" not in column(step, "flops")
    assert column(step, "flops")["scores_and_values"] == 2 * (2 * 9) * 4 * 6
    assert column(step, "kv_elements") == {"scores_and_values": 2 * 9 * 2 * 6}
    assert column(step, "kv_elements_per_token") == {}


# --- picked keys ----------------------------------------------------------------------------------------------------


def visible(position: int, block: int, limit: int) -> int:
    """MiniMax-M3: of the blocks up to a query's own, `limit` at most, its own among them."""
    blocks = position // block + 1
    return position + 1 if blocks <= limit else (limit - 1) * block + position % block + 1


def pooled(position: int, pool: int, limit: int) -> int:
    """GLM-5.3-Flash, Qwen4-Exp: whole pools up to `limit` tokens, and the tokens after the last whole pool."""
    return pool * min((position + 1) // pool, limit // pool) + (position + 1) % pool


@pytest.mark.parametrize(("block", "limit"), [(1, 1), (4, 2), (5, 3), (7, 1), (3, 100)])
def test_pairs_with_picked_blocks(block: int, limit: int) -> None:
    for new, context in ((40, 40), (7, 40), (1, 40), (3, 5)):
        work = Workload(new_tokens=new, context_len=context, batch_size=2)
        positions = range(context - new, context)
        assert work.block_pairs(block, limit) == 2 * sum(visible(p, block, limit) for p in positions)
        tokens = block * limit
        assert work.indexed_pairs(tokens, block) == 2 * sum(pooled(p, block, tokens) for p in positions)
    full = Workload(new_tokens=3, context_len=9, causal=False)
    assert full.block_pairs(block, limit) == 3 * min(9, block * limit)


SPARSE = BlockSparseAttention(
    hidden_size=10,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=3,
    index_n_heads=2,
    index_head_dim=5,
    index_block_size=2,
    index_topk_blocks=1,
)


def test_blocks_of_keys() -> None:
    """Positions 2, 3, 4 see 1, 2 and 1 keys of their own block of two."""
    ops = list(SPARSE.ops(WORK))
    params = column(ops, "params")
    assert params["indexer.q_proj"] == 10 * 2 * 5
    assert params["indexer.k_proj"] == 10 * 5
    assert (params["indexer.norms"], params["qk_norm"]) == (2 * 5, 2 * 3)
    assert column(ops, "flops")["scores_and_values"] == 2 * 2 * (1 + 2 + 1) * 4 * 6
    assert column(ops, "flops")["indexer.scores"] == 2 * PAIRS * 2 * 5
    assert column(ops, "index_elements") == {"indexer.scores": 2 * 5 * 5}
    assert column(ops, "kv_elements") == {"scores_and_values": 2 * 5 * 2 * 6}


def test_blocks_of_averaged_keys() -> None:
    """Blocks of two of five tokens: two whole ones. Position 2 picks one and sees itself; 3 picks one; 4 as 2."""
    ops = list(SPARSE.but(pooled=True, output_gate="per_element", bias=True).ops(WORK))
    assert column(ops, "params")["q_proj"] == 2 * (10 * 12 + 12)
    assert column(ops, "flops")["scores_and_values"] == 2 * 2 * (3 + 2 + 3) * 4 * 6
    assert column(ops, "flops")["indexer.scores"] == 2 * 2 * (1 + 2 + 2) * 2 * 5
    assert column(ops, "index_elements") == {"indexer.scores": 2 * 2 * 5}


MLA = Mla(
    hidden_size=10,
    num_attention_heads=2,
    q_lora_rank=6,
    kv_lora_rank=4,
    qk_nope_head_dim=3,
    qk_rope_head_dim=2,
    v_head_dim=5,
)


def test_pools_of_keys_in_latent_attention() -> None:
    mixer = MLA.but(index_n_heads=2, index_head_dim=3, index_topk=2, index_kpool=2)
    ops = list(mixer.ops(WORK))
    assert column(ops, "params")["indexer.index_kpool_compress_gate"] == 10 * 3
    assert column(ops, "params")["indexer.index_kpool_compress_ape"] == 2 * 3
    assert column(ops, "flops")["indexer.scores"] == 2 * 2 * (1 + 2 + 2) * 2 * (3 + 1)
    assert column(ops, "flops")["scores_and_values"] == 2 * 2 * (3 + 2 + 3) * 2 * (3 + 2 + 5)
    assert column(ops, "index_elements") == {"indexer.scores": 2 * 2 * 3}


def test_latents_of_another_layer_and_in_a_window() -> None:
    shared = list(MLA.but(kv_shared=True).ops(WORK))
    assert "kv_a_proj_with_mqa" not in column(shared, "params")
    assert column(shared, "params")["latent_norms"] == 6
    assert column(shared, "kv_elements") == {}
    assert column(shared, "cache_read_elements") == {"scores_and_values": 2 * 5 * 6}
    windowed = list(MLA.but(sliding_window=2).ops(WORK))
    assert column(windowed, "kv_elements") == {"scores_and_values": 2 * 2 * 6}
    assert column(windowed, "flops")["scores_and_values"] == 2 * 2 * (2 + 2 + 2) * 2 * (3 + 2 + 5)


# --- residuals, embeddings, recurrence -------------------------------------------------------------------------------


def test_residuals_over_blocks_and_messages_of_a_loop() -> None:
    residual = list(BlockResidual(hidden_size=10, queries=3, sources=4).ops(WORK))
    assert column(residual, "params") == {"block_residual.query": 30}
    assert column(residual, "flops") == {"block_residual": 4 * TOKENS * 3 * 4 * 10}
    gates = MessageGates(hidden_size=10, rank=2, sources=3, runs=True)
    params = {"message_gate.down_proj": 4 * 20 * 2, "message_gate.gate_proj": 8 * 2 * 10}
    running, idle = list(gates.ops(WORK)), list(gates.but(runs=False).ops(WORK))
    assert column(running, "params") == column(idle, "params") == params
    assert column(idle, "flops") == {}
    assert sum(column(running, "flops").values()) == 2 * TOKENS * sum(params.values()) + 4 * TOKENS * 4 * 3 * 10


def test_an_embedding_of_ngrams() -> None:
    part = NgramEmbedding(hidden_size=10, streams=2, embed_size=8, rows=100, lookups=4, ngram_size=3, conv_kernel=4)
    ops = list(part.ops(WORK))
    assert column(ops, "params") == {
        "ple.ngram_embedding": 100 * 2,
        "ple.key_proj": 8 * 20,
        "ple.value_proj": 8 * 10,
        "ple.norms": 3 * 20,
        "ple.conv1d": 20 * 4,
    }
    assert ops[0].read_params == 200 * TOKENS * 4 / 100
    assert column(ops, "state_elements") == {"ple.conv1d": 2 * (20 * 3 * 3 + 2)}


def test_the_matrix_memory_of_an_lstm() -> None:
    ops = list(MatrixLstm(hidden_size=10, num_heads=2, qk_dim=4, v_dim=6).ops(WORK))
    assert column(ops, "params") == {
        "q, k": 2 * 10 * 4,
        "v, ogate_preact": 2 * 10 * 6,
        "igate_preact, fgate_preact": 2 * (10 * 2 + 2),
        "multihead_norm": 6,
        "out_proj": 6 * 10,
    }
    assert column(ops, "state_elements") == {"state_update": 2 * 2 * (2 * 3 + 2 + 1)}
    assert column(ops, "flops")["state_update"] == 2 * TOKENS * (2 * 2 * 3) * 2


def test_convolved_queries_and_keys() -> None:
    """(4 + 2) * 3 = 18 channels, kernels of 3 and 2 taps, the second within a head of 3."""
    part = QueryKeyConv(num_attention_heads=4, num_key_value_heads=2, head_dim=3, depthwise_kernel=3, grouped_kernel=2)
    ops = list(part.ops(WORK))
    assert column(ops, "params") == {"conv_qk_depthwise": 18 * 3 + 18, "conv_qk_grouped": 18 * 6 + 18}
    assert column(ops, "flops") == {
        "conv_qk_depthwise": 2 * TOKENS * 18 * 3,
        "conv_qk_grouped": 2 * TOKENS * 18 * 6,
    }
    assert column(ops, "state_elements") == {"conv_qk_depthwise": 2 * (18 * 3 + 3)}
