"""Seeded faults: a wrong formula must make `verify` fail, and name the component that is wrong."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload
from sparsecalc.library.models import LoadedModel
from sparsecalc.measure.counts.verification import verify_model
from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Head
from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.latent import Mla
from sparsecalc.model.spec import Layer
from sparsecalc.read.config import read_config

pytestmark = pytest.mark.slow

MOE = {
    "model_type": "qwen3_moe",
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "moe_intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,
    "num_experts": 6,
    "num_experts_per_tok": 2,
    "decoder_sparse_step": 1,
    "tie_word_embeddings": True,
}
WINDOWED = {
    "model_type": "gemma2",
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "sliding_window": 6,
}
LATENT = {
    "model_type": "deepseek_v3",
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "moe_intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 1,
    "kv_lora_rank": 32,
    "q_lora_rank": 24,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "n_group": 2,
    "topk_group": 1,
}

Ops = Callable[[Any, Workload], Iterator[Op]]


def changed(part: type, change: Callable[[Ops], Ops]) -> Callable[[pytest.MonkeyPatch], None]:
    return lambda patch: patch.setattr(part, "ops", change(part.ops))


def without(name: str) -> Callable[[Ops], Ops]:
    return lambda ops: lambda self, work: (op for op in ops(self, work) if op.name != name)


def as_if(**fields: Any) -> Callable[[Ops], Ops]:
    return lambda ops: lambda self, work: ops(self.but(**fields), work)


def hidden_over_heads(ops: Ops) -> Ops:
    return lambda self, work: ops(self.but(head_dim=self.hidden_size // self.num_attention_heads), work)


def one_expert_more(ops: Ops) -> Ops:
    return lambda self, work: ops(self.but(num_experts_per_tok=self.num_experts_per_tok + 1), work)


def no_rope_in_the_cache(ops: Ops) -> Ops:
    def wrong(self: Any, work: Workload) -> Iterator[Op]:
        from dataclasses import replace

        for op in ops(self, work):
            yield replace(op, kv_elements=work.batch_size * work.context_len * self.kv_lora_rank)

    return wrong


def one_norm(layer_ops: Ops) -> Ops:
    return lambda self, work: layer_ops(self.but(norms=self.norms[:1]), work)


FAULTS = {
    "the router is dropped": (MOE, changed(Moe, without("router")), "parameters: router"),
    "q/k norms are forgotten": (MOE, changed(Gqa, without("qk_norm")), "parameters: norm"),
    "a tied table is counted twice": (MOE, changed(Head, as_if(tied=False)), "parameters: lm_head"),
    "hidden/heads is taken for head_dim": (MOE, changed(Gqa, hidden_over_heads), "parameters: attention"),
    "one expert too many per token": (MOE, changed(Moe, one_expert_more), "parameters: active"),
    "one expert too many is computed": (
        MOE,
        changed(Moe, one_expert_more),
        "FLOPs, decode of 1 after 24: routed_experts",
    ),
    "every layer is windowed": (
        WINDOWED,
        changed(Gqa, as_if(sliding_window=6)),
        "FLOPs, prefill of 24 after 0: scores and values",
    ),
    "no layer is windowed": (WINDOWED, changed(Gqa, as_if(sliding_window=None)), "KV cache, bytes in bf16"),
    "the rotary part is left out of the cache": (LATENT, changed(Mla, no_rope_in_the_cache), "KV cache, bytes in bf16"),
    "shared experts are forgotten": (
        LATENT,
        changed(Moe, as_if(shared_intermediate_size=0)),
        "parameters: shared_experts",
    ),
    "a norm per layer is forgotten": (LATENT, changed(Layer, one_norm), "parameters: norm"),
}


def small(config: dict[str, Any]) -> LoadedModel:
    return LoadedModel(spec=read_config(config, model_id="small"), config=config)


@pytest.mark.parametrize("config", [MOE, WINDOWED, LATENT], ids=lambda config: config["model_type"])
def test_without_a_fault_all_is_exact(config: dict[str, Any]) -> None:
    assert verify_model(small(config)).status == "exact"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught_and_named(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config, seed, figure = FAULTS[fault]
    seed(monkeypatch)
    result = verify_model(small(config))
    assert result.status == "differs"
    assert figure in [verdict.figure for verdict in result.verdicts if not verdict.exact]
