"""Formats module by module: each scheme's own library is the witness where it can be had, else its documented sizes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload
from sparsecalc.data_files import read_data
from sparsecalc.device.assemble import device_model
from sparsecalc.device.find import load_accelerator
from sparsecalc.estimate.kernel import Setting
from sparsecalc.estimate.placement import Placement
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import load_model
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.config import read_config
from sparsecalc.read.stored.modules import Module
from sparsecalc.read.stored.patterns import start_or_end
from sparsecalc.read.stored.resolve import _METHODS, scheme_reader
from sparsecalc.read.stored.scheme import Scheme, Section

H, I, E, V, LAYERS = 128, 256, 4, 512, 3  # noqa: E741 - sizes as formulas name them
LLAMA = {
    "model_type": "llama", "vocab_size": V, "hidden_size": H, "intermediate_size": I, "num_hidden_layers": LAYERS,
    "num_attention_heads": 4, "num_key_value_heads": 2, "torch_dtype": "bfloat16", "tie_word_embeddings": False,
}  # fmt: skip
MOE = {
    **LLAMA, "model_type": "qwen3_moe", "num_experts": E, "num_experts_per_tok": 2, "moe_intermediate_size": 64,
    "head_dim": 32,
}  # fmt: skip
LINEAR = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"]
LINEAR += ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
SHAPES = dict.fromkeys(LINEAR, (H, H)) | {"self_attn.k_proj": (64, H), "self_attn.v_proj": (64, H)}
SHAPES |= {"mlp.gate_proj": (I, H), "mlp.up_proj": (I, H), "mlp.down_proj": (H, I)}
NAMES = {f"model.layers.{index}.{name}": SHAPES[name] for index in range(LAYERS) for name in LINEAR}
NAMES["lm_head"] = (V, H)


def spec_of(quantization: Any, config: dict[str, Any] = LLAMA, **more: Any) -> ModelSpec:
    return read_config({**config, "quantization_config": quantization, **more}, model_id="x")


def weights_bytes(spec: ModelSpec) -> int:
    return int(spec.ops(Workload()).sum(precision_for(spec).weight_bytes))


def read_scheme(section: Section) -> Scheme:
    """What the reader of the section's method finds; compressed-tensors where it names none."""
    reader = scheme_reader(section.entries.get("quant_method", "compressed-tensors"))
    assert reader
    return reader(section)


def quantized(quantization: dict[str, Any], names: list[str]) -> set[str]:
    """Those of the modules that a scheme's rule quantizes."""
    section = Section(quantization, precision_for(spec_of(None)).weights)
    rule = read_scheme(section).rule
    found = set()
    for name in names:
        rows, cols = NAMES.get(name, (H, H))
        if rule(Module((name,), "Linear", rows, cols, is_head=name == "lm_head")):
            found.add(name)
    return found


PATTERNS = st.sampled_from([
    "Linear", "Embedding", "lm_head", "model.layers.0.self_attn.q_proj", "model.layers.2.mlp.down_proj",
    "re:.*lm_head", "re:.*self_attn.*", "re:.*mlp.(gate|up)_proj$", "re:.*layers.(0|2).*", "re:.*down_proj",
    r"re:model\.layers\.1\..*", "re:.*[kv]_proj$", "re:layers", "model.layers.1", "re:.*mlp", "q_proj",
])  # fmt: skip
GROUPS = st.lists(st.lists(PATTERNS, min_size=1, max_size=3, unique=True), min_size=1, max_size=3)


@settings(max_examples=200)
@given(GROUPS, st.lists(PATTERNS, max_size=3, unique=True))
def test_targets_and_ignore_are_matched_as_compressed_tensors_does(groups: list[list[str]], ignore: list[str]) -> None:
    match = pytest.importorskip("compressed_tensors.utils.match")
    import torch

    linear = torch.nn.Linear(1, 1)
    bits = dict(zip(range(3), (2, 4, 8), strict=True))
    config = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {
            f"group_{index}": {"targets": targets, "weights": {"num_bits": bits[index], "type": "int"}}
            for index, targets in enumerate(groups)
        },
        "ignore": ignore,
    }
    rule = read_scheme(Section(config, precision_for(spec_of(None)).weights)).rule
    by_target = {target: bits[index] for index, targets in enumerate(groups) for target in targets}
    for name, (rows, cols) in NAMES.items():
        wanted = None
        if match.is_match(name, linear, list(by_target), ignore):
            wanted = by_target[match.match_targets(name, linear, list(by_target))[0]]
        found = rule(Module((name,), "Linear", rows, cols, is_head=name == "lm_head"))
        assert (found.bits if found else None) == wanted, name


