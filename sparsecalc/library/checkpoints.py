"""Built-in specs by the repositories that publish them: under which ids, and in which formats."""

import copy
import json
import re
from functools import cache
from typing import Any

from sparsecalc.data_files import data_folder, read_data

FACTS_KEY = "sparsecalc"
"""Where a spec file keeps what is known about a model beside its config: sources, published figures."""
_QUANTIZATION = "quantization_config"
_HUB_ID = re.compile(r'"hub_id":\s*"([^"]+)"')


@cache
def hub_ids() -> dict[str, str]:
    """Repositories whose config has the sizes of a built-in spec, in lower case: id to spec (data/hub_ids.json)."""
    groups = read_data("hub_ids.json")["groups"]
    return {name.lower(): group["spec"] for group in groups for name in group["ids"]}


@cache
def _publishers() -> dict[str, str]:
    """Every repository that a spec file names as its own or as a checkpoint's, in lower case: id to spec."""
    paths = (data_folder() / "model_specs").glob("*.json")
    return {name.lower(): path.stem for path in paths for name in _HUB_ID.findall(path.read_text(encoding="utf-8"))}


def built_in_checkpoint(hub_id: str) -> tuple[str, dict[str, Any]] | None:
    """The built-in spec that a repository publishes, and its file as that repository has it; None: no spec says.

    A repository in other formats than the spec's own (`checkpoints` in its facts) has its own quantization_config.
    """
    wanted = hub_id.lower()
    spec = hub_ids().get(wanted) or _publishers().get(wanted)
    if spec is None:
        return None
    file: dict[str, Any] = json.loads((data_folder() / "model_specs" / f"{spec}.json").read_text(encoding="utf-8"))
    facts = file[FACTS_KEY]
    others = (each for each in (facts.get("checkpoints") or [])[1:] if each["hub_id"].lower() == wanted)
    if other := next(others, None):
        return spec, published(file, other)
    return spec, _own_id(file, hub_id if spec == hub_ids().get(wanted) else facts["hub_id"])


def published(file: dict[str, Any], checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The spec file as one of its checkpoints has it: its quantization_config, its `config` keys (null: none), its id.

    What the whole repository weighs is the first checkpoint's, so it goes.
    """
    name = checkpoint["hub_id"]
    file = _own_id(copy.deepcopy(file), name, id=name.rpartition("/")[2].lower())
    facts = file[FACTS_KEY]
    facts["checkpoints"] = [checkpoint]
    facts.pop("download_bytes", None)
    facts["published"] = {key: value for key, value in facts["published"].items() if key != "hub_total_params"}
    changed = {**checkpoint.get("config", {})}
    if _QUANTIZATION in checkpoint:
        changed[_QUANTIZATION] = checkpoint[_QUANTIZATION]
    if _QUANTIZATION in changed:
        for part in (part for part in file.values() if isinstance(part, dict)):
            part.pop(_QUANTIZATION, None)
    merged = {**file, **changed}
    return {key: value for key, value in merged.items() if not (key in changed and value is None)}


def _own_id(file: dict[str, Any], hub_id: str, **facts: str) -> dict[str, Any]:
    return {**file, FACTS_KEY: {**file[FACTS_KEY], **facts, "hub_id": hub_id}}
