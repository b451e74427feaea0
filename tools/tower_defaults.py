"""Write the defaults of transformers' vision and audio configs into data/tower_defaults.json.

Run with the `measure` extra installed: python tools/tower_defaults.py. Entries under `others`, of towers that
transformers does not have, are written by hand, each with its source, and are left alone.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import transformers
from transformers import CONFIG_MAPPING

from sparsecalc.read.towers.registry import AUDIO, VISION

TARGET = Path(__file__).resolve().parent.parent / "data" / "tower_defaults.json"
BASE = {field.name for field in dataclasses.fields(transformers.PreTrainedConfig)}
QFORMER = "blip_2_qformer"
NO_SIZES = ("dropout", "_range", "_eps", "_token_id", "_token_index", "_act", "_activation")
"""Endings of keys that change no size."""
MOST_VALUES = 16
"""Longer lists are patterns of layers, which no reader of towers needs."""


def simple(value: object) -> bool:
    """A number, a switch or a name; a list or tuple of few such."""
    if isinstance(value, list | tuple):
        return len(value) <= MOST_VALUES and all(simple(each) for each in value)
    return isinstance(value, int | str | float) and value == value


def defaults(kind: str) -> dict[str, Any]:
    """The values of a config that was given none, under its own keys, and its other names for them."""
    config_class = CONFIG_MAPPING[kind]
    names, values = {field.name for field in dataclasses.fields(config_class)} - BASE, vars(config_class())
    kept = {key: value for key, value in values.items() if key in names and simple(value)}
    without = {key: value for key, value in kept.items() if not key.endswith(NO_SIZES)}
    return {"defaults": dict(sorted(without.items())), "other_names": dict(config_class.attribute_map)}


def main() -> None:
    """All towers and all whole models that have one, where transformers has their configs."""
    old = json.loads(TARGET.read_text()) if TARGET.is_file() else {}
    towers = {tower.default for part in (VISION, AUDIO) for tower in part.values() if tower.default}
    kinds = sorted(towers | {"clip_vision_model", "siglip_vision_model", QFORMER})
    whole = sorted(kind for kind in {*VISION, *AUDIO} if not kind.endswith("_text"))
    found = {
        "source": f"transformers {transformers.__version__}, the default values of each config class",
        "towers": {kind: defaults(kind) for kind in kinds if kind in CONFIG_MAPPING},
        "models": {kind: defaults(kind) for kind in whole if kind in CONFIG_MAPPING},
        "others": old.get("others", {}),
    }
    TARGET.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