@settings(max_examples=200)
@given(st.lists(st.sampled_from([
    "lm_head", "model.layers.1", "model.layers.0.self_attn.q_proj", "model.layers.*.self_attn", "self_attn",
    "down_proj",
    "mlp.gate", "gate", "model.layers.2.mlp", "model", "layers", r"model\.layers\.\d\.mlp\.up_proj", "proj",
]), max_size=4))  # fmt: skip
def test_modules_to_not_convert_as_transformers(skipped: list[str]) -> None:
    utils = pytest.importorskip("transformers.quantizers.quantizers_utils")
    match = start_or_end(skipped)
    for name in NAMES:
        assert match([name]) != utils.should_convert_module(name, skipped), name


WEIGHTS = [
    {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32},
    {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 64, "symmetric": False},
    {"num_bits": 4, "type": "int", "strategy": "channel"},
    {"num_bits": 3, "type": "int", "strategy": "group", "group_size": 64},
    {"num_bits": 8, "type": "int", "strategy": "channel"},
    {"num_bits": 8, "type": "float", "strategy": "channel"},
    {"num_bits": 8, "type": "float", "strategy": "tensor"},
    {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [64, 64]},
    {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16},
    {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32, "scale_dtype": "torch.uint8"},
    {"num_bits": 8, "type": "float", "strategy": "group", "group_size": 32, "scale_dtype": "torch.uint8"},
]


@pytest.mark.slow
@pytest.mark.parametrize("weights", WEIGHTS, ids=lambda entry: "-".join(str(value) for value in entry.values()))
def test_bytes_are_those_that_compressed_tensors_writes(weights: dict[str, Any]) -> None:
    quantization = pytest.importorskip("compressed_tensors.quantization")
    import torch
    from compressed_tensors.compressors import compress_module

    module = torch.nn.Sequential()
    module.add_module("q_proj", torch.nn.Linear(H, I, bias=False, dtype=torch.bfloat16))
    scheme = quantization.QuantizationScheme(targets=["Linear"], weights=quantization.QuantizationArgs(**weights))
    config = quantization.QuantizationConfig(config_groups={"group_0": scheme})
    quantization.apply_quantization_config(module, config)
    compress_module(module.q_proj)
    written = {name: t.numel() * t.element_size() for name, t in module.q_proj.state_dict().items()}
    found = read_scheme(Section(
        {"format": "pack-quantized", "config_groups": {"group_0": {"weights": weights, "targets": ["Linear"]}}},
        precision_for(spec_of(None)).weights,
    )).rule(Module(("q_proj",), "Linear", I, H))  # fmt: skip
    assert found
    assert found.matrix_bytes(I, H) == sum(written.values()), written


GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 64, "desc_act": False}
LINEAR_ELEMENTS = sum(rows * cols for name, (rows, cols) in NAMES.items() if name != "lm_head")
ROWS = sum(rows for name, (rows, _) in NAMES.items() if name != "lm_head")
COLS = sum(cols for name, (_, cols) in NAMES.items() if name != "lm_head")
MATRICES = len(NAMES) - 1
PLAIN = 2 * (2 * V * H + (2 * LAYERS + 1) * H)
"""Input table, LM head and norms in 16 bits."""


