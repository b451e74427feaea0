"""llama.cpp's file types as names: published sizes, the tables behind them, and how they are asked for."""

import pytest
from conftest import Run

from sparsecalc.api import load
from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Workload
from sparsecalc.data_files import read_data
from sparsecalc.decide.model_name import load_variant
from sparsecalc.read.stored.file_types import GgufModel, GgufTensor, file_type_names, ggml_types, tensor_types

PUBLISHED = read_data("measurements/gguf_file_sizes.json")


def weight_bytes(name: str, dtype: str | None = None) -> int:
    variant = load_variant(name, dtype)
    return int(variant.loaded.spec.ops(Workload()).sum(variant.precision.weight_bytes))


@pytest.mark.parametrize(("model", "file_type", "gib", "source"), PUBLISHED["files"])
def test_a_published_file_weighs_what_is_said(model: str, file_type: str, gib: float, source: str) -> None:
    rounding = 0.5 * 10.0 ** -len(str(gib).partition(".")[2])
    assert source in PUBLISHED["sources"]
    assert weight_bytes(model, file_type) / 2**30 == pytest.approx(gib, rel=0.01, abs=rounding)


def test_thirty_pairs_and_more_are_published() -> None:
    assert len({(model, file_type) for model, file_type, *_ in PUBLISHED["files"]}) == len(PUBLISHED["files"]) >= 30


@pytest.mark.parametrize("name", file_type_names())
@pytest.mark.parametrize("model", ["llama-3.1-8b", "mixtral-8x7b", "falcon-7b", "nemotron-nano-9b-v2", "gemma-3n-e4b"])
def test_every_file_type_stores_every_tensor_in_whole_blocks(model: str, name: str) -> None:
    variant = load_variant(model, name)
    for op in variant.loaded.spec.ops(Workload()):
        for fmt, count in op.stored_as:
            assert count > 0
            assert "+" in fmt.id or op.cols % (fmt.block_cols or 1) == 0
    assert variant.precision.name == file_type_names()[name]
    assert variant.precision.origin == "requested"


def test_the_name_the_option_and_the_alias_are_one() -> None:
    asked = [
        ("llama-3.1-8b+q4_k_m", None),
        ("llama-3.1-8b", "Q4_K_M"),
        ("llama-3.1-8b", "q4_k"),
        ("llama-3.1-8b", "q4-k-m"),
    ]
    assert len({weight_bytes(name, dtype) for name, dtype in asked}) == 1


def test_a_component_may_have_a_format_of_its_own() -> None:
    assert weight_bytes("gpt-oss-120b", "q8_0,experts=mxfp4") == weight_bytes("gpt-oss-120b", "mxfp4_moe")
    assert weight_bytes("llama-3.1-8b+q4_k_m,head=bf16") > weight_bytes("llama-3.1-8b+q4_k_m")


def test_the_library_takes_file_types() -> None:
    assert load("llama-3.1-8b").memory(dtype="q4_k_m").weights_bytes == weight_bytes("llama-3.1-8b", "q4_k_m")
    assert load("llama-3.1-8b+q4_k_m").memory().weights_bytes == weight_bytes("llama-3.1-8b", "q4_k_m")


def test_llama_cpp_keeps_recurrent_states_in_f32() -> None:
    """149.6 MiB for one sequence of Qwen3.5-27B, as llama.cpp prints; it keeps one input of each convolution less."""
    assert load("qwen3.5-27b+q4_k_m").memory().state_bytes / 2**20 == pytest.approx(149.6, rel=0.015)


def test_a_mix_without_rules_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"'ud-q2_k_xl' is a mix of its makers.*Name the .gguf file itself"):
        load_variant("deepseek-v3", "ud-q2_k_xl")


def test_show_names_the_file_type(run: Run) -> None:
    found = run("show", "llama-3.1-8b", "--dtype", "q4_k_m", "--json").json["memory"]
    assert (found["weights_dtype"], found["weights_dtype_from"]) == ("q4_k_m", "requested")


def types(
    file_type: str,
    names: list[str],
    *,
    cols: int = 512,
    layers: int = 16,
    experts: int = 1,
    group: float = 1,
    **more: bool,
) -> list[str]:
    tensors = [
        GgufTensor(name, 512, cols, 8 if "_exps" in name else 1, int(name.split(".")[1]) if "blk" in name else None)
        for name in names
    ]
    return tensor_types(tensors, file_type, GgufModel(layers, experts, group, **more))


def test_more_bits_go_to_the_first_and_last_eighths_and_every_third_layer() -> None:
    names = [f"blk.{index}.ffn_down.weight" for index in range(16)]
    marked = [index for index, kind in enumerate(types("q4_k_m", names)) if kind == "q6_k"]
    assert marked == [0, 1, 4, 7, 10, 13, 14, 15]
    values = [name.replace("ffn_down", "attn_v") for name in names]
    assert types("q4_k_m", values) == types("q4_k_m", names)


def test_a_tied_table_is_stored_as_the_output_would_be() -> None:
    assert types("q4_k_m", ["token_embd.weight"]) == ["q6_k"]
    assert types("q4_k_m", ["output.weight", "token_embd.weight"]) == ["q6_k", "q4_k"]
    assert types("iq2_xxs", ["output.weight", "token_embd.weight"]) == ["q5_k", "q2_k"]


def test_few_experts_and_wide_groups_get_more_bits() -> None:
    names = ["output.weight", "blk.3.attn_v.weight", "blk.3.attn_k.weight", "blk.3.attn_output.weight"]
    assert types("q4_k_s", names, experts=8) == ["q6_k", "q8_0", "q8_0", "q5_k"]
    assert types("q2_k", names[1:], group=4) == ["q4_k", "q2_k", "q3_k"]
    assert types("q2_k", names[1:]) == ["q3_k", "q2_k", "q3_k"]
    assert types("q4_k_s", ["blk.9.attn_v.weight"], is_70b=True, group=8) == ["q5_k"]


@pytest.mark.parametrize(
    ("file_type", "cols", "kind"),
    [
        ("q4_k_s", 96, "q5_0"),
        ("q6_k", 96, "q8_0"),
        ("iq2_xs", 96, "iq4_nl"),
        ("q3_k_s", 96, "q4_0"),
        ("q5_k_s", 96, "q5_1"),
        ("q4_k_s", 20, "f16"),
        ("q8_0", 20, "f16"),
    ],
)
def test_rows_that_are_no_whole_blocks_fall_back(file_type: str, cols: int, kind: str) -> None:
    assert types(file_type, ["blk.9.attn_q.weight"], cols=cols) == [kind]


def test_experts_alone_are_mxfp4() -> None:
    names = [
        "output.weight",
        "token_embd.weight",
        "blk.0.attn_q.weight",
        "blk.0.ffn_up_exps.weight",
        "blk.0.ffn_gate_inp.weight",
    ]
    assert types("mxfp4_moe", names, experts=8) == ["q8_0", "q8_0", "q8_0", "mxfp4", "f32"]


def test_the_tables_name_types_of_ggml() -> None:
    table = read_data("gguf_file_types.json")
    named = [
        kind
        for entry in table["file_types"].values()
        for rules in entry.values()
        if isinstance(rules, list)
        for kind in rules
    ]
    kinds = {kind[1] for kind in named if isinstance(kind, list)} | set(table["fallback"]["types"].values())
    assert kinds | {entry["type"] for entry in table["file_types"].values()} <= set(ggml_types())
