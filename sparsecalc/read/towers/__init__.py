"""Vision towers and prediction layers: what stands beside a text decoder, counted where it is asked for."""

from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import printable
from sparsecalc.data_files import read_data
from sparsecalc.model.spec import ModelSpec
from sparsecalc.model.stored import StoredPart
from sparsecalc.read.fields import Fields
from sparsecalc.read.towers.encoders import ENCODERS
from sparsecalc.read.towers.registry import AUDIO, VISION, Tower

TOWERS = {"vision": VISION, "audio": AUDIO}
KEYS = {"vision": "vision_config", "audio": "audio_config"}


def stored_parts(spec: ModelSpec, config: dict[str, Any], name: str, where: str = "") -> list[StoredPart]:
    """The part `name` that stands beside the text decoder `spec`, as `config` gives it; empty where it gives none.

    Raises InputError for a part whose structure is not known.
    """
    if name == "mtp":
        return _prediction_layers(spec, where)
    return _tower(spec, config, name, where)


def _tower(spec: ModelSpec, config: dict[str, Any], name: str, where: str) -> list[StoredPart]:
    """The vision or audio tower with its projector; empty where the config gives none."""
    while isinstance(inner := config.get("thinker_config"), dict) and inner:
        config = {"model_type": config.get("model_type"), **inner}
    model_type = str(config.get("model_type") or spec.model_type)
    tower = TOWERS[name].get(model_type)
    key = (tower.key if tower else "") or KEYS[name]
    given = config.get(key)
    if not isinstance(given, dict) or not given:
        return []
    if tower is None:
        text = f"the {name} tower of {printable(model_type, 60)} is not known"
        raise InputError(text, where=where, hint=f"Known: those of {', '.join(sorted(TOWERS[name]))}")
    given = given if key in (*KEYS.values(), "encoder_config") else {}
    kind = _kind(tower, given, model_type, where)
    fields = _fields(given, kind, "towers", f"{where}: {key}" if where else key)
    return tower.read(fields, _fields(config, model_type, "models", where), spec.hidden_size).parts(name)


def _kind(tower: Tower, given: dict[str, Any], model_type: str, where: str) -> str:
    """The type of the tower. Raises InputError for an encoder that the model does not have, or that is not known."""
    named = str(given.get("model_type") or tower.default or "clip_vision_model")
    if not tower.default:
        known, kind = named in ENCODERS, named
    else:
        aliases = read_data("tower_defaults.json")["others"]["other_types"].get(tower.default, [])
        own = {tower.default, model_type, model_type.removesuffix("_text"), f"{model_type}_vision", *aliases}
        known, kind = named in own, tower.default
    if not known:
        raise InputError(f"the tower {printable(named, 60)} of {printable(model_type, 60)} is not known", where=where)
    return kind


def _fields(config: dict[str, Any], kind: str, section: str, where: str) -> Fields:
    """The keys of a tower or of the whole model, with transformers' defaults."""
    fields, data = Fields(config, kind, where=where, nested=True), read_data("tower_defaults.json")
    found = data[section].get(kind) or data["others"][section].get(kind, {})
    fields.defaults, fields.other_names = found.get("defaults", {}), found.get("other_names", {})
    return fields


def _prediction_layers(spec: ModelSpec, where: str) -> list[StoredPart]:
    """The layers for multi-token prediction as the reader found them; empty where the config names none."""
    if not spec.mtp and any(note.code == "mtp-layers" for note in spec.notes):
        hint = "Known are those whose structure is published, where the config counts them"
        raise InputError(f"no prediction layers of known size in this {spec.model_type} config", where=where, hint=hint)
    return [part.but(name=f"mtp.{part.name}") for part in spec.mtp]