@pytest.mark.parametrize(
    ("quantization", "linear_bytes"),
    [
        (GPTQ, LINEAR_ELEMENTS * (0.5 + 2.5 / 64) + 4 * COLS),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, LINEAR_ELEMENTS * (0.5 + 2.5 / 128)),
        ({"quant_method": "auto-round", "bits": 2, "group_size": 32}, LINEAR_ELEMENTS * (0.25 + 2.25 / 32)),
        ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 8, "group_size": 64}}},
         LINEAR_ELEMENTS * (1 + 4 / 64)),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
         LINEAR_ELEMENTS * (0.5 + 4 / 64)),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, LINEAR_ELEMENTS + 4 * ROWS),
        ({"quant_method": "fbgemm_fp8"}, LINEAR_ELEMENTS + 4 * ROWS),
        ({"quant_method": "fp8", "activation_scheme": "static"}, LINEAR_ELEMENTS + 8 * MATRICES),
        ({"quant_method": "modelopt", "quant_algo": "FP8", "exclude_modules": ["lm_head"]},
         LINEAR_ELEMENTS + 8 * MATRICES),
        ({"quant_algo": "NVFP4", "group_size": 16, "exclude_modules": ["lm_head*"]},
         LINEAR_ELEMENTS * (0.5 + 1 / 16) + 8 * MATRICES),
        ({"quant_method": "bitnet"}, LINEAR_ELEMENTS / 4 + 2 * MATRICES),
        ({"quant_method": "quark", "exclude": ["lm_head"],
          "global_quant_config": {"weight": {"dtype": "fp4", "qscheme": "per_group", "group_size": 32}}},
         LINEAR_ELEMENTS * (0.5 + 1 / 32)),
        ({"quant_method": "torchao", "quant_type": "int8_weight_only"}, LINEAR_ELEMENTS + 2 * ROWS),
        ({"quant_method": "torchao", "quant_type": {"default": {"_type": "MXDynamicActivationMXWeightConfig"}}},
         LINEAR_ELEMENTS * (1 + 1 / 32)),
        ({"quant_method": "torchao", "quant_type": {"default": {"_type": "Float8DynamicActivationInt4WeightConfig"}}},
         LINEAR_ELEMENTS * (0.5 + 4 / 128)),
        ({"quant_method": "torchao", "quant_type": {"default": {"_type": "IntxWeightOnlyConfig", "_data": {
          "weight_dtype": {"_type": "torch.dtype", "_data": "int2"},
          "granularity": {"_type": "PerGroup", "_data": {"group_size": 64}}}}}}, LINEAR_ELEMENTS * (0.25 + 3 / 64)),
        ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 3, "group_size": 64, "axis": 0}}},
         LINEAR_ELEMENTS * (7 * 4 + 4) / 64),
        ({"quant_method": "auto-round", "bits": 8, "data_type": "fp", "group_size": [64, 64]},
         LINEAR_ELEMENTS * (1 + 4 / 64**2)),
        ({"quant_method": "gptq", "bits": 8, "group_size": 64, "modules_in_block_to_quantize": ["self_attn.q_proj"]},
         LAYERS * (H * H * (1 + 3 / 64 - 2) + 4 * H) + 2 * LINEAR_ELEMENTS),
        ({"quant_method": "quark", "exclude": ["lm_head", "re:model.layers.0.*"], "global_quant_config": {},
          "layer_quant_config": {"model.layers.1.mlp.up_proj": {"weight": {"dtype": "fp8_e4m3"}}}},
         2 * LINEAR_ELEMENTS - H * I + 4),
        ({"config_groups": {}, "sparsity_config": {"format": "sparse-24-bitmask", "targets": ["Linear"],
          "ignore": ["lm_head"]}, "quant_method": "compressed-tensors"},
         LINEAR_ELEMENTS * (2 / 2 + 1 / 8) + 16 * MATRICES),
        ({"config_groups": {}, "sparsity_config": {"format": "sparse-bitmask", "global_sparsity": 0.75,
          "targets": ["Linear"], "ignore": ["lm_head"]}, "quant_method": "compressed-tensors"},
         LINEAR_ELEMENTS * (2 / 4 + 1 / 8) + 16 * MATRICES + 8 * ROWS),
        ({"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig",
          "_data": {"group_size": 64}}}}, LINEAR_ELEMENTS * (0.5 + 4 / 64)),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)  # fmt: skip
