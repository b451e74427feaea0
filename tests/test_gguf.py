"""GGUF files as a user names them: byte-exact, split, of either byte order, header only, and hostile."""

import json
import re
import struct
from pathlib import Path
from typing import Any

import gguf
import pytest
from conftest import Run
from gguf_files import model_tensors, nbytes, write_gguf

from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Workload
from sparsecalc.data_files import read_data
from sparsecalc.estimate.costs import params
from sparsecalc.library.formats import precision_for
from sparsecalc.library.gguf.files import read_gguf
from sparsecalc.library.models import load_model
from sparsecalc.model.ledgers import Ledgers
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.config import ALIASES, read_config
from sparsecalc.read.stored.file_types import ggml_format, ggml_types
from sparsecalc.read.stored.gguf import _slots

CASES = json.loads((Path(__file__).parent / "gguf_cases.json").read_text())
BY_NAME = {architecture: (case["metadata"], case["config"]) for architecture, case in CASES.items()}
"""llama.cpp's metadata of a small model and the config that Hugging Face would have, by architecture."""


def weight_bytes(spec: ModelSpec) -> int:
    return int(spec.ops(Workload()).sum(precision_for(spec).weight_bytes))


def total(spec: ModelSpec) -> int:
    return params(Ledgers(spec)).total


def small(
    tmp_path: Path, architecture: str = "llama", file_type: str = "q4_k_m", **how: Any
) -> tuple[Path, ModelSpec, int]:
    """A file of one case, the spec of its config, and the bytes of its tensors."""
    meta, config = BY_NAME[architecture]
    spec = read_config(config, model_id="x")
    tensors = model_tensors(spec, ALIASES.get(spec.model_type, spec.model_type), file_type)
    return write_gguf(tmp_path / "small.gguf", architecture, meta, tensors, **how), spec, nbytes(tensors)


@pytest.mark.parametrize("architecture", BY_NAME)
def test_a_file_counts_to_the_byte(architecture: str, tmp_path: Path) -> None:
    path, spec, held = small(tmp_path, architecture)
    found = load_model(str(path)).spec
    assert total(found) == total(spec)
    assert weight_bytes(found) == held
    table = dict(found.formats)["embedding", "embed_tokens"]
    assert table[0][0].tensor_bytes == 0


@pytest.mark.parametrize(
    "file_type", ["iq1_m", "iq2_xxs", "iq3_xs", "iq4_nl", "tq1_0", "tq2_0", "q1_0", "mxfp4_moe", "q8_0", "q3_k_l"]
)
@pytest.mark.parametrize("architecture", ["llama", "qwen3moe", "deepseek2"])
def test_files_of_many_types_count_to_the_byte(architecture: str, file_type: str, tmp_path: Path) -> None:
    path, _, held = small(tmp_path, architecture, file_type)
    assert weight_bytes(load_model(str(path)).spec) == held


def test_a_file_with_its_data_is_read_as_its_header_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    whole, _, held = small(tmp_path / "a", data=True)
    alone, _, _ = small(tmp_path)
    assert whole.stat().st_size > held > alone.stat().st_size
    found = [run("show", path, "--json").json for path in (whole, alone)]
    assert found[0]["memory"]["weights_bytes"] == found[1]["memory"]["weights_bytes"] == held


def test_an_imported_file_keeps_its_formats(run: Run, tmp_path: Path) -> None:
    path, _, held = small(tmp_path, "gemma3")
    first = run("show", path, "--json").json
    assert run("import", path).rc == 0
    again = run("show", "small.json", "--json").json
    assert {key: again[key] for key in ("params", "memory")} == {key: first[key] for key in ("params", "memory")}
    assert first["memory"]["weights_bytes"] == held
    assert first["memory"]["weights_dtype_from"] == "config"


@pytest.mark.parametrize("kind", ["q4_0", "iq2_xxs", "bf16", "f16", "mxfp4"])
def test_a_config_may_name_one_type_for_all(kind: str) -> None:
    config = {**BY_NAME["llama"][1], "quantization_config": {"quant_method": "gguf", "tensor_type": kind}}
    spec = read_config(config, model_id="x")
    plain = read_config(BY_NAME["llama"][1], model_id="x")
    _, elements, size = ggml_types()[kind]
    vectors = sum(op.vectors * op.layers for op in plain.ops(Workload()))
    assert weight_bytes(spec) == (total(plain) - vectors) // elements * size + 4 * vectors
    assert spec.notes == plain.notes


def test_a_type_that_ggml_does_not_know_is_said() -> None:
    config = {**BY_NAME["llama"][1], "quantization_config": {"quant_method": "gguf", "tensor_type": "iq1_xxl"}}
    assert "is not understood" in read_config(config, model_id="x").notes[-1].text


