"""FLOPs against ledgers worked by hand, each with its citation."""

import pytest

from sparsecalc.core.workload import Workload
from sparsecalc.library.models import load_model
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.config import read_config

GPT2 = {
    "model_type": "gpt2",
    "vocab_size": 50257,
    "n_positions": 1024,
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "tie_word_embeddings": True,
}


def spec_of(name: str) -> ModelSpec:
    return load_model(name).spec


def test_gpt2_as_in_nanogpt() -> None:
    """karpathy/nanoGPT, transformer_sizing.ipynb: GPT-2 124M, one sequence of 1024, full square of scores.

    kqv 3,623,878,656 · scores and reduce 1,610,612,736 each · proj 1,207,959,552 · ffw 4,831,838,208 each, 12 layers;
    dense 79,047,426,048; forward 291,648,307,200 in all.
    """
    rows = read_config(GPT2, model_id="gpt2").ops(Workload.prefill(1024, causal=False))
    by_name: dict[str, int] = {}
    for op in rows:
        by_name[op.name] = by_name.get(op.name, 0) + op.flops * op.layers
    assert by_name["q_proj"] + by_name["k_proj"] + by_name["v_proj"] == 12 * 3_623_878_656
    assert by_name["scores_and_values"] == 12 * 2 * 1_610_612_736
    assert by_name["o_proj"] == 12 * 1_207_959_552
    assert by_name["up_proj"] == by_name["down_proj"] == 12 * 4_831_838_208
    assert by_name["lm_head"] == 79_047_426_048
    assert rows.total("flops") == 291_648_307_200
    # the notebook counts 124,337,664 parameters for its model without biases; OpenAI's GPT-2 has them: 124,439,808
    biases = 12 * (3 * 768 + 768 + 4 * 768 + 768 + 2 * 768) + 768
    assert rows.total("params") - biases == 124_337_664


@pytest.mark.parametrize("name", ["llama-2-7b", "llama-2-70b", "qwen2.5-7b", "opt-6.7b"])
def test_palm_appendix_b(name: str) -> None:
    """PaLM, arXiv:2204.02311, appendix B: forward per token = 2 N + 4 L H Q T; N: parameters that multiply."""
    spec = spec_of(name)
    length = 2048
    rows = spec.ops(Workload.prefill(length, causal=False))
    mixer = spec.layer_groups[0].layer.mixers[0]
    multiplying = sum(op.matrices * op.rows * op.cols * op.layers for op in rows if op.kind == "matmul")
    attention = 4 * spec.num_hidden_layers * mixer.num_attention_heads * mixer.head_dim * length
    assert rows.total("flops") == length * (2 * multiplying + attention)


def test_llama_2_7b_by_hand() -> None:
    """Llama-2, arXiv:2307.09288, table 1 and its config: 32 layers, H 4096, I 11008, vocabulary 32000."""
    per_layer = 4 * 4096 * 4096 + 3 * 4096 * 11008
    linear = 2 * (32 * per_layer + 4096 * 32000)
    spec = spec_of("llama-2-7b")
    decode = spec.ops(Workload.decode(2048)).total("flops")
    assert decode == linear + 32 * 4 * 4096 * 2048 == 14_287_896_576
    triangle = 2048 * 2049 // 2
    assert spec.ops(Workload.prefill(2048)).total("flops") == 2048 * linear + 32 * 4 * 4096 * triangle


def test_mixtral_multiplies_two_experts_per_token() -> None:
    """Mixtral, arXiv:2401.04088, table 1: k = 2 of 8 experts of width 14336."""
    per_layer = 2 * 4096 * 4096 + 2 * 4096 * 1024 + 8 * 4096 + 2 * 3 * 4096 * 14336
    linear = 2 * (32 * per_layer + 4096 * 32000)
    assert round(linear / 1e9, 2) == 25.50
    assert spec_of("mixtral-8x7b").ops(Workload.decode(1)).total("flops") == linear + 32 * 4 * 32 * 128
    prompt = spec_of("mixtral-8x7b").ops(Workload.prefill(128, causal=False)).total("flops")
    assert prompt == 128 * linear + 32 * 4 * 32 * 128 * 128 * 128


def test_deepseek_v3_latent_attention_absorbed_and_expanded() -> None:
    """DeepSeek-V2, arXiv:2405.04434, section 2.1: 128 heads, r 512, nope 128, rope 64, v 128 (V3 has the same)."""
    spec, context, layers, heads = spec_of("deepseek-v3"), 2048, 61, 128

    def of(work: Workload, name: str) -> int:
        return sum(op.flops * op.layers for op in spec.ops(work) if op.name == name)

    absorbed, expanded = Workload.decode(context), Workload.decode(context, latent_attention="expanded")
    assert of(absorbed, "scores_and_values") == layers * 2 * context * heads * (2 * 512 + 64)
    assert of(expanded, "scores_and_values") == layers * 2 * context * heads * (128 + 64 + 128)
    # absorbed: kv_b_proj touches the new token only; expanded: every cached one, again at each step
    assert of(absorbed, "kv_b_proj") == layers * 2 * 512 * heads * (128 + 128)
    assert of(expanded, "kv_b_proj") == context * of(absorbed, "kv_b_proj")


def test_a_window_limits_the_pairs() -> None:
    """gpt-oss (model card, arXiv:2508.10925): half the layers see 128 tokens."""
    work = Workload.prefill(2048)
    assert work.pairs(128) == sum(min(p + 1, 128) for p in range(2048))
    assert work.pairs(chunk=500) == sum(p % 500 + 1 for p in range(2048))
    assert Workload.decode(5000).pairs(128) == 128
    assert Workload(new_tokens=100, context_len=1000).pairs(300) == sum(min(p + 1, 300) for p in range(900, 1000))
    assert work.pooled_pairs(4) == sum((p + 1) // 4 for p in range(2048))
    assert work.pooled_pairs(4, 100) == sum(min((p + 1) // 4, 100) for p in range(2048))
    scores = [op for op in spec_of("gpt-oss-20b").ops(work) if op.name == "scores_and_values"]
    assert sorted(op.flops // (2 * 64 * 128) for op in scores) == [work.pairs(128), work.pairs()]


def test_linear_attention_costs_the_same_at_any_context() -> None:
    spec = spec_of("mamba2-2.7b")
    assert spec.ops(Workload.decode(10)).total("flops") == spec.ops(Workload.decode(100_000)).total("flops")


def test_decode_with_logits_for_the_last_position_only() -> None:
    spec = spec_of("llama-2-7b")
    every, last = (spec.ops(Workload.prefill(512, logits=which)).total("flops") for which in ("all", "last"))
    assert every - last == 511 * 2 * 4096 * 32000
