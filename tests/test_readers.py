"""Readers of families stand alone: what several share lies beside them in read/, not in one of them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import sparsecalc.read
from sparsecalc.read.build import Body
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_or_moe_body, leading_dense, local_experts, routed_and_shared_experts

FAMILIES = Path(sparsecalc.read.__file__).parent / "families"
ANOTHER_NAME = {
    "apertus1p5_text": "apertus",
    "bailing_moe_v2": "bailing_moe",
    "codegen": "gptj",
    "emu3_text_model": "llama",
    "exaone": "llama",
    "falcon_mamba": "mamba",
    "flex_olmo": "olmoe",
    "granite": "llama",
    "granite4_vision_text": "llama",
    "granite_docling_text": "llama",
    "hunyuan_vl_text": "hunyuan_v1_dense",
    "hy_v4_vl_text": "hy_v4",
    "internlm3": "llama",
    "iquestcoder": "llama",
    "mimo": "qwen2",
    "ministral3": "mistral",
    "paddleocr_vl_text": "ernie4_5",
    "phi4_multimodal": "phi3",
    "sarvam_mla": "deepseek_v3",
    "sarvam_moe": "glm4_moe",
    "sdar": "qwen3",
    "sdar_moe": "qwen3_moe",
}
"""Families that are another one under a name of their own, and call its `read`."""


def borrowed(path: Path) -> Iterator[tuple[str, str]]:
    """Other families that a family's file imports from, with the names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("sparsecalc.read.families"):
            continue
        module = (node.module or "").removeprefix("sparsecalc.read.families").lstrip(".")
        yield from ((module, name.name) if module else (name.name, "read") for name in node.names)


def test_no_family_borrows_from_another_but_one_that_it_is() -> None:
    found = {path.stem: set(borrowed(path)) for path in FAMILIES.glob("*.py")}
    assert {name: pairs for name, pairs in found.items() if pairs} == {
        name: {(other, "read")} for name, other in ANOTHER_NAME.items()
    }


CONFIG = {
    "hidden_size": 8,
    "vocab_size": 32,
    "tie_word_embeddings": False,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "n_routed_experts": 4,
    "n_shared_experts": 2,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 5,
    "first_k_dense_replace": 1,
}


def fields(**more: int) -> Fields:
    return Fields({**CONFIG, **more}, "deepseek_v3")


def test_routed_and_shared_experts_have_one_width() -> None:
    moe = routed_and_shared_experts(fields(), 8)
    assert (moe.num_experts, moe.num_experts_per_tok, moe.moe_intermediate_size) == (4, 2, 5)
    assert moe.shared_intermediate_size == 2 * 5


def test_local_experts_are_of_intermediate_size() -> None:
    moe = local_experts(fields(num_local_experts=6), 8, shared=7)
    assert (moe.num_experts, moe.moe_intermediate_size, moe.shared_intermediate_size) == (6, 16, 7)


def test_the_first_layers_are_dense() -> None:
    config = fields()
    moe, is_dense = routed_and_shared_experts(config, 8), leading_dense(config, 3)
    assert is_dense == [True, False, False]
    found: Body = dense_or_moe_body(config, 8, [()] * 3, moe, is_dense)  # type: ignore[list-item]
    kinds = [layer.feed_forwards[0].kind for layer in found.layers]
    assert kinds == ["dense", "moe", "moe"]