def test_sizes_of_schemes(quantization: dict[str, Any], linear_bytes: float) -> None:
    spec = spec_of(quantization)
    assert not spec.notes
    assert weights_bytes(spec) == PLAIN + linear_bytes


def test_mlx_quantizes_embeddings_too_and_takes_overrides() -> None:
    entries = {"group_size": 64, "bits": 4, "lm_head": False, "model.layers.1.mlp.down_proj": {"bits": 8}}
    spec = read_config({**LLAMA, "quantization": entries}, model_id="x")
    down = H * I
    wanted = (LINEAR_ELEMENTS + V * H) * (0.5 + 4 / 64) + down / 2 + 2 * (V * H + (2 * LAYERS + 1) * H)
    assert weights_bytes(spec) == wanted


def test_layers_that_differ_become_groups() -> None:
    spec = spec_of({**GPTQ, "dynamic": {r".*\.1\..*": {"bits": 8}, r"-:.*\.2\..*down_proj": {}}})
    assert [group.positions for group in spec.layer_groups] == [(0,), (1,), (2,)]
    downs = [op for op in spec.ops(Workload()) if op.name == "down_proj"]
    assert [op.stored_as[0][0].bits if op.stored_as else None for op in downs] == [4, 8, None]


def test_single_experts_may_be_left_alone() -> None:
    ignored = [f"model.layers.1.mlp.experts.2.{name}" for name in ("gate_proj", "up_proj", "down_proj")]
    weights = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32}
    spec = spec_of(
        {"quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": ["lm_head", *ignored],
         "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}},
        MOE,
    )  # fmt: skip
    downs = [op for op in spec.ops(Workload()) if op.name == "experts.down_proj"]
    assert [sorted((fmt.bits, count) for fmt, count in op.stored_as) for op in downs] == [
        [(4, E)],
        [(4, E - 1), (16, 1)],
    ]


def test_mixed_precision_names_experts_together() -> None:
    layers = {f"model.layers.{index}.mlp.experts": {"quant_algo": "NVFP4"} for index in range(LAYERS)}
    layers["model.layers.0.self_attn.q_proj"] = {"quant_algo": "FP8"}
    spec = spec_of({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": layers}, MOE)
    formats = {(op.name, fmt.id) for op in spec.ops(Workload()) for fmt, _ in op.stored_as}
    assert formats == {("experts.gate_up_proj", "nvfp4"), ("experts.down_proj", "nvfp4"), ("q_proj", "fp8")}


FP4_GROUP = {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "float", "group_size": 16}}
FP8_GROUP = {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "float", "strategy": "channel"}}


@pytest.mark.parametrize(
    ("quantization", "name", "form"),
    [
        ({"config_groups": {"all": FP4_GROUP}}, "nvfp4-w4a16", "weight-only"),
        ({"config_groups": {"all": {**FP4_GROUP, "input_activations": None}}}, "nvfp4-w4a16", "weight-only"),
        ({"config_groups": {"all": {**FP4_GROUP, "input_activations": {"num_bits": 4}}}}, "nvfp4", "nvfp4"),
        ({"config_groups": {"all": FP8_GROUP}}, "fp8-channel", "weight-only"),
        ({"config_groups": {"all": {**FP8_GROUP, "input_activations": {"num_bits": 8}}}}, "fp8-channel", "fp8-channel"),
        ({"quant_method": "modelopt", "quant_algo": "W4A16_NVFP4"}, "nvfp4-w4a16", "weight-only"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "nvfp4", "nvfp4"),
        ({"quant_method": "torchao", "quant_type": {"default": {"_type": "NVFP4WeightOnlyConfig"}}},
         "nvfp4-w4a16", "weight-only"),
        ({"quant_method": "torchao", "quant_type": "float8_weight_only"}, "fp8-channel", "weight-only"),
        ({"quant_method": "auto-round", "bits": 4, "data_type": "nv_fp", "group_size": 16}, "nvfp4-w4a16",
         "weight-only"),
        ({"quant_method": "auto-round", "bits": 4, "act_bits": 4, "data_type": "nv_fp", "group_size": 16}, "nvfp4",
         "nvfp4"),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp4"}}}, "mxfp4-w4a16", "weight-only"),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp4"},
          "input_tensors": {"dtype": "fp4"}}}, "mxfp4", "mxfp4"),
    ],
)  # fmt: skip
def test_weights_alone_are_widened_where_activations_stay_in_16_bits(
    quantization: dict[str, Any], name: str, form: str
) -> None:
    """On B200, which multiplies FP4 and FP8: what the activations are decides."""
    spec = spec_of(quantization)
    device = device_model(load_accelerator("b200-sxm"))
    setting = Setting(precision_for(spec), Placement(), device.peak_flops_per_second, device.accelerator)
    up = next(op for op in spec.ops(Workload()) if op.name.startswith(("up_proj", "gate_up_proj")))
    assert up.stored_as[0][0] is not None
    assert up.stored_as[0][0].id == name
    assert setting.form(up)[0] == form
    for asked in ("nvfp4-w4a16", "mxfp4-w4a16"):
        wide = Setting(precision_for(spec, asked), Placement(), device.peak_flops_per_second, device.accelerator)
        assert wide.form(up) == ("weight-only", "bf16")


