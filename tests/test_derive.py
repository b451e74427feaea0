"""Specs derived from the architecture: equal to the readers', exact without one, the same after an import."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Run

pytest.importorskip("torch")
pytest.importorskip("transformers")

import transformers

from sparsecalc.core.errors import InputError
from sparsecalc.core.routing import Routing
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.costs import experts, params
from sparsecalc.estimate.load import Load
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import LoadedModel, load_model
from sparsecalc.measure.counts.verification import verify_model
from sparsecalc.measure.derive.derived_spec import derive_spec
from sparsecalc.model.spec import ModelSpec
from sparsecalc.model.spec_json import spec_from_data, to_data
from sparsecalc.read.config import families, read_config

pytestmark = pytest.mark.slow

transformers.logging.set_verbosity_error()

SMALL = Path(__file__).parent / "small_configs"
WITH_READER = [
    *("llama", "gpt2", "bloom", "gemma2", "gpt_oss", "llama4_text", "mixtral", "qwen2_moe", "deepseek_v3"),
    *("dbrx", "deepseek_v32", "dots1", "mamba2", "jamba", "falcon_h1", "qwen3_next", "zamba2", "gemma3n_text"),
]
SIZES: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}
WITHOUT_READER: dict[str, dict[str, Any]] = {
    "diffllama": {**SIZES, "model_type": "diffllama", "num_key_value_heads": 2},
    "biogpt": {**SIZES, "model_type": "biogpt"},
    "bert": {**SIZES, "model_type": "bert", "is_decoder": True},
    "doge": {**SIZES, "model_type": "doge", "num_key_value_heads": 2, "pad_token_id": 0},
}
COLUMNS = ("kv_elements", "kv_elements_per_token", "index_elements", "state_elements")
WORKLOADS = (Workload.prefill(64), Workload.decode(64), Workload.decode(3000, batch_size=4))


def small(family: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SMALL / f"{family}.json").read_text())[0]
    return found


def derived(config: dict[str, Any]) -> ModelSpec:
    return derive_spec(config, "derived")


def note(spec: ModelSpec) -> str:
    return next(note.text for note in spec.notes if note.code == "from-architecture")


@pytest.mark.parametrize("family", WITH_READER)
def test_it_equals_the_reader(family: str) -> None:
    ours, readers = derived(small(family)), read_config(small(family), model_id="read")
    assert params(ours) == params(readers)
    assert (ours.kind, ours.hidden_size, ours.vocab_size) == (readers.kind, readers.hidden_size, readers.vocab_size)
    assert ours.tie_word_embeddings == readers.tie_word_embeddings
    assert ours.num_hidden_layers == readers.num_hidden_layers
    for work in WORKLOADS:
        mine, theirs = ours.ops(work), readers.ops(work)
        assert mine.by_component("flops") == pytest.approx(theirs.by_component("flops"), rel=1e-3), work
        assert {c: mine.total(c) for c in COLUMNS} == {c: theirs.total(c) for c in COLUMNS}, work
        read = pytest.approx(theirs.sum(lambda op: op.read_params), rel=1e-3)  # norms that layers share: once
        assert mine.sum(lambda op: op.read_params) == read, work


def test_experts_are_told_as_a_reader_tells_them() -> None:
    config = small("qwen2_moe")
    ours, readers = derived(config), read_config(config, model_id="read")
    asked = Load(batch_size=8, context_len=512, max_num_batched_tokens=512), Routing()
    mine = experts(ours, precision_for(ours, None, None), *asked)
    theirs = experts(readers, precision_for(readers, None, None), *asked)
    assert mine is not None
    assert theirs is not None
    assert mine.but(weight_bytes_read=0.0) == theirs.but(weight_bytes_read=0.0)
    assert mine.weight_bytes_read == pytest.approx(theirs.weight_bytes_read)


def test_experts_side_by_side_in_one_matrix_are_split() -> None:
    """DBRX stores E matrices of I x H as one of E I x H: four experts of 48 x 64, three such tensors."""
    config = small("dbrx")
    assert (config["ffn_config"]["moe_num_experts"], config["ffn_config"]["ffn_hidden_size"]) == (4, 48)
    rows = [op for op in derived(config).ops(Workload.decode(8)) if op.component == "routed_experts"]
    assert sum(op.matrices for op in rows) == 3 * 4
    assert {tuple(sorted((op.rows, op.cols))) for op in rows} == {(48, 64)}


@pytest.mark.parametrize("family", WITHOUT_READER)
def test_a_family_without_a_reader_is_exact(family: str) -> None:
    assert family not in families()
    spec = derived(WITHOUT_READER[family])
    result = verify_model(LoadedModel(spec=spec, config=WITHOUT_READER[family]))
    wrong = [f"{v.figure}: {v.predicted} instead of {v.actual}" for v in result.verdicts if not v.exact]
    assert (result.status, wrong) == ("exact", [])
    assert result.flops is not None
    assert result.kv_cache is not None
    assert result.kv_cache.actual > 0
    assert "not measured" not in note(spec)


def test_the_note_says_how_and_by_which_version() -> None:
    text = note(derived(WITHOUT_READER["diffllama"]))
    assert f"transformers {transformers.__version__}'s DiffLlamaForCausalLM" in text


def test_what_cannot_be_measured_is_said_and_parameters_stay_exact() -> None:
    config = {**SIZES, "model_type": "xlnet", "d_model": 64, "d_inner": 96, "n_layer": 2, "n_head": 4}
    spec = derived(config)
    assert "not measured" in note(spec)
    result = verify_model(LoadedModel(spec=spec, config=config))
    assert result.params is not None
    assert result.params.predicted == result.params.actual
    assert result.flops is None


@pytest.mark.parametrize("family", ["deepseek_v32", "jamba", "zamba2"])
def test_a_spec_survives_as_data(family: str) -> None:
    for spec in (derived(small(family)), read_config(small(family), model_id="read")):
        assert spec_from_data(json.loads(json.dumps(to_data(spec)))) == spec


def test_data_is_read_strictly() -> None:
    good = to_data(derived(WITHOUT_READER["biogpt"]))
    bad = {
        "no field 'colour'": {**good, "colour": 1},
        "derived.vocab_size is True": {**good, "vocab_size": True},
        "derived.hidden_size is -1": {**good, "hidden_size": -1},
        "needs hidden_size": {key: value for key, value in good.items() if key != "hidden_size"},
        "derived.final[0].kind": {**good, "final": [{"kind": "spell"}]},
        "derived.tables is 'x'": {**good, "tables": "x"},
        "derived is None": None,
    }
    for text, data in bad.items():
        with pytest.raises(InputError) as error:
            spec_from_data(data)
        assert text in str(error.value)


def test_import_writes_a_file_that_needs_no_torch(run: Run, quick_run: Run, tmp_path: Path) -> None:
    config, target = tmp_path / "new.json", tmp_path / "spec.json"
    config.write_text(json.dumps(WITHOUT_READER["doge"]))
    assert "--from-architecture" in quick_run("show", config).stderr
    assert quick_run("import", config, "--from-architecture", "-o", target).rc == 0
    shown = run("show", target, "--json", program=("-X", "importtime", "-m", "sparsecalc"))
    assert shown.rc == 0
    assert "torch" not in {line.rpartition("|")[2].strip() for line in shown.stderr.splitlines()}
    loaded, direct = load_model(str(target)).spec, derived(WITHOUT_READER["doge"])
    assert loaded.but(id="", notes=()) == direct.but(id="", notes=())
    assert shown.json["params"]["total"] == params(direct).total
    assert verify_model(load_model(str(target))).status == "exact"


def test_code_of_a_repository_is_never_run(quick_run: Run, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"model_type": "brand_new", "auto_map": {"AutoModel": "modeling.New"}}))
    found = quick_run("verify", config, "--from-architecture")
    assert found.rc == 2
    assert "auto_map" in found.stderr
    assert "never" in found.stderr
