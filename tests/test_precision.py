"""Bytes of weights in every format, against the formats' own definitions and published checkpoints."""

import gguf
import pytest

from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload
from sparsecalc.data_files import read_data
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import load_model
from sparsecalc.read.config import read_config
from sparsecalc.read.number_formats import format_ids, number_format

MIXTRAL = read_config(
    {key: value for key, value in read_data("model_specs/mixtral-8x7b.json").items() if key != "sparsecalc"},
    model_id="mixtral",
)


@pytest.mark.parametrize("name", [f for f in format_ids() if f.split("_")[0][-1].isdigit() and "_" in f])
def test_gguf_formats_are_llama_cpps(name: str) -> None:
    elements, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name.upper()]]
    assert number_format(name).matrix_bytes(3, elements) == 3 * size
    assert number_format(name).bits_per_weight == 8 * size / elements


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("fp32", 32),
        ("bf16", 16),
        ("fp8-block", 8 + 32 / 128**2),
        ("mxfp4", 4.25),
        ("nvfp4", 4.5),
        ("int4", 4 + 16 / 128),
        ("nf4", 4.127),
        ("q8_0", 8.5),
        ("q4_k", 4.5),
        ("q6_k", 6.5625),
        ("q2_k", 2.625),
    ],
)
def test_real_bits_per_weight(name: str, bits: float) -> None:
    assert number_format(name).bits_per_weight == pytest.approx(bits, abs=1e-3)


MIXTRAL_CONFIG = {
    key: value for key, value in read_data("model_specs/mixtral-8x7b.json").items() if key != "sparsecalc"
}


def test_blocks_are_rounded_up_per_matrix() -> None:
    """DeepSeek-V3's kv_a_proj is 576 x 7168: 5 x 56 blocks of 128 x 128."""
    assert number_format("fp8-block").matrix_bytes(576, 7168) == 576 * 7168 + 5 * 56 * 4
    assert number_format("int8").matrix_bytes(576, 7168) == 576 * 7168 + 576 * 4
    assert number_format("fp8").matrix_bytes(576, 7168) == 576 * 7168 + 4


def test_deepseek_v3_checkpoint_scales() -> None:
    """deepseek-ai/DeepSeek-V3 stores 41,555,600 F32 elements: the scales, and a bias of 256 in each sparse layer.

    The checkpoint has one multi-token-prediction layer more than the text decoder, shaped like a sparse layer.
    """
    spec = load_model("deepseek-v3").spec
    precision = precision_for(spec, "fp8-block")
    eight_bit = [op for op in spec.ops(Workload()) if precision.weight_bytes(op) < 2 * op.params]
    scales = sum(
        op.layers * op.matrices * -(-op.rows // 128) * -(-op.cols // 128) for op in eight_bit if op.kind != "vector"
    )
    layer = next(group.layer for group in spec.layer_groups if any(f.kind == "moe" for f in group.layer.feed_forwards))
    more = sum(
        op.matrices * -(-op.rows // 128) * -(-op.cols // 128)
        for op in layer.ops(Workload())
        if op.matrices and op.component != "router"
    )
    biases = (58 + 1) * 256
    assert scales + more + biases == 41_555_600


def test_formats_by_component() -> None:
    half = precision_for(MIXTRAL, "experts=mxfp4")
    rows = MIXTRAL.ops(Workload())
    experts = sum(op.params * op.layers for op in rows if op.component == "routed_experts")
    rest = rows.total("params") - experts
    assert rows.sum(half.weight_bytes) == 2 * rest + experts * 4.25 / 8
    assert half.name == "bf16,routed_experts=mxfp4"


def test_safetensors_formats_keep_embedding_head_and_router() -> None:
    by = {op.name: op for op in MIXTRAL.ops(Workload())}
    int4 = precision_for(MIXTRAL, "int4")
    for name in ("embed_tokens", "lm_head", "router", "norm"):
        assert int4.weight_bytes(by[name]) == 2 * by[name].params
    q4 = precision_for(MIXTRAL, "q4_k")
    assert q4.weight_bytes(by["embed_tokens"]) == by["embed_tokens"].params * 4.5 / 8
    assert q4.weight_bytes(by["router"]) == 4 * by["router"].params


def test_a_components_format_overrides_what_the_checkpoint_says() -> None:
    config = {**MIXTRAL_CONFIG, "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}
    spec = read_config(config, model_id="m")
    own, asked, whole = (precision_for(spec, dtype) for dtype in (None, "experts=mxfp4", "bf16"))
    assert (own.name, own.origin) == ("fp8-block", "config")
    assert (asked.name, asked.origin) == ("fp8-block,routed_experts=mxfp4", "requested")
    assert whole.name == "bf16"
    rows = spec.ops(Workload())
    q_proj = next(op for op in rows if op.name == "q_proj")
    experts = next(op for op in rows if op.kind == "experts")
    assert own.format_of(q_proj) == asked.format_of(q_proj) != whole.format_of(q_proj)
    assert asked.format_of(experts) == number_format("mxfp4")


def test_an_unknown_quantization_is_said_and_not_guessed() -> None:
    config = {**MIXTRAL_CONFIG, "quantization_config": {"quant_method": "magic", "bits": 4}}
    spec = read_config(config, model_id="m")
    assert [note.code for note in spec.notes] == ["quantization"]
    assert "magic" in spec.notes[0].text
    assert "4.0 times smaller" in spec.notes[0].text
    assert precision_for(spec).name == "bf16"


def test_a_tied_head_takes_no_bytes_of_its_own_but_is_read() -> None:
    spec = load_model("qwen2.5-0.5b").spec
    precision = precision_for(spec, "bf16")
    head = next(op for op in spec.ops(Workload()) if op.name == "lm_head")
    assert isinstance(head, Op)
    assert (head.params, precision.weight_bytes(head)) == (0, 0)
    assert precision.read_weight_bytes(head) == 2 * 151936 * 896