def test_big_endian_files_are_read(tmp_path: Path) -> None:
    path, spec, held = small(tmp_path, big=True)
    found = load_model(str(path)).spec
    assert (total(found), weight_bytes(found)) == (total(spec), held)


def test_what_no_op_stands_for_counts_in_the_bytes_alone(tmp_path: Path) -> None:
    meta, config = BY_NAME["llama"]
    spec = read_config(config, model_id="x")
    tensors = {**model_tensors(spec, "llama", "q4_k_m"), "rope_freqs.weight": ((32,), "f32")}
    found = load_model(str(write_gguf(tmp_path / "a.gguf", "llama", meta, tensors))).spec
    assert (total(found), weight_bytes(found)) == (total(spec), nbytes(tensors))
    assert found.notes == spec.notes
    tensors["blk.9.nextn.eh_proj.weight"] = ((512, 1024), "q8_0")
    found = load_model(str(write_gguf(tmp_path / "b.gguf", "llama", meta, tensors))).spec
    assert weight_bytes(found) == nbytes(tensors)
    assert "belong to no part counted here" in found.notes[-1].text


def test_vocab_size_is_that_of_the_table(tmp_path: Path) -> None:
    path, spec, _ = small(tmp_path, "phi3", tokens=7)
    assert load_model(str(path)).spec.vocab_size == spec.vocab_size


def test_decilm_has_lists_of_sizes(tmp_path: Path) -> None:
    meta = {
        "block_count": 4,
        "embedding_length": 512,
        "context_length": 4096,
        "attention.head_count": [8, 8, 0, 8],
        "attention.head_count_kv": [2, 4, 0, 2],
        "feed_forward_length": [1024, 512, 256, 1024],
        "attention.key_length": 64,
    }
    path = write_gguf(tmp_path / "deci.gguf", "deci", meta, {"token_embd.weight": ((1000, 512), "q4_k")})
    ops = load_model(str(path)).spec.ops(Workload())
    widths = sorted((op.rows, op.layers) for op in ops if op.name == "gate_up_proj")
    assert widths == [(256, 1), (512, 1), (1024, 2)]
    assert sum(op.layers for op in ops if op.name == "q_proj") == 3


# --- sets and folders -----------------------------------------------------------------------------------------------


def split(tmp_path: Path) -> tuple[list[Path], int]:
    meta, config = BY_NAME["llama"]
    tensors = model_tensors(read_config(config, model_id="x"), "llama", "q4_k_m")
    names = list(tensors)
    parts = [{name: tensors[name] for name in names[start::3]} for start in range(3)]
    paths = []
    for number, part in enumerate(parts):
        more = {"split.no": number, "split.count": 3, "split.tensors.count": len(tensors)}
        path = tmp_path / f"m-{number + 1:05}-of-00003.gguf"
        paths.append(write_gguf(path, "llama", meta if number == 0 else {}, part, more=more))
    return paths, nbytes(tensors)


def test_any_part_of_a_split_file_means_the_whole_set(tmp_path: Path) -> None:
    paths, held = split(tmp_path)
    for path in paths:
        loaded = load_model(str(path))
        assert weight_bytes(loaded.spec) == held
        assert not loaded.spec.tie_word_embeddings
        assert loaded.spec.id == "m"
    assert weight_bytes(load_model(str(tmp_path)).spec) == held


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    paths, _ = split(tmp_path)
    paths[1].unlink()
    with pytest.raises(InputError, match=r"1 of 3 parts are missing \(m-00002-of-00003.gguf\)"):
        load_model(str(paths[0]))
    other = paths[0].rename(tmp_path / "renamed.gguf")
    with pytest.raises(InputError, match="one of 3 parts"):
        load_model(str(other))


def test_a_folder_of_two_models_is_refused(tmp_path: Path) -> None:
    path, _, held = small(tmp_path)
    small_copy = tmp_path / "mmproj-small.gguf"
    small_copy.write_bytes(path.read_bytes())
    assert weight_bytes(load_model(str(tmp_path)).spec) == held
    (tmp_path / "other.gguf").write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"2 GGUF models in one folder.*Name one of them"):
        load_model(str(tmp_path))


# --- refused --------------------------------------------------------------------------------------------------------


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