def test_gpt_oss_leaves_all_but_the_experts_alone() -> None:
    config = {k: v for k, v in read_data("model_specs/gpt-oss-20b.json").items() if k != "sparsecalc"}
    left = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
    spec = spec_of({"quant_method": "mxfp4", "modules_to_not_convert": left}, config, torch_dtype="bfloat16")
    assert {op.component for op in spec.ops(Workload()) if op.stored_as} == {"routed_experts"}
    assert precision_for(spec).name == "mxfp4,attention=bf16"


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("bfloat16", 2), ("float16", 2)])
def test_the_configs_dtype_counts(dtype: str, size: int) -> None:
    spec = spec_of(None, torch_dtype=dtype)
    assert weights_bytes(spec) == size * spec.ops(Workload()).total("params")
    assert precision_for(spec).origin == "config"


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "int8", "auto", "magic"])
def test_a_dtype_that_no_unquantized_weight_has_is_said(dtype: str) -> None:
    spec = spec_of(None, torch_dtype=dtype)
    assert [note.code for note in spec.notes] == ["dtype"]
    assert weights_bytes(spec) == 2 * spec.ops(Workload()).total("params")


def test_the_kv_cache_that_a_checkpoint_has_scales_for() -> None:
    scheme = {"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": False}
    weights = {"num_bits": 4, "type": "float", "group_size": 16}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    spec = spec_of({"quant_method": "compressed-tensors", "config_groups": groups, "kv_cache_scheme": scheme})
    assert precision_for(spec).kv_cache.id == "fp8"
    assert precision_for(spec, None, "bf16").kv_cache.id == "bf16"
    assert precision_for(spec_of({"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"})).kv_cache.id == "fp8"


def test_hf_quant_config_beside_the_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    section = {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps({"producer": {}, "quantization": section}))
    for name in (tmp_path, tmp_path / "config.json"):
        spec = load_model(str(name)).spec
        assert (precision_for(spec).name, precision_for(spec).kv_cache.id) == ("fp8", "fp8")


@pytest.mark.parametrize("quantization", [
    {"quant_method": "magic"}, {"bits": 4}, {"quant_method": "gptq", "bits": "four"}, {"quant_method": "modelopt"},
    {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}, {"quant_method": "exl2", "bits": None}, [1], "fp8",
    {"quant_method": "torchao", "quant_type": "int1_magic"}, {"quant_method": "quark", "global_quant_config":
     {"weight": {"dtype": "int3"}}}, {"quant_method": "fp8", "weight_block_size": 3},
    {"quant_method": "gptq", "bits": 99},
])  # fmt: skip
def test_what_is_not_understood_is_said(quantization: Any) -> None:
    spec = spec_of(quantization)
    assert [note.code for note in spec.notes] == ["quantization"]
    assert weights_bytes(spec) == 2 * spec.ops(Workload()).total("params")


