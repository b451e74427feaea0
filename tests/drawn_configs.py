"""Draw configs that nobody has released: a family's small configs, with what its reader reads changed at random.

A draw starts from one of tests/small_configs, changes some keys, and then mends what no model could be: heads that do
not divide, lists that are not as long as the layers. It need not be right about that: transformers decides what exists.
"""

import copy
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from transformers import CONFIG_MAPPING

from sparsecalc.core.errors import InputError
from sparsecalc.library.models import LoadedModel
from sparsecalc.measure.architecture.meta_model import meta_model
from sparsecalc.measure.counts.verification import verify_model
from sparsecalc.read.config import read_config

ROOT = Path(__file__).resolve().parent.parent
SMALL = Path(__file__).parent / "small_configs"
KINDS = {
    "layer_types": ("sliding_attention", "full_attention"),
    "mlp_layer_types": ("dense", "sparse"),
    "indexer_types": ("full", "shared"),
    "layers_block_type": (),
    "block_types": ("recurrent", "attention"),
}
"""The usual words of lists with one per layer; a family whose small configs have others has those."""

PLACES = ("attn_layer_indices", "mlp_only_layers", "full_attn_idxs", "moe_layers")
"""Lists of layers' numbers."""

PAIR = ("ernie4_5_vl_moe_text", "moe_intermediate_size")
"""A list that is of another length than the layers."""

HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")
LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers")
HIDDEN = ("hidden_size", "d_model", "n_embd")
LEFT_ALONE = re.compile(
    r"token|use_cache|^output_|model_type|_act$|activation|dtype|device|architectures|norm_type|_pdrop|dropout|_eps$"
    r"|^is_|cross_attention|_init|_coef|scal|theta|rope_param|kernels$|mambapy|associative|_type$|logits|pretraining"
    r"|mem_eff|temperature|max_seq_len|bidirectional|_config$|multiplier$|^rope$|^rotary_dim$|min$|max$|limit|idx$|iters"
)
"""Keys of no cost, or whose other values are other architectures."""


def families() -> list[str]:
    """All families with small configs: those that transformers has."""
    return sorted(path.stem for path in SMALL.glob("*.json"))


@cache
def bases(family: str) -> list[dict[str, Any]]:
    """The small configs of a family."""
    found: list[dict[str, Any]] = json.loads((SMALL / f"{family}.json").read_text())
    return found


@cache
def known(family: str) -> dict[str, list[Any]]:
    """Every key that a config of the family may have, with the values that are known: defaults and small configs."""
    defaults = json.loads((ROOT / "data" / "config_defaults" / f"{family}.json").read_text())["defaults"]
    found: dict[str, list[Any]] = {}
    for config in (*bases(family), defaults):
        for key, value in config.items():
            found.setdefault(key, [])
            if value not in found[key]:
                found[key].append(value)
    return {key: values for key, values in found.items() if not LEFT_ALONE.search(key) and (family, key) != PAIR}


