"""llama.cpp's metadata keys as a Hugging Face config; what no key tells comes from the tensors."""

from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief
from sparsecalc.data_files import read_data
from sparsecalc.library.gguf.derived import DERIVED, Facts
from sparsecalc.library.gguf.header import TOKENS, Header


def config_of(header: Header, where: str) -> dict[str, Any]:
    """The config that a header stands for, its tensors by type as quantization_config.

    Raises InputError for an architecture that is not known, or one that is no text generator.
    """
    architecture = str(header.meta.get("general.architecture", ""))
    entry = _entry(header, architecture, where)
    facts = Facts(header, architecture)
    config: dict[str, Any] = {"model_type": entry["model_type"], **entry.get("fixed", {})}
    for key, names in {**read_data("gguf_architectures.json")["keys"], **entry.get("keys", {})}.items():
        value = facts.get(key)
        if value is not None and names:
            config.update(dict.fromkeys([names] if isinstance(names, str) else names, value))
    config.update(_common(header, facts, config))
    for name in entry.get("derive", ()):
        config.update(DERIVED[name](facts))
    if kinds := entry.get("layer_types"):
        config["layer_types"] = facts.layer_types(*kinds)
    config["quantization_config"] = _storage(header)
    return config


def _entry(header: Header, architecture: str, where: str) -> dict[str, Any]:
    """What is known of the architecture, with or without experts."""
    table = read_data("gguf_architectures.json")
    if reason := table["refused"].get(architecture):
        raise InputError(
            f"GGUF architecture {architecture} is {reason}", where=where, hint="sparsecalc reads text generators"
        )
    experts = "+experts" if header.meta.get(f"{architecture}.expert_count") else ""
    known: dict[str, dict[str, Any]] = table["architectures"]
    entry = known.get(architecture + experts)
    if entry is None:
        names = sorted({name.removesuffix("+experts") for name in known})
        hint = f"Use its config.json{did_you_mean(architecture, names)}"
        text = "has no general.architecture" if not architecture else f"architecture {brief(architecture)} is not known"
        raise InputError(f"GGUF {text}", where=where, hint=hint)
    return entry


def _common(header: Header, facts: Facts, config: dict[str, Any]) -> dict[str, Any]:
    """What all architectures share: size of the vocabulary, tied tables, layers without those for prediction."""
    found: dict[str, Any] = {"tie_word_embeddings": not facts.has("output.weight")}
    table = facts.shape("token_embd.weight")
    if table and len(table) > 1:
        found["vocab_size"] = table[1]
    elif "vocab_size" not in config and header.lengths.get(TOKENS):
        found["vocab_size"] = header.lengths[TOKENS]
    nextn = facts.get("nextn_predict_layers")
    layers = config.get("num_hidden_layers")
    if isinstance(nextn, int) and isinstance(layers, int) and 0 < nextn < layers:
        found["num_hidden_layers"] = layers - nextn
    for key in ("num_key_value_heads", "num_attention_heads", "intermediate_size"):
        if isinstance(config.get(key), list):
            found[key] = _one_number(config[key])
    return found


def _one_number(values: list[Any]) -> Any:
    """A list with one value per layer as a number, where all layers that have the part agree."""
    sizes = {value for value in values if value}
    return next(iter(sizes)) if len(sizes) == 1 else values


def _storage(header: Header) -> dict[str, Any]:
    """Names of the tensors by type, the file type's name, and the bytes of all."""
    tensors: dict[str, list[str]] = {}
    held: dict[str, int] = {}
    for tensor in header.tensors:
        tensors.setdefault(tensor.kind, []).append(tensor.name)
        held[tensor.kind] = held.get(tensor.kind, 0) + tensor.nbytes
    numbers = read_data("gguf_file_types.json")["numbers"]
    told = numbers.get(str(header.meta.get("general.file_type")))
    return {
        "quant_method": "gguf",
        "file_type": told or max(held, key=lambda kind: held[kind], default="gguf"),
        "bytes": sum(held.values()),
        "tensors": tensors,
    }