def test_every_scheme_survives_any_json() -> None:
    """No traceback and no other exception than a note or an InputError, whatever a section holds."""
    from sparsecalc.core.errors import InputError

    values: tuple[Any, ...] = (None, True, 3, -1, 2.5, "x", "re:(", [], ["a", 1], {}, {"a": {"b": []}}, {"x": None})
    keys = {"bits", "group_size", "config_groups", "ignore", "dynamic", "extra_config", "quant_type", "quant_config"}
    keys |= {"modules_to_not_convert", "weight_block_size", "quantized_layers", "exclude_modules", "kv_cache_scheme"}
    keys |= {"global_quant_config", "layer_quant_config", "exclude", "skip_modules", "sparsity_config", "quant_algo"}
    keys |= {"tensor_storage", "block_name_to_quantize", "modules_in_block_to_quantize", "layer_type_quant_config"}
    for method in sorted(_METHODS):
        for key in sorted(keys):
            for value in values:
                try:
                    spec = spec_of({"quant_method": method, "bits": 4, key: value})
                except InputError:
                    continue
                assert weights_bytes(spec) > 0


def test_served_checkpoints_are_read_without_a_warning() -> None:
    for path in sorted((Path(__file__).parent / "real_configs").glob("*.json")):
        config = json.loads(path.read_text())
        if "quantization_config" in config and not re.search(r"kimi-k3", path.stem):
            spec = read_config(config, model_id="x")
            assert not [note for note in spec.notes if note.code == "quantization"], path.stem


def test_an_op_of_two_formats_sums_its_matrices() -> None:
    spec = spec_of({**GPTQ, "dynamic": {".*gate_proj": {"bits": 8}}})
    gate_up = next(op for op in spec.ops(Workload()) if op.name == "gate_up_proj")
    assert isinstance(gate_up, Op)
    assert [(fmt.bits, count) for fmt, count in gate_up.stored_as] == [(8, 1), (4, 1)]
    wanted = sum(fmt.matrix_bytes(I, H) for fmt, _ in gate_up.stored_as)
    assert precision_for(spec).weight_bytes(gate_up) == wanted


