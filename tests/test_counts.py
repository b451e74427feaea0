"""Counts of every built-in spec: equal to what transformers' own classes hold, and to what the vendors publish."""

import json
import re

import pytest

from sparsecalc.core.components import COMPONENTS
from sparsecalc.core.workload import Workload
from sparsecalc.data_files import data_folder
from sparsecalc.estimate.costs import layer_kinds, memory, params
from sparsecalc.estimate.load import Load
from sparsecalc.library.checkpoints import FACTS_KEY
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import aliases, load_model, model_ids

SPECS = {path.stem: json.loads(path.read_text()) for path in sorted((data_folder() / "model_specs").glob("*.json"))}


def test_all_the_models_are_there() -> None:
    assert len(SPECS) >= 97
    assert set(SPECS) <= set(model_ids())


@pytest.mark.parametrize("name", SPECS)
def test_counts_equal_the_counted_facts(name: str) -> None:
    facts = SPECS[name][FACTS_KEY]["counted"]
    loaded = load_model(name)
    found = params(loaded.spec)
    for key in ("total", "active", "active_excl_embedding", "active_excl_embedding_and_head"):
        assert getattr(found, key) == facts[key], key
    held = memory(loaded.spec, precision_for(loaded.spec, "bf16"), Load(context_len=4096, max_num_batched_tokens=8192))
    if facts["kv_cache_bytes_per_token"] is not None:
        assert held.kv_cache_bytes_per_token == facts["kv_cache_bytes_per_token"]


@pytest.mark.parametrize("name", SPECS)
def test_a_bare_config_gives_the_same_as_the_built_in_spec(name: str, tmp_path) -> None:
    config = {key: value for key, value in SPECS[name].items() if key != FACTS_KEY}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    assert params(load_model(str(path)).spec) == params(load_model(name).spec)


@pytest.mark.parametrize("name", SPECS)
def test_components_and_layers_add_up(name: str) -> None:
    spec = load_model(name).spec
    found = params(spec)
    assert sum(found.by_component.values()) == found.total
    assert sum(found.active_by_component.values()) == found.active
    assert set(found.by_component) == set(COMPONENTS)
    outside = [*spec.tables, *spec.final, *([spec.head] if spec.head else [])]
    rest = sum(op.params for part in outside for op in part.ops(Workload()))
    assert sum(kind.count * kind.params for kind in layer_kinds(spec)) + rest == found.total


@pytest.mark.parametrize("name", SPECS)
def test_a_spec_names_its_sources_and_has_no_unread_keys(name: str) -> None:
    facts = SPECS[name][FACTS_KEY]
    assert facts["sources"]
    assert facts["id"] == name
    assert not [note.text for note in load_model(name).notes if note.code == "unread-keys"]


def _published() -> list[tuple[str, str, str]]:
    cases = []
    for name, spec in SPECS.items():
        published = spec[FACTS_KEY]["published"]
        cases += [(name, match, published["active_text"]) for match in published.get("active_matches") or ()]
    return cases


_VARIANTS = {
    "incl": "active",
    "excl_embed": "active_excl_embedding",
    "excl_embed_and_head": "active_excl_embedding_and_head",
}


@pytest.mark.parametrize(("name", "variant", "text"), _published())
def test_the_published_active_figure_is_ours_at_its_precision(name: str, variant: str, text: str) -> None:
    """Each vendor's figure, with the convention that `published.active_matches` says it follows."""
    figure = re.match(r"([\d.]+)", text)
    assert figure
    digits = len(figure.group(1).partition(".")[2])
    ours = getattr(params(load_model(name).spec), _VARIANTS[variant]) / 1e9
    assert round(ours, digits) == float(figure.group(1)) or int(ours * 10**digits) / 10**digits == float(
        figure.group(1)
    )


def test_mixtral_as_its_paper_says() -> None:
    """'47B parameters, 13B active': arXiv:2401.04088, abstract and table 2."""
    found = params(load_model("mixtral-8x7b").spec)
    assert (round(found.total / 1e9, 1), round(found.active / 1e9, 1)) == (46.7, 12.9)


@pytest.mark.parametrize("alias", aliases())
def test_an_alias_leads_to_a_spec_and_says_so(alias: str) -> None:
    assert alias not in SPECS, "an alias must not hide a spec"
    loaded = load_model(alias)
    assert [note.text for note in loaded.notes if note.code == "alias"] == [f"'{alias}' stands for {loaded.spec.id}"]


def test_a_hub_id_of_a_built_in_spec_finds_it() -> None:
    assert load_model("mistralai/Mixtral-8x7B-v0.1").spec.id == "mixtral-8x7b"


def test_three_specs_are_checked_by_formula_only() -> None:
    by_formula = {name for name in SPECS if load_model(name).spec.checked_by == "formula"}
    assert {"grok-1", "snowflake-arctic", "hunyuan-large"} <= by_formula