HEAD = b"GGUF" + struct.pack("<I", 3)
ARCHITECTURE = text(b"general.architecture") + struct.pack("<I", 8) + text(b"llama")
TENSOR = HEAD + struct.pack("<QQ", 1, 1) + ARCHITECTURE + text(b"t")
TWO = HEAD + struct.pack("<QQ", 0, 2) + ARCHITECTURE
BAD = {
    "a tokenizer of 2^50 entries": (
        TWO + text(b"tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2**50),
        "it claims",
    ),
    "an array of 2^34 bytes": (TWO + text(b"a") + struct.pack("<IIQ", 9, 0, 2**34) + b"1" * 99, "it claims"),
    "keys without end": (HEAD + struct.pack("<QQ", 0, 2**63), "it claims"),
    "tensors without end": (HEAD + struct.pack("<QQ", 2**40, 0) + b"0" * 99, "it claims"),
    "a string of 2^40 bytes": (TWO + text(b"a") + struct.pack("<IQ", 8, 2**40), "ends within its header"),
    "an array of arrays": (TWO + text(b"a") + struct.pack("<IIQ", 9, 9, 3) + b"0" * 99, "type 9"),
    "an unknown type": (TENSOR + struct.pack("<IQIQ", 1, 256, 99, 0), "type 99"),
    "nine dimensions": (TENSOR + struct.pack("<I", 9) + b"0" * 99, "9 dimensions"),
    "half a block": (TENSOR + struct.pack("<IQIQ", 1, 100, 12, 0), "type q4_k has the shape"),
    "no elements": (TENSOR + struct.pack("<IQQIQ", 2, 256, 0, 12, 0), "has the shape"),
    "version 1": (b"GGUF" + struct.pack("<I", 1) + b"0" * 50, "version 1"),
    "nothing": (b"", "does not begin with GGUF"),
    "words": (b"hello" * 100, "does not begin with GGUF"),
    "a cut header": (TWO, "ends within its header"),
}


@pytest.mark.parametrize("what", BAD)
def test_hostile_files_are_refused_at_once(what: str, run: Run, tmp_path: Path) -> None:
    content, words = BAD[what]
    (tmp_path / "bad.gguf").write_bytes(content)
    found = run("show", "bad.gguf")
    assert found.rc == 2
    assert len(found.stderr.splitlines()) == 1
    assert "bad.gguf: not a readable GGUF file" in found.stderr
    assert words in found.stderr


def test_a_vocabulary_of_two_million_is_passed_over(tmp_path: Path) -> None:
    tokens = b"".join(text(b"token%d" % index) for index in range(300_000))
    content = TWO + text(b"tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 300_000) + tokens
    path = tmp_path / "tokens.gguf"
    path.write_bytes(content)
    config = read_gguf(path)
    assert config["vocab_size"] == 300_000
    assert len(str(config)) < 1000


@pytest.mark.parametrize(
    ("architecture", "words"),
    [("bert", "an embedding model"), ("clip", "mmproj"), ("rwkv7", "RWKV"), ("lama", "Did you mean 'llama'")],
)
def test_other_architectures_are_refused_by_name(architecture: str, words: str, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "a.gguf", architecture, {}, {})
    with pytest.raises(InputError, match=rf"GGUF architecture '?{architecture}'? is .*{re.escape(words)}"):
        load_model(str(path))


# --- tables against the gguf package --------------------------------------------------------------------------------


def test_ggmls_types_are_those_of_the_package() -> None:
    theirs = {kind.name.lower(): (kind.value, *gguf.GGML_QUANT_SIZES[kind]) for kind in gguf.GGMLQuantizationType}
    assert ggml_types() == theirs


@pytest.mark.parametrize("name", ggml_types())
def test_each_types_format_has_its_blocks_bytes(name: str) -> None:
    _, elements, size = ggml_types()[name]
    assert ggml_format(name).matrix_bytes(3, 5 * elements) == 15 * size


def test_file_types_are_numbered_as_in_the_package() -> None:
    numbers = {str(kind.value): kind.name.lower() for kind in gguf.LlamaFileType if kind.name != "GUESSED"}
    ours = read_data("gguf_file_types.json")["numbers"]
    assert {number: name.removeprefix("mostly_").removeprefix("all_") for number, name in numbers.items()} == ours


@pytest.mark.parametrize("architecture", BY_NAME)
def test_names_of_tensors_are_those_of_the_package(architecture: str) -> None:
    number = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    known = {gguf.TENSOR_NAMES[tensor] for tensor in gguf.MODEL_TENSORS[number]}
    spec = read_config(BY_NAME[architecture][1], model_id="x")
    names = {slot.names[0] for slot in _slots(spec, ALIASES.get(spec.model_type, spec.model_type))}
    unknown = {re.sub(r"blk\.\d+", "blk.{bid}", name).removesuffix(".weight") for name in names} - known
    assert unknown <= {"blk.{bid}.ffn_gate_inp_shexp"}
