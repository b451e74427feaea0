"""Every spec and every family's small configs held against the architecture that transformers builds from them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import transformers

from sparsecalc.library.models import LoadedModel, load_model, model_ids
from sparsecalc.measure.counts.verification import verify_model
from sparsecalc.read.config import ALIASES, NOT_IN_TRANSFORMERS, families, read_config

pytestmark = pytest.mark.slow

transformers.logging.set_verbosity_error()

SMALL = sorted((Path(__file__).parent / "small_configs").glob("*.json"))
CASES = [(path.stem, number) for path in SMALL for number in range(len(json.loads(path.read_text())))]
BY_FORMULA = {"grok-1", "snowflake-arctic", "hunyuan-large", "deepseek-moe-16b", "internlm2-7b", "mimo-7b"}
BY_FORMULA |= {"ling-mini-2.0", "ling-flash-2.0", "ling-1t", "nemotron-super-49b", "kimi-k3", "deepseek-v4.1-flash"}


def differences(loaded: LoadedModel) -> tuple[str, list[str]]:
    result = verify_model(loaded)
    return result.status, [f"{v.figure}: {v.predicted} instead of {v.actual}" for v in result.verdicts if not v.exact]


def small(family: str, number: int) -> LoadedModel:
    config: dict[str, Any] = json.loads((SMALL[0].parent / f"{family}.json").read_text())[number]
    return LoadedModel(spec=read_config(config, model_id=f"{family}[{number}]"), config=config)


@pytest.mark.parametrize("name", [name for name in model_ids() if name not in BY_FORMULA])
def test_a_built_in_spec_is_exact(name: str) -> None:
    status, wrong = differences(load_model(name))
    assert (status, wrong) == ("exact", [])


@pytest.mark.parametrize("name", sorted(BY_FORMULA))
def test_a_spec_that_transformers_lacks_says_so(name: str) -> None:
    loaded = load_model(name)
    assert loaded.spec.checked_by == "formula"
    result = verify_model(loaded)
    assert result.status == "unsupported"
    assert re.search("has no model_type|cannot build", result.reason)


@pytest.mark.parametrize(("family", "number"), CASES)
def test_a_small_config_is_exact(family: str, number: int) -> None:
    status, wrong = differences(small(family, number))
    assert (status, wrong) == ("exact", [])


def test_every_family_has_small_configs_or_is_known_to_be_missing_from_transformers() -> None:
    with_configs = {path.stem for path in SMALL}
    assert set(families()) - with_configs == {family for family in NOT_IN_TRANSFORMERS if family in families()}
    assert all(json.loads(path.read_text()) for path in SMALL)


def test_aliases_lead_to_families() -> None:
    assert set(ALIASES.values()) <= set(families())