def test_deepseek_v4_pro_has_the_bytes_of_its_index() -> None:
    """`total_size` of model.safetensors.index.json is 864,704,792,696 (quoted by a public derivation from the files).

    That is with the prediction layer, all of whose shapes are the decoder's, and three int64 tables of 129280 x 6
    experts; what differs then are the FP32 vectors (position biases, sinks), which count as bf16 here.
    """

    def block(rows: int, cols: int) -> int:  # an E8M0 scale for each 128 x 128
        return rows * cols + -(-rows // 128) * -(-cols // 128)

    hidden, heads, wide, experts = 7168, 128, 3072, 384
    attention = block(1536, hidden) + block(heads * 512, 1536) + block(512, hidden) + block(16384, 4096)
    attention += block(hidden, 16384) + heads * 4 + 2 * (1536 + 512)
    routed = experts * 3 * (wide * hidden // 2 + wide * hidden // 32) + experts * (2 * hidden + 4)
    streams = 2 * 4 * (24 * 4 * hidden + 24 + 3) + 4 * (4 * 4 * hidden + 4 + 1)
    prediction = attention + routed + 3 * block(wide, hidden) + 2 * block(hidden, hidden) + streams + 5 * 2 * hidden
    published = 864_704_792_696 - prediction - 3 * 129280 * 6 * 8
    found = weights_bytes(load_model("deepseek-v4-pro").spec)
    assert 0 <= published - found < 1e-5 * published


@pytest.mark.parametrize(
    "scheme", [{"bits": 4, "group_size": 64}, {"quant_method": "bitsandbytes", "load_in_4bit": True}]
)
def test_hyper_connections_are_parameters_that_no_scheme_takes(scheme: dict[str, Any]) -> None:
    small = json.loads((Path(__file__).parent / "small_configs/deepseek_v4.json").read_text())[0]
    found = read_config({**small, "quantization_config": scheme}, model_id="x")
    quantized = {name for group in found.layer_groups for (_, name), _ in group.formats} | {
        name for (_, name), _ in found.formats
    }
    assert "q_a_proj" in quantized
    assert not {"attn_hc.fn", "ffn_hc.fn", "hc_head"} & quantized


SKIPPING: dict[str, tuple[str, dict[str, Any]]] = {
    "bitsandbytes": ("llm_int8_skip_modules", {"load_in_4bit": True}),
    "bitnet": ("modules_to_not_convert", {}),
    "torchao": ("modules_to_not_convert", {"quant_type": "int8_weight_only"}),
}


@pytest.mark.parametrize("method", SKIPPING)
@pytest.mark.parametrize("skipped", [None, [], ["lm_head"], ["model.layers.1", "v_proj"], ["re", "layers.2.mlp"]])
def test_the_lm_head_is_left_alone_where_no_list_is_given(method: str, skipped: list[str] | None) -> None:
    """As transformers finds the modules, on a model without memory."""
    pytest.importorskip("transformers")
    from transformers.quantizers.base import HfQuantizer
    from transformers.quantizers.quantizers_utils import should_convert_module

    from sparsecalc.measure.architecture.meta_model import meta_model

    left = HfQuantizer.get_modules_to_not_convert(meta_model(LLAMA), skipped)
    key, more = SKIPPING[method]
    found = quantized({"quant_method": method, key: skipped, **more}, list(NAMES))
    assert found == {name for name in NAMES if should_convert_module(name, left)}


def test_the_lm_head_of_awq_is_quantized_where_it_is_said() -> None:
    assert "lm_head" not in quantized({"quant_method": "awq"}, list(NAMES))
    assert "lm_head" in quantized({"quant_method": "awq", "lm_head": True}, list(NAMES))


def test_autorounds_blocks_and_ends_of_names() -> None:
    entries = {"quant_method": "auto-round", "block_name_to_quantize": "model.layers.0,model.layers.1"}
    assert quantized(entries, list(NAMES)) == {name for name in NAMES if re.match(r"model\.layers\.[01]\.", name)}
    kept = {
        **entries,
        "extra_config": {"up_proj": {"bits": 16}, "lm_head": {"bits": 8}, r".*layers\.2.*q_": {"bits": 4}},
    }
    found = quantized(kept, list(NAMES))
    assert {"lm_head", "model.layers.2.self_attn.q_proj"} < found
    assert not [name for name in found if name.endswith("up_proj")]


def test_a_tree_that_modelopt_leaves_alone_is_not_its_neighbour() -> None:
    names = [f"model.layers.{index}.mlp.up_proj" for index in (1, 10)]
    entries = {"quant_method": "modelopt", "quant_algo": "FP8", "exclude_modules": ["model.layers.1*", "lm_head"]}
    assert quantized(entries, names) == {names[1]}


def test_exl3_adds_two_vectors_and_may_name_each_modules_bits() -> None:
    entries = {"quant_method": "exl3", "bits": 3.0, "head_bits": 6}
    spec = spec_of(entries)
    vectors = 2 * (V + H) + 2 * (ROWS + COLS)
    assert weights_bytes(spec) == PLAIN + vectors + V * H * (6 / 8 - 2) + LINEAR_ELEMENTS * 3 / 8
    assert [note.code for note in spec.notes] == ["quantization"]
    own = spec_of({**entries, "tensor_storage": {name: {"bits_per_weight": 4} for name in NAMES}})
    assert weights_bytes(own) == PLAIN + vectors + V * H * (4 / 8 - 2) + LINEAR_ELEMENTS / 2
    assert not own.notes


@pytest.mark.parametrize("entries", [{"quant_method": "quark"}, {"quant_algo": "FP8", "exclude_modules": ["*"]}])
def test_a_scheme_that_takes_no_module_is_said(entries: dict[str, Any]) -> None:
    spec = spec_of(entries)
    (note,) = spec.notes
    assert "quantizes none of the modules" in note.text
    assert weights_bytes(spec) == weights_bytes(spec_of(None))
