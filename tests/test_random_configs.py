"""Configs that nobody has released, of every family, against transformers; and spellings that must change nothing."""

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import transformers
from drawn_configs import Outcome, bases, draw, families, outcome

from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.config import read_config
from sparsecalc.read.fields import _defaults

transformers.logging.set_verbosity_error()

DRAWS = 12
"""How often to draw again where transformers does not build or run what was drawn, or the reader refuses it."""
TWICE = 3
"""Every third family is drawn twice."""
CASES = [(name, number) for place, name in enumerate(families()) for number in range(1 + (place % TWICE == 0))]


def last_drawn(family: str, number: int) -> tuple[Outcome, dict[str, Any]]:
    random = Random(f"{family} {number}")
    for _ in range(DRAWS):
        config, _ = draw(family, random)
        found = outcome(config)
        if found.status not in ("not built", "not run", "refused"):
            break
    return found, config


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("family", "number"), CASES)
def test_a_drawn_config_is_exact(family: str, number: int) -> None:
    found, config = last_drawn(family, number)
    assert found.status == "exact", f"{found.text}\n{json.dumps(config)}"


def without_notes(config: dict[str, Any]) -> ModelSpec:
    return read_config(config, model_id="same").but(notes=())


def spelled(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The config as files out there have it: integers as floats, keys that say null, both names of a key."""
    yield {key: float(value) if type(value) is int else value for key, value in config.items()}
    defaults, other_names, _ = _defaults(config["model_type"])
    absent = [key for key, value in defaults.items() if value is None and key not in config]
    yield {**config, **dict.fromkeys(absent)}
    both = {other: config[own] for other, own in other_names.items() if own in config and other not in config}
    yield {**config, **both}
    yield {**both, **config}
    yield {**config, **dict.fromkeys(both)}


@pytest.mark.parametrize("family", families())
def test_a_spelling_changes_nothing(family: str) -> None:
    for config in bases(family):
        expected = without_notes(config)
        for other in spelled(config):
            assert without_notes(other) == expected, other


LONGER = ("layer_types", "mlp_layer_types", "no_rope_layers", "compress_ratios", "indexer_types", "moe_layer_freq")


def with_longer_lists() -> list[tuple[str, int, str]]:
    """Family, number of its small config and key of each list with an entry per layer."""
    return [
        (family, number, key)
        for family in families()
        for number, config in enumerate(bases(family))
        for key in LONGER
        if isinstance(config.get(key), list) and config[key]
    ]


@pytest.mark.parametrize(("family", "number", "key"), with_longer_lists())
def test_a_list_longer_than_the_layers_changes_nothing(family: str, number: int, key: str) -> None:
    config = bases(family)[number]
    longer = copy.deepcopy(config)
    longer[key] = [*longer[key], longer[key][-1]]
    assert without_notes(longer) == without_notes(config)


def test_the_name_that_transformers_takes_wins() -> None:
    """Of two names that disagree, transformers takes the one that its class does not declare; a null says nothing."""
    config = {**bases("olmoe")[0], "num_experts": 6, "num_local_experts": 3, "num_experts_per_tok": 2}
    spec = read_config(config, model_id="both")
    assert [note.code for note in spec.notes] == ["conflicting-keys"]
    assert spec.layer_groups[0].layer.feed_forwards[0].num_experts == 3
    config["num_local_experts"] = None
    spec = read_config(config, model_id="null")
    assert not spec.notes
    assert spec.layer_groups[0].layer.feed_forwards[0].num_experts == 6
