"""GGUF files, header only: llama.cpp's metadata keys become a Hugging Face config."""

from collections import Counter
from pathlib import Path
from typing import Any

from sparsecalc.core.errors import InputError, reason_of
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief
from sparsecalc.data_files import read_data


def read_gguf(path: Path) -> dict[str, Any]:
    """The config that a GGUF file's metadata stands for; its commonest tensor type as quantization_config.

    Raises InputError without the `gguf` package, for a file that is not GGUF, or an unknown architecture.
    """
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise InputError(
            "GGUF files need the gguf package", hint='Install it: pip install "sparsecalc[gguf]"'
        ) from error
    try:
        reader = GGUFReader(path)
        meta = {
            name: field.contents() for name, field in reader.fields.items() if not name.startswith("tokenizer.ggml.")
        }
        tokens = reader.fields.get("tokenizer.ggml.tokens")
        tensors = [(tensor.name, tensor.tensor_type.name.lower(), tensor.n_elements) for tensor in reader.tensors]
    except Exception as error:
        detail = reason_of(error, 100)
        raise InputError(f"not a readable GGUF file ({detail})", where=str(path)) from error
    vocabulary = len(tokens.data) if tokens is not None else None
    return _config(meta, vocabulary, tensors, str(path))


def _config(
    meta: dict[str, Any], vocabulary: int | None, tensors: list[tuple[str, str, int]], where: str
) -> dict[str, Any]:
    table = read_data("gguf_architectures.json")
    architecture = str(meta.get("general.architecture", ""))
    experts = bool(meta.get(f"{architecture}.expert_count"))
    entry = table["architectures"].get(architecture + ("+experts" if experts else ""))
    if entry is None:
        known = did_you_mean(architecture, table["architectures"])
        raise InputError(
            f"GGUF architecture {brief(architecture)} is not known", where=where, hint=f"Use its config.json{known}"
        )
    config: dict[str, Any] = {"model_type": entry["model_type"], **entry.get("fixed", {})}
    for key, names in {**table["keys"], **entry.get("keys", {})}.items():
        value = meta.get(f"{architecture}.{key}")
        if value is not None:
            config.update(dict.fromkeys([names] if isinstance(names, str) else names, value))
    if vocabulary and "vocab_size" not in config:
        config["vocab_size"] = vocabulary
    names = {name for name, _, _ in tensors}
    config["tie_word_embeddings"] = "output.weight" not in names
    weights: Counter[str] = Counter()
    for _, kind, elements in tensors:
        weights[kind] += elements
    if weights:
        config["quantization_config"] = {"quant_method": "gguf", "tensor_type": weights.most_common(1)[0][0]}
    return config
