"""`sparsecalc import`: spec files from a path, a GGUF file or the Hub, held against the checkpoint's own headers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, bare
from fake_hub import FakeHub, Tensors

from sparsecalc.estimate.costs import params
from sparsecalc.library.models import load_model
from sparsecalc.read.config import read_config

DENSE = {
    "model_type": "llama",
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}
LATENT = {
    "model_type": "deepseek_v3",
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "moe_intermediate_size": 32,
    "num_hidden_layers": 2,
    "first_k_dense_replace": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "q_lora_rank": 24,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "tie_word_embeddings": False,
}


def llama_layer(prefix: str) -> Tensors:
    """One layer of DENSE, written down from the architecture's own definition, not from this package's."""
    shapes = {
        "input_layernorm": [64],
        "post_attention_layernorm": [64],
        "self_attn.q_proj": [64, 64],
        "self_attn.k_proj": [32, 64],
        "self_attn.v_proj": [32, 64],
        "self_attn.o_proj": [64, 64],
        "mlp.gate_proj": [96, 64],
        "mlp.up_proj": [96, 64],
        "mlp.down_proj": [64, 96],
    }
    return {f"{prefix}.{name}.weight": ("BF16", shape) for name, shape in shapes.items()}


def llama() -> Tensors:
    return {
        "model.embed_tokens.weight": ("BF16", [320, 64]),
        **llama_layer("model.layers.0"),
        **llama_layer("model.layers.1"),
        "model.norm.weight": ("BF16", [64]),
        "lm_head.weight": ("BF16", [320, 64]),
    }


def deepseek_layer(prefix: str, *, sparse: bool) -> Tensors:
    shapes: dict[str, list[int]] = {
        "input_layernorm": [64],
        "post_attention_layernorm": [64],
        "self_attn.q_a_proj": [24, 64],
        "self_attn.q_a_layernorm": [24],
        "self_attn.q_b_proj": [4 * 24, 24],
        "self_attn.kv_a_proj_with_mqa": [16 + 8, 64],
        "self_attn.kv_a_layernorm": [16],
        "self_attn.kv_b_proj": [4 * 32, 16],
        "self_attn.o_proj": [64, 4 * 16],
    }
    if sparse:
        shapes["mlp.gate"] = [4, 64]
        for owner in (*(f"mlp.experts.{i}" for i in range(4)), "mlp.shared_experts"):
            shapes |= {f"{owner}.gate_proj": [32, 64], f"{owner}.up_proj": [32, 64], f"{owner}.down_proj": [64, 32]}
    else:
        shapes |= {"mlp.gate_proj": [96, 64], "mlp.up_proj": [96, 64], "mlp.down_proj": [64, 96]}
    return {f"{prefix}.{name}.weight": ("BF16", shape) for name, shape in shapes.items()}


def deepseek() -> Tensors:
    return {
        "model.embed_tokens.weight": ("BF16", [320, 64]),
        **deepseek_layer("model.layers.0", sparse=False),
        **deepseek_layer("model.layers.1", sparse=True),
        "model.norm.weight": ("BF16", [64]),
        "lm_head.weight": ("BF16", [320, 64]),
    }


Import = Callable[..., dict[str, Any]]


@pytest.fixture
def imported(hub_run: Run, hub: FakeHub, tmp_path: Path) -> Import:
    """Import a repository with this config and these shards; the report as JSON."""

    def call(config: dict[str, Any], *shards: Tensors) -> dict[str, Any]:
        hub.add("org/model", config, *shards)
        found = hub_run("import", "org/model", "--json", "-o", "spec.json")
        assert found.rc == 0, found.stderr
        assert {line.partition(":")[0] for line in found.stderr.splitlines()} <= {"note"}
        report: dict[str, Any] = found.json
        assert report["command"] == "import"
        assert report["difference"] == report["stored_elements"] - report["counted_total"]
        assert report["difference"] == sum(line["value"] for line in report["explained"]) + report["unexplained"]
        facts = json.loads((tmp_path / "spec.json").read_text())["sparsecalc"]
        assert (facts["hub_id"], facts["counted"]["total"]) == ("org/model", report["counted_total"])
        assert params(load_model(str(tmp_path / "spec.json")).spec).total == report["counted_total"]
        return report

    return call


def explained(report: dict[str, Any]) -> dict[str, int]:
    return {line["label"].split(",")[0].split(" (")[0]: line["value"] for line in report["explained"]}


def codes(report: dict[str, Any]) -> list[str]:
    return [warn["code"] for warn in report["warnings"]]


@pytest.mark.parametrize(("config", "tensors"), [(DENSE, llama()), (LATENT, deepseek())], ids=["llama", "deepseek"])
def test_a_checkpoint_that_matches(config: dict[str, Any], tensors: Tensors, imported: Import, hub: FakeHub) -> None:
    report = imported(config, tensors)
    assert (report["difference"], report["unexplained"], report["explained"]) == (0, 0, [])
    assert "unexplained" not in codes(report)
    read = [line for line in hub.requests if line.startswith("GET") and "safetensors" in line]
    assert read == ["GET /org/model/resolve/main/model.safetensors bytes=0-100000"], "headers only"


def test_a_checkpoint_in_two_files(imported: Import) -> None:
    tensors = list(llama().items())
    assert imported(DENSE, dict(tensors[:5]), dict(tensors[5:]))["difference"] == 0


def test_a_header_of_more_than_100_kilobytes(imported: Import, hub: FakeHub) -> None:
    filler: Tensors = {f"vision_tower.{'deep.' * 20}{i}.weight": ("BF16", [1]) for i in range(1000)}
    report = imported(DENSE, {**llama(), **filler})
    assert explained(report) == {"vision": 1000}
    assert sum("bytes=8-" in line for line in hub.requests) == 1


def test_fp8_scales(imported: Import) -> None:
    tensors = deepseek()
    scaled = {name: shape for name, (_, shape) in tensors.items() if "_proj" in name}
    tensors |= {name: ("F8_E4M3", shape) for name, shape in scaled.items()}
    tensors |= {f"{name}_scale_inv": ("F32", [1, 1]) for name in scaled}
    report = imported(
        {**LATENT, "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}, tensors
    )
    assert explained(report) == {"scales and zero points of quantized weights": len(scaled)}
    assert report["unexplained"] == 0


def test_a_multi_token_prediction_layer(imported: Import) -> None:
    extra: Tensors = deepseek_layer("model.layers.2", sparse=True)
    extra |= {"model.layers.2.eh_proj.weight": ("BF16", [64, 128]), "model.layers.2.enorm.weight": ("BF16", [64])}
    report = imported({**LATENT, "num_nextn_predict_layers": 1}, {**deepseek(), **extra})
    size = sum(_elements(shape) for _, shape in extra.values())
    assert explained(report) == {"multi-token-prediction layers": size}
    assert report["unexplained"] == 0
    assert "mtp-layers" in codes(report)


def test_buffers(imported: Import) -> None:
    extra: Tensors = {
        "model.layers.1.mlp.gate.e_score_correction_bias": ("F32", [4]),
        "model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", [4]),
    }
    report = imported(LATENT, {**deepseek(), **extra})
    assert explained(report) == {"buffers": 8}
    assert report["unexplained"] == 0


def test_a_tied_table_stored_twice(imported: Import) -> None:
    report = imported({**DENSE, "tie_word_embeddings": True}, llama())
    assert explained(report) == {"a tied table stored twice": 320 * 64}
    assert report["unexplained"] == 0


def test_a_vision_tower(imported: Import) -> None:
    """Its layers have numbers of their own, which must not be taken for prediction layers."""
    extra: Tensors = {f"vision_tower.blocks.{i}.mlp.weight": ("BF16", [8, 8]) for i in range(5)}
    extra["multi_modal_projector.linear_1.weight"] = ("BF16", [64, 8])
    text = {f"language_model.{name}": tensor for name, tensor in llama().items()}
    report = imported({"model_type": "llava", "text_config": DENSE, "vision_config": {"depth": 5}}, {**text, **extra})
    assert explained(report) == {"vision": 5 * 64 + 64 * 8}
    assert report["unexplained"] == 0
    assert "text-decoder-only" in codes(report)


def test_packed_four_bit_weights(imported: Import) -> None:
    """MXFP4 as gpt-oss stores it: two weights in each byte of _blocks, a byte of _scales for 32 weights."""
    tensors = llama()
    for name in [name for name in tensors if "mlp." in name]:
        _, (rows, cols) = tensors.pop(name)
        stem = name.removesuffix(".weight")
        tensors[f"{stem}_blocks"] = ("U8", [rows, cols // 32, 16])
        tensors[f"{stem}_scales"] = ("U8", [rows, cols // 32])
    weights = 2 * 3 * 96 * 64
    report = imported(DENSE, tensors)
    assert explained(report) == {
        "scales and zero points of quantized weights": weights // 32,
        "weights packed several to a stored element": -weights // 2,
    }
    assert report["unexplained"] == 0


def test_gptq_weights(imported: Import) -> None:
    tensors = llama()
    for name in [name for name in tensors if "_proj." in name]:
        _, (rows, cols) = tensors.pop(name)
        stem = name.removesuffix("weight")
        tensors |= {f"{stem}qweight": ("I32", [cols // 8, rows]), f"{stem}qzeros": ("I32", [1, rows // 8])}
        tensors |= {f"{stem}scales": ("F16", [1, rows]), f"{stem}g_idx": ("I32", [cols])}
    report = imported({**DENSE, "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 64}}, tensors)
    assert report["unexplained"] == 0
    assert set(explained(report)) == {
        "scales and zero points of quantized weights",
        "weights packed several to a stored element",
    }


@pytest.mark.parametrize(
    ("change", "by"),
    [({"model.layers.0.self_attn.sinks.weight": ("BF16", [7, 3])}, 21), ({"model.norm.weight": None}, -64)],
    ids=["one too many", "one missing"],
)
def test_what_nobody_can_explain_is_a_warning(change: dict[str, Any], by: int, imported: Import) -> None:
    tensors = {name: tensor for name, tensor in {**llama(), **change}.items() if tensor}
    report = imported(DENSE, tensors)
    assert (report["unexplained"], codes(report)) == (by, ["unexplained"])
    assert f"{by:+,} stored elements are not explained" in report["warnings"][0]["text"]


def test_a_hub_model_without_safetensors(hub_run: Run, hub: FakeHub, tmp_path: Path) -> None:
    hub.add("org/model", DENSE)
    found = hub_run("import", "org/model")
    assert found.rc == 2
    assert found.stderr == (
        "error: org/model on the Hub: no readable safetensors files. Import its config.json alone\n"
    )
    assert not (tmp_path / "model.json").exists()
    hub.repos["org/model"]["model.safetensors"] = b"\xff" * 200
    assert hub_run("import", "org/model").rc == 2


def test_the_hub_wins_over_a_built_in_spec_of_the_same_id(hub_run: Run, hub: FakeHub) -> None:
    hub.add("mistralai/Mixtral-8x7B-v0.1", DENSE, llama())
    assert hub_run("show", "mistralai/Mixtral-8x7B-v0.1", "--json").json["params"]["total"] == 46702792704
    assert hub.requests == [], "a built-in model needs no network"
    report = hub_run("import", "mistralai/Mixtral-8x7B-v0.1", "--json", "-o", "m.json").json
    assert report["difference"] == 0
    assert report["counted_total"] < 10**6


# --- paths --------------------------------------------------------------------------------------------------------


def test_a_path_becomes_a_spec_of_its_own(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "My Model"
    folder.mkdir()
    config = {**bare("qwen3-30b-a3b"), "time_step_limit": [0.0, float("inf")], "an_odd_key": 1}
    (folder / "config.json").write_text(json.dumps(config))
    found = run("import", folder, "--json")
    assert found.rc == 0
    assert found.json["stored_elements"] is None
    assert found.json["written"] == "my-model.json"
    assert codes(found.json) == ["unread-keys"]
    own = {"SPARSECALC_DATA": str(tmp_path)}
    again = run("show", "my-model", "--json", env=own).json
    original = run("show", folder, "--json").json
    assert {key: again[key] for key in ("params", "flops", "memory")} == {
        key: original[key] for key in ("params", "flops", "memory")
    }
    assert again["model"]["sources"] == [str(folder)]
    assert again["model"]["hub_id"] is None
    assert run("import", "my-model", "-o", "copy.json", env=own).rc == 0
    copied = json.loads((tmp_path / "copy.json").read_text())
    assert copied == json.loads((tmp_path / "my-model.json").read_text())


def test_standard_input_becomes_a_spec(run: Run, tmp_path: Path) -> None:
    assert run("import", "-", stdin=json.dumps(DENSE)).rc == 0
    assert params(load_model(str(tmp_path / "stdin.json")).spec) == params(read_config(DENSE, model_id="x"))


def _elements(shape: list[int]) -> int:
    found = 1
    for side in shape:
        found *= side
    return found