def draw(family: str, random: Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """A config of the family, and the small config it was made from."""
    base = random.choice(bases(family))
    config = copy.deepcopy(base)
    keys = sorted(known(family))
    mine = [key for key in keys if key in config]
    for _ in range(random.choice((1, 2, 3, 4, 6, 9))):
        key = random.choice(mine if random.random() < 0.6 else keys)
        value = drawn_value(family, key, config, random)
        config[key] = value
    for part in [key for key, value in config.items() if isinstance(value, dict) and key.endswith("_config")]:
        config[part] = _drawn_part(config, part, random)
    mend(config, random)
    return _renamed(family, config, random), base


def _renamed(family: str, config: dict[str, Any], random: Random) -> dict[str, Any]:
    """Some of the keys by another name that transformers has for them."""
    own = known_names(family)
    others = {key: [other for other, name in own.items() if name == key] for key in config}
    return {
        random.choice(others[key]) if others[key] and random.random() < 0.15 else key: value
        for key, value in config.items()
    }


@cache
def known_names(family: str) -> dict[str, str]:
    """Other names of keys that transformers' config class maps, where the readers have them too."""
    readers = json.loads((ROOT / "data" / "config_defaults" / f"{family}.json").read_text())["other_names"]
    mapped = getattr(CONFIG_MAPPING[family], "attribute_map", {})
    return {other: own for other, own in readers.items() if other in mapped}


def drawn_value(family: str, key: str, config: dict[str, Any], random: Random) -> Any:
    """A new value for `key`: of the same kind as those that are known."""
    values = known(family)[key]
    kinds = {type(value) for value in values}
    if None in values and random.random() < 0.3:
        return None
    if bool in kinds:
        return random.random() < 0.5
    if str in kinds and random.random() < 0.5:
        return random.choice(values)
    if list in kinds:
        return _drawn_list(key, values, config, random)
    if int in kinds or (None in values and re.search(r"size|dim|heads|window|experts", key)):
        return _integer(key, config, random)
    if float in kinds and "multiplier" in key:
        return round(random.uniform(0.3, 3), 2)
    return copy.deepcopy(random.choice(values))


def _integer(key: str, config: dict[str, Any], random: Random) -> int:
    return next(rule(config, random) for pattern, rule in RULES if re.search(pattern, key))


def _count(config: dict[str, Any], names: tuple[str, ...], default: int = 4) -> int:
    return next((config[name] for name in names if isinstance(config.get(name), int)), default)


def _upto(limit: int) -> Callable[[dict[str, Any], Random], int]:
    return lambda config, random: random.randint(1, limit)


def _even(low: int, high: int) -> Callable[[dict[str, Any], Random], int]:
    return lambda config, random: 2 * random.randint(low // 2, high // 2)


def _in_layers(config: dict[str, Any], random: Random) -> int:
    return random.randint(0, _count(config, LAYERS) + 1)


def _divisor(config: dict[str, Any], random: Random) -> int:
    heads = _count(config, HEADS)
    return random.choice([each for each in range(1, heads + 1) if heads % each == 0])


RULES: tuple[tuple[str, Callable[[dict[str, Any], Random], int]], ...] = (
    (r"^vocab_size", lambda config, random: random.randint(260, 420)),
    (r"^(hidden_size|d_model|n_embd)$", lambda config, random: 8 * random.randint(3, 14)),
    (r"max_position|n_positions|context_length", lambda config, random: random.randint(26, 90)),
    (r"hidden_layers$|^num_layers$|^n_layers?$|decoder_layers$", _upto(7)),
    (r"num_sparse_|shared_layers|dense_layers|k_dense|max_window|index$|offset|skipped|hash", _in_layers),
    (r"loops$|passes$|cycles$", _upto(3)),
    (r"nextn|mtp|zero_expert_num", lambda config, random: random.randint(0, 3)),
    (r"key_value_heads|kv_heads|kv_n_heads|n_head_kv", _divisor),
    (r"shared_experts?$", lambda config, random: random.randint(0, 3)),
    (r"experts$", lambda config, random: random.randint(1, 12)),
    (r"per_tok|top_?k(_experts)?$|moe_k$|topk_group", _upto(6)),
    (r"n_groups?$|ngroups$|o_groups", lambda config, random: random.choice((1, 1, 2, 3, 4))),
    (r"heads?$", lambda config, random: random.choice((1, 2, 3, 4, 5, 6, 8, 12))),
    (r"head_?dim$|d_kv|channels$|d_head$", lambda config, random: 4 * random.randint(2, 10)),
    (r"window", lambda config, random: random.randint(2, 40)),  # of a window of 1 transformers keeps every token
    (r"chunk_size", lambda config, random: random.randint(2, 40)),
    (r"pattern$|freq$|step$|interval$|period$|every_n|altup_num_inputs|mem_blocks|hc_mult|num_ln", _upto(5)),
    (r"conv|kernel|L_cache", lambda config, random: random.randint(2, 5)),
    (r"expand|ratio$", _upto(3)),
    (r"state|buckets", _even(4, 32)),
    (r"shared.*size|per_layer_input$", lambda config, random: random.choice((0, *range(4, 100)))),
    (r"", lambda config, random: random.randint(3, 160)),
)
"""What an integer may be, by its key; the first that matches."""


def _drawn_list(key: str, values: list[Any], config: dict[str, Any], random: Random) -> Any:
    """A list of layers' numbers, one of as many entries as layers, or one that is known."""
    count = _count(config, LAYERS)
    if key in PLACES:
        return sorted(random.sample(range(count), random.randint(0, count)))
    lists = [value for value in values if isinstance(value, list)]
    entries = [entry for value in lists for entry in value]
    seen, usual = {entry for entry in entries if isinstance(entry, str)}, set(KINDS.get(key, ()))
    words = sorted(usual if seen <= usual else seen)
    if words and key in KINDS:
        return [random.choice(words) for _ in range(count)]
    if entries and all(isinstance(entry, int) for entry in entries):
        return [random.choice(entries) for _ in range(count)]
    return copy.deepcopy(random.choice(lists))


def _drawn_part(config: dict[str, Any], part: str, random: Random) -> dict[str, Any]:
    """A nested part with some of its integers and flags changed."""
    found = copy.deepcopy(config[part])
    for key, value in found.items():
        if random.random() < 0.3 and not LEFT_ALONE.search(key) and isinstance(value, bool | int):
            found[key] = random.random() < 0.5 if isinstance(value, bool) else _integer(key, config, random)
    return found


def mend(config: dict[str, Any], random: Random) -> None:
    """Make sizes divide and lists fit, as far as that is the same in all families."""
    _mend_heads(config, random)
    _mend_recurrent(config, random)
    _mend_experts(config, random)
    _mend_lists(config, random)


def _mend_heads(config: dict[str, Any], random: Random) -> None:
    """Query heads in groups; a hidden size of as many even heads where head_dim is not given."""
    heads = _count(config, HEADS)
    for key in ("num_key_value_heads", "num_kv_heads", "num_global_key_value_heads", "swa_num_key_value_heads"):
        if isinstance(config.get(key), int) and heads % config[key]:
            config[key] = _divisor(config, random)
    windowed, shared = config.get("swa_num_attention_heads"), config.get("swa_num_key_value_heads")
    if isinstance(windowed, int) and isinstance(shared, int) and (windowed % shared or "swa_q_lora_rank" in config):
        config["swa_num_key_value_heads"] = windowed
    inner = config.get("attn_config")
    if isinstance(inner, dict) and heads % inner.get("kv_n_heads", 1):
        config["attn_config"] = {**inner, "kv_n_heads": _divisor(config, random)}
    hidden_key = next((key for key in HIDDEN if isinstance(config.get(key), int)), None)
    free = config.get("head_dim") is not None and config["model_type"] != "recurrent_gemma"
    if hidden_key and config[hidden_key] % (8 * heads) and not free and any(key in config for key in HEADS):
        config[hidden_key] = 8 * heads * max(1, config[hidden_key] // (8 * heads))
    rope = config.get("rope_parameters")
    if isinstance(rope, dict) and "mrope_section" in rope and hidden_key:
        half = (config.get("head_dim") or config[hidden_key] // heads) // 2
        first = [half // 4] * (len(rope["mrope_section"]) - 1)
        config["rope_parameters"] = {**rope, "mrope_section": [*first, half - sum(first)]}
    if config["model_type"] == "helium":
        config["hidden_size"] = heads * (config.get("head_dim") or 16)
    if isinstance(config.get("lru_width"), int):
        config["lru_width"] = heads * max(2, config["lru_width"] // heads)
    values, keys = config.get("linear_num_value_heads"), config.get("linear_num_key_heads")
    if values and keys and values % keys:
        config["linear_num_value_heads"] = keys * random.randint(1, 3)


def _mend_recurrent(config: dict[str, Any], random: Random) -> None:
    """Mamba 2: as many heads of the right width as the inner width has."""
    hidden = _count(config, HIDDEN, 64)
    for heads_key, width_key, groups_key in (
        ("mamba_n_heads", "mamba_d_head", "mamba_n_groups"),
        ("num_heads", "head_dim", "n_groups"),
        ("n_mamba_heads", "mamba_headdim", "mamba_ngroups"),
        ("mamba_num_heads", "", "n_groups"),
    ):
        heads = config.get(heads_key)
        if not isinstance(heads, int) or (heads_key == "num_heads" and config["model_type"] != "mamba2"):
            continue
        if isinstance(config.get(groups_key), int) and heads % config[groups_key]:
            config[groups_key] = random.choice([each for each in range(1, heads + 1) if heads % each == 0])
        inner = config.get("mamba_d_ssm") or int((config.get("mamba_expand") or config.get("expand") or 2) * hidden)
        if width_key and inner % heads:
            config[heads_key] = heads = next(each for each in (8, 4, 2, 1) if inner % each == 0)
            config[groups_key] = 1
        if width_key and isinstance(config.get(width_key), int):
            config[width_key] = inner // heads


def _mend_experts(config: dict[str, Any], random: Random) -> None:
    """No more experts chosen than there are, and groups that share them out."""
    for experts_key in ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts"):
        experts = config.get(experts_key)
        if not isinstance(experts, int):
            continue
        for key in ("num_experts_per_tok", "top_k_experts", "moe_k", "moe_topk"):
            if isinstance(config.get(key), int) and config[key] > max(1, experts):
                config[key] = random.randint(1, max(1, experts))
        if isinstance(config.get("n_group"), int) and experts % config["n_group"]:
            config["n_group"] = config["topk_group"] = 1
        if isinstance(config.get("n_group"), int) and isinstance(config.get("topk_group"), int):
            config["topk_group"] = min(config["topk_group"], config["n_group"])
    if "ffn_config" in config and "moe_num_experts" in config["ffn_config"]:
        ffn = config["ffn_config"]
        ffn["moe_top_k"] = min(ffn["moe_top_k"], ffn["moe_num_experts"])


def _mend_lists(config: dict[str, Any], random: Random) -> None:
    """Lists with an entry for each layer as long as there are layers, and numbers only of layers that exist."""
    count = _count(config, LAYERS)
    for key, value in config.items():
        pair = (config["model_type"], key) == PAIR
        if not isinstance(value, list) or pair or key in ("attention_types", "compress_ratios"):
            continue
        if key in PLACES:
            config[key] = [place for place in value if place < count]
        elif value and key != "block_types":
            config[key] = [*value, *random.choices(value, k=count)][:count]
    if config["model_type"] == "nemotron_h" and isinstance(config.get("hybrid_override_pattern"), str):
        config["hybrid_override_pattern"] = "".join(random.choices("M*-E", k=count))
    if isinstance(config.get("index_topk_pattern"), str):
        config["index_topk_pattern"] = "F" + "".join(random.choices("FS", k=count - 1))
    if config.get("attention_types"):
        kinds = [random.choice(("global", "local")) for _ in range(count)]
        config["attention_types"] = [[[kind], 1] for kind in kinds]


@dataclass
class Outcome:
    """What holding one config against transformers showed."""

    status: str
    """exact, differs, crash, refused (by the reader alone), not run (parameters are exact, no forward), not built."""
    text: str = ""


def outcome(config: dict[str, Any]) -> Outcome:
    """Read the config, build it, and compare all that can be compared, to the unit."""
    try:
        spec = read_config(copy.deepcopy(config), model_id="drawn")
    except InputError as error:
        try:
            meta_model(config)
        except InputError as refused:
            return Outcome("not built", str(refused))
        return Outcome("refused", str(error).splitlines()[0])
    except Exception as error:
        return Outcome("crash", f"{type(error).__name__}: {error}")
    try:
        result = verify_model(LoadedModel(spec=spec, config=config))
    except Exception as error:
        return Outcome("crash", f"while verified: {type(error).__name__}: {error}")
    if result.status == "unsupported":
        return Outcome("not built", result.reason or "")
    wrong = [f"{v.figure}: {v.predicted} instead of {v.actual}" for v in result.verdicts if not v.exact]
    if wrong or result.status != "exact":
        return Outcome("differs", "; ".join(wrong))
    missing = next((text for text in result.named if text.startswith("FLOPs and caches: ")), "")
    return Outcome("not run", missing) if missing else Outcome("exact")
