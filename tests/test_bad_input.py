"""Bad input: exit code 2, one clear line on stderr that says what is wrong, nothing on stdout, and no traceback."""

import copy
import errno
import json
import os
import random
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import Result, Run, bare
from fake_hub import FakeHub

from sparsecalc.cli._output import write_atomically
from sparsecalc.core.errors import InputError
from sparsecalc.library.models import load_model
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.config import read_config

NASTY = "\x1b[31mred\x1b[0m\x9b2J\x07<script>alert(1)</script>[x](http://evil)|\u202e\ud800"


def refused(found: Result, *parts: str) -> None:
    assert found.rc == 2, found
    assert found.stdout == ""
    lines = found.stderr.splitlines()
    assert len(lines) == 1, found.stderr
    assert lines[0].startswith("error: ")
    assert lines[0].isprintable()
    assert len(lines[0]) < 600
    assert "Traceback" not in found.stderr
    assert "unexpected " not in found.stderr.replace("unexpected extra", "")
    for part in parts:
        assert part in found.stderr


def write(folder: Path, config: Any, name: str = "bad.json") -> Path:
    path = folder / name
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return path


BAD_FILES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "empty"),
    "blank": (" \n", "empty"),
    "words": ("hello", "not JSON"),
    "half": ('{"model_type": "mixtral"', "not JSON"),
    "list": ("[1]", "this is a list"),
    "null": ("null", "this is null"),
    "number": ("3", "this is a number"),
    "string": ('"mixtral"', "this is a string"),
    "no model_type": ("{}", "model_type is missing"),
    "binary": (b"\x00\xff\xfe\x00", "not a text file"),
    "zeros": (b"\x00" * 100, "not JSON"),
    "deep list": ("[" * 200_000, "nested too deeply"),
    "deep closed list": ("[" * 200_000 + "]" * 200_000, "nested too deeply"),
    "rather deep object": ('{"a":' * 300 + "1" + "}" * 300, "nested too deeply"),
    "integer of 5000 digits": ('{"model_type": "mixtral", "hidden_size": 1' + "0" * 5000 + "}", "not JSON"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_file_that_is_no_config(kind: str, quick_run: Run, tmp_path: Path) -> None:
    content, expected = BAD_FILES[kind]
    path = tmp_path / "bad.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    for command in (["show"], ["explain"], ["compare", "mixtral-8x7b"], ["import"]):
        refused(quick_run(*command, path), "bad.json", expected)


BAD_VALUES: dict[str, tuple[dict[str, Any], str]] = {
    "NaN": ({"hidden_size": float("nan")}, "hidden_size is nan"),
    "Infinity": ({"vocab_size": float("inf")}, "vocab_size is inf"),
    "-Infinity": ({"num_hidden_layers": float("-inf")}, "num_hidden_layers is -inf"),
    "a number as string": ({"hidden_size": "4096"}, "hidden_size is '4096', not an integer"),
    "a word": ({"hidden_size": "big"}, "hidden_size is 'big'"),
    "a fraction": ({"hidden_size": 4096.5}, "hidden_size is 4096.5"),
    "true": ({"intermediate_size": True}, "intermediate_size is True"),
    "a list": ({"intermediate_size": [14336]}, "intermediate_size is [14336]"),
    "an object": ({"num_local_experts": {}}, "num_local_experts is {}"),
    "a null": ({"hidden_size": None}, "hidden_size is missing"),
    "negative layers": ({"num_hidden_layers": -1}, "num_hidden_layers is -1"),
    "zero heads": ({"num_attention_heads": 0}, "num_attention_heads is 0"),
    "zero key-value heads": ({"num_key_value_heads": 0}, "num_key_value_heads is 0"),
    "zero experts": ({"num_local_experts": 0}, "num_local_experts is 0"),
    "10^18 layers": ({"num_hidden_layers": 10**18}, "num_hidden_layers is 1000000000000000000"),
    "10^5 layers": ({"num_hidden_layers": 10**5}, "more than 10000"),
    "10^18 wide": ({"hidden_size": 10**18}, "hidden_size"),
    "10^4000 wide": ({"hidden_size": 10**4000}, "more than 20 digits"),
    "1e300 wide": ({"hidden_size": 1e300}, "larger than any model's"),
    "top-k over experts": ({"num_experts_per_tok": 9}, "num_experts_per_tok is 9"),
    "heads that do not divide": ({"num_attention_heads": 30}, "num_attention_heads (30)"),
    "a width that heads do not divide": ({"hidden_size": 4095}, "hidden_size (4095)"),
    "not true or false": ({"tie_word_embeddings": "yes"}, "tie_word_embeddings is 'yes'"),
    "unknown model_type": ({"model_type": "never_heard_of"}, "unknown model_type 'never_heard_of'"),
    "nearly a model_type": ({"model_type": "mixtrall"}, "Did you mean 'mixtral'?"),
    "a long model_type": ({"model_type": "x" * 5000}, "unknown model_type"),
    "a Python name": ({"model_type": "__init__"}, "unknown model_type"),
    "a path": ({"model_type": "../config"}, "unknown model_type"),
    "a nasty model_type": ({"model_type": NASTY}, "unknown model_type"),
    "model_type 3": ({"model_type": 3}, "model_type is 3"),
    "an empty model_type": ({"model_type": ""}, "model_type is missing"),
    "facts as a list": ({"sparsecalc": []}, "sparsecalc is not an object"),
    "an id as a number": ({"sparsecalc": {"id": 3}}, "id is not a string"),
    "sources as a word": ({"sparsecalc": {"sources": "a"}}, "sources is not a list"),
    "published figures as a list": ({"sparsecalc": {"published": []}}, "published is not an object"),
    "a published figure as a number": ({"sparsecalc": {"published": {"total_text": 3}}}, "total_text is not a string"),
}


@pytest.mark.parametrize("kind", BAD_VALUES)
def test_a_config_with_a_bad_value(kind: str, quick_run: Run, tmp_path: Path, mixtral_config: dict[str, Any]) -> None:
    changed, expected = BAD_VALUES[kind]
    path = write(tmp_path, {**mixtral_config, **changed})
    refused(quick_run("show", path, "--json"), "bad.json", expected)


REQUIRED = ["hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "num_local_experts", "model_type"]


@pytest.mark.parametrize("key", REQUIRED)
def test_a_missing_key(key: str, quick_run: Run, tmp_path: Path, mixtral_config: dict[str, Any]) -> None:
    config = {name: value for name, value in mixtral_config.items() if name != key}
    refused(quick_run("show", write(tmp_path, config)), f"{key} is missing", "bad.json")


def test_an_infinity_where_it_means_nothing_passes(
    tmp_path: Path, quick_run: Run, mixtral_config: dict[str, Any]
) -> None:
    """Mamba configs carry time_step_limit: [0.0, Infinity]."""
    path = write(tmp_path, {**mixtral_config, "time_step_limit": [0.0, float("inf")]})
    assert "Infinity" in path.read_text()
    found = quick_run("show", path, "--json")
    assert (found.rc, found.json["params"]["total"]) == (0, 46702792704)


def test_unknown_names_come_with_the_nearest_one(quick_run: Run) -> None:
    refused(quick_run("show", "mixtral-8x7"), "unknown model 'mixtral-8x7'", "Did you mean 'mixtral-8x7b'?")
    refused(quick_run("compare", "mixtral-8x7b", "lama-70b"), "unknown model 'lama-70b'", "Did you mean 'llama-70b'?")
    refused(quick_run("show", "mixtral-8x7b", "--dtype", "int44"), "unknown dtype 'int44'", "Did you mean 'int4'?")
    refused(quick_run("show", "mixtral-8x7b", "--kv-cache-dtype", "fp9"), "unknown dtype 'fp9'", "Did you mean 'fp8'?")
    refused(quick_run("show", "mixtral-8x7b+int44"), "unknown dtype 'int44'")
    refused(quick_run("show", "mixtral-8x7b+expert=int4"), "unknown component 'expert'", "experts")
    refused(quick_run("show", "mixtral-8x7b+experts="), "unknown dtype ''")
    refused(quick_run("show", "mixtral-8x7b+int4+fp8"), "int4 and fp8")
    refused(quick_run("explain", "mixtral-8x7b", "activ"), "unknown topic 'activ'", "Did you mean 'active'?")
    refused(quick_run("show", "mixtral-8x7b", "--gpu", "h100-sxn"), "h100-sxn", "Did you mean 'h100-sxm'?")
    refused(quick_run("compare", "mixtral-8x7b", "llama-70b", "--gpu", "../h100-sxm"), "../h100-sxm")
    refused(quick_run("show", "mixtral-8x7b", "--format", "jsn"), "unknown format 'jsn'", "Did you mean 'json'?")
    refused(quick_run("show", "mixtral-8x7b", "--format", "JSON"), "unknown format 'JSON'", "Did you mean 'json'?")


@pytest.mark.parametrize(
    "name", ["", " ", "x" * 5000, "y" * 300 + "/" + "z" * 300, "a b", "..", "a/b/c/d", "~nobody-here/x"]
)
def test_a_name_that_is_no_model(name: str, quick_run: Run) -> None:
    refused(quick_run("show", name))


@pytest.mark.parametrize(
    "arguments",
    [
        ["sho"],
        ["show"],
        ["show", "mixtral-8x7b", "--nonsense"],
        ["show", "mixtral-8x7b", "llama-70b"],
        ["show", "mixtral-8x7b", "--context", "many"],
        ["compare"],
        ["compare", "mixtral-8x7b"],
        ["explain"],
        ["import"],
        ["--nonsense"],
    ],
)
def test_wrong_usage(arguments: list[str], quick_run: Run) -> None:
    refused(quick_run(*arguments))


@pytest.mark.parametrize("option", ["--batch-size", "--context", "--max-num-batched-tokens", "--num-gpus"])
@pytest.mark.parametrize("value", [0, -1, 2**40])
def test_a_load_that_cannot_be(option: str, value: int, quick_run: Run) -> None:
    refused(quick_run("show", "mixtral-8x7b", option, value), str(value))


@pytest.mark.parametrize("value", ["0", "-0.1", "1.1", "nan"])
def test_a_share_of_memory_that_cannot_be(value: str, quick_run: Run) -> None:
    refused(quick_run("show", "mixtral-8x7b", "--gpu-memory-utilization", value), "share")


def test_paths_that_lead_nowhere(quick_run: Run, tmp_path: Path) -> None:
    refused(quick_run("show", tmp_path / "nothing.json"), "no such file", "nothing.json")
    refused(quick_run("show", "./nothing"), "no such file")
    (tmp_path / "hollow").mkdir()
    refused(quick_run("show", tmp_path / "hollow"), "no config.json in the folder", "hollow")
    (tmp_path / "odd" / "config.json").mkdir(parents=True)
    refused(quick_run("show", tmp_path / "odd"), "no config.json")
    file = write(tmp_path, "{}", "file.json")
    refused(quick_run("show", file / "config.json"), "file.json")
    (tmp_path / "broken").symlink_to(tmp_path / "gone")
    refused(quick_run("show", "broken"), "no such file")
    refused(quick_run("show", tmp_path / ("n" * 300 + ".json")), "too long")


def test_loops_of_links(quick_run: Run, tmp_path: Path, mixtral_config: dict[str, Any]) -> None:
    (tmp_path / "loop.json").symlink_to(tmp_path / "loop.json")
    refused(quick_run("show", "loop.json"), "loop.json")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    refused(quick_run("show", "loop"), "loop")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "again").symlink_to(folder)
    refused(quick_run("show", "folder/again/again/again"), "no config.json")
    refused(quick_run("show", "folder" + "/again" * 60), "folder/again")
    write(folder, mixtral_config, "config.json")
    assert quick_run("show", "folder/again/again").rc == 0


def test_a_file_of_200_megabytes(quick_run: Run, tmp_path: Path) -> None:
    for name in ("model.json", "model.safetensors"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(200 * 2**20)
        refused(quick_run("show", tmp_path / name), "more than 16,777,216 bytes")


def test_bad_standard_input(run: Run) -> None:
    for content, expected in ((b"", "empty"), (b"\xff\xfe\x00", "not a text file"), (b"[]", "this is a list")):
        refused(run("show", "-", stdin=content), expected)


def test_a_path_in_an_unknown_encoding(run: Run, tmp_path: Path, mixtral_config: dict[str, Any]) -> None:
    name = os.fsdecode(b"odd\xff.json")
    refused(run("show", name), "no such file")
    write(tmp_path, mixtral_config, name)
    for form in ("table", "markdown", "csv", "json"):
        assert run("show", name, "--format", form).rc == 0


# --- names that would harm a terminal or a page -------------------------------------------------------------------


@pytest.mark.parametrize("form", ["table", "markdown", "csv", "json"])
def test_escapes_in_a_spec_are_printed_harmlessly(
    form: str, quick_run: Run, tmp_path: Path, mixtral_config: dict[str, Any]
) -> None:
    published = {"total_text": NASTY, "active_text": NASTY}
    facts = {"id": NASTY, "hub_id": NASTY, "sources": [NASTY], "published": published}
    nasty = {
        **mixtral_config,
        f"a_size{NASTY}": 77,
        "quantization_config": {"quant_method": NASTY},
        "sparsecalc": facts,
    }
    path = write(tmp_path, nasty)
    commands = (
        ["show", path],
        ["compare", path, "llama-2-7b"],
        ["explain", path, "weights"],
        ["import", path, "-o", "out"],
    )
    for command in commands:
        found = quick_run(*command, "--format", form)
        assert found.rc == 0
        printed = found.stdout + found.stderr
        assert all(char.isprintable() or char == "\n" for char in printed)
        assert "a_size" in found.stderr
        assert "red" in found.stdout or (form, command[0]) == ("csv", "explain")
        if form == "markdown":
            assert "<" not in found.stdout
            assert "\\[x\\]" in found.stdout or "\\[x]" in found.stdout
        if form == "json":
            assert found.stdout.isascii()
            json.loads(found.stdout)


def test_markdown_cells_keep_their_table(quick_run: Run, tmp_path: Path, mixtral_config: dict[str, Any]) -> None:
    path = write(tmp_path, {**mixtral_config, "sparsecalc": {"id": "a|b\nc"}})
    lines = quick_run("show", path, "--format", "markdown").stdout.split("\n\n")[0].splitlines()
    assert {line.replace("\\|", "").count("|") for line in lines} == {3}


# --- the Hub ------------------------------------------------------------------------------------------------------


def test_the_hub_offline_or_out_of_reach(run: Run, hub_env: dict[str, Any]) -> None:
    refused(run("show", "org/name"), "org/name on the Hub", "cannot be reached")
    refused(run("import", "org/name"), "org/name on the Hub", "cannot be reached")
    refused(run("show", "org/name", env={**hub_env, "HF_ENDPOINT": "http://127.0.0.1:9"}), "cannot be reached")


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, "GatedRepo", "gated. Accept its licence"),
        (403, "GatedRepo", "gated. Accept its licence"),
        (404, "RepoNotFound", "no such repository"),
        (401, "RepoNotFound", "no such repository"),
        (404, "EntryNotFound", "has no config.json"),
        (429, "", "status 429"),
        (500, "", "status 500"),
        (503, "", "status 503"),
    ],
)
def test_the_hub_refuses(status: int, code: str, expected: str, hub_run: Run, hub: FakeHub) -> None:
    hub.refusals["org/name"] = (status, code)
    refused(hub_run("show", "org/name"), "org/name on the Hub", expected)


def test_the_hub_has_a_bad_config(hub_run: Run, hub: FakeHub, mixtral_config: dict[str, Any]) -> None:
    hub.add("org/half", b"{")
    refused(hub_run("show", "org/half"), "org/half", "not JSON")
    hub.add("org/odd", {**mixtral_config, "model_type": "oddity"})
    refused(hub_run("show", "org/odd"), "org/odd", "unknown model_type 'oddity'")


def test_a_hub_model_stays_readable_offline(
    run: Run, hub: FakeHub, hub_env: dict[str, Any], mixtral_config: dict[str, Any]
) -> None:
    hub.add("org/name", mixtral_config)
    first = run("show", "org/name", "--json", env=hub_env)
    assert first.rc == 0
    for env in ({"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}):
        assert run("show", "org/name", "--json", env={**hub_env, **env}) == first


# --- output -------------------------------------------------------------------------------------------------------


def test_unwritable_output(quick_run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    for target, expected in [
        ("missing/out.json", "no folder missing"),
        (".", "is a folder"),
        ("file/out.json", "no folder file"),
        ("n" * 300, "cannot be written"),
    ]:
        for command in (["show", "mixtral-8x7b"], ["compare", "mixtral-8x7b", "llama-70b"], ["import", "mixtral-8x7b"]):
            refused(quick_run(*command, "-o", target), expected)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "old"


def _fails(*args: object, **how: object) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("at", ["os.fdopen", "pathlib.Path.replace", "pathlib.Path.chmod", "tempfile.mkstemp"])
@pytest.mark.parametrize("old", ["old", None])
def test_a_failing_write_leaves_what_was_there(
    at: str, old: str | None, tmp_path: Path, quick_run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.json"
    if old:
        target.write_text(old)
    monkeypatch.setattr(at, _fails)
    refused(quick_run("show", "mixtral-8x7b", "-o", target), "out.json", "No space left on device")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == ({"out.json": old} if old else {})


def test_a_write_that_breaks_off_half_way(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    target.write_text("old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(target, "new" * 100_000 + "\ud800")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out.json", "old")]


def test_output_keeps_links_modes_and_pipes(tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "real", tmp_path / "link", tmp_path / "pipe"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_atomically(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640
    os.mkfifo(pipe)
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()), daemon=True)
    reader.start()
    write_atomically(pipe, "through")
    reader.join(timeout=10)
    assert received == ["through"]
    assert pipe.is_fifo()


def test_a_failure_writes_no_file(quick_run: Run, tmp_path: Path) -> None:
    refused(quick_run("show", "mixtral-8x7", "-o", "out.json"))
    refused(quick_run("import", "mixtral-8x7", "-o", "out.json"))
    assert list(tmp_path.iterdir()) == []


def test_an_import_overwrites_nothing_unasked(quick_run: Run, tmp_path: Path, mixtral_config: dict[str, Any]) -> None:
    path = write(tmp_path, mixtral_config, "config.json")
    before = path.read_text()
    (tmp_path / f"{tmp_path.name}.json").write_text("mine")
    refused(quick_run("import", "config.json"), "is there already")
    refused(quick_run("import", "config.json", "-o", "-"), "-o FILE")
    assert path.read_text() == before
    assert quick_run("import", "config.json", "-o", f"{tmp_path.name}.json").rc == 0


# --- a fuzz of configs --------------------------------------------------------------------------------------------

JUNK: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 7, 10**18, 10**400, -(10**400), 0.5, 1e300, float("nan"), float("inf"),
    "", "4096", NASTY, "x" * 10_000, [], [1], ["full_attention"], [None, {}, []], [[1], [2]], {}, {"a": 1},
    {"model_type": "mixtral"}, {"quant_method": []}, {"quant_method": "fp8", "weight_block_size": {}},
    {"quant_method": "gptq", "bits": [4], "group_size": {}}, {"quant_method": "awq", "group_size": [1]},
    {"quant_method": "gguf", "tensor_type": []}, {"quant_method": "compressed-tensors", "config_groups": []},
    {"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"num_bits": [], "type": {}}}}},
    {"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"num_bits": 8, "type": "int"}}}},
    {"quant_method": "bitsandbytes", "load_in_4bit": "x"}, {"quant_algo": {"a": 1}},
]  # fmt: skip
EXTRA_KEYS = [
    "quantization_config", "text_config", "llm_config", "vision_config", "head_dim", "sliding_window", "layer_types",
    "use_sliding_window", "max_window_layers", "mlp_only_layers", "decoder_sparse_step", "rope_scaling",
    "attention_bias",
    "first_k_dense_replace", "moe_layer_freq", "num_nextn_predict_layers", "q_lora_rank", "n_shared_experts", "dtype",
]  # fmt: skip


def mutated(config: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    found = copy.deepcopy(config)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        key = rng.choice([*config, *EXTRA_KEYS])
        if rng.random() < 0.15:
            found.pop(key, None)
        elif rng.random() < 0.1:
            found[rng.choice(list(config))] = config[rng.choice(list(config))]
        else:
            found[key] = rng.choice(JUNK)
    return found


def spec_or_error(config: dict[str, Any]) -> ModelSpec | str:
    try:
        return read_config(config, model_id="fuzz", where="fuzz.json")
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("name", ["mixtral-8x7b", "deepseek-v3", "qwen3-30b-a3b", "qwen2.5-7b", "mistral-7b-v0.1"])
def test_a_damaged_config_is_refused_or_read(name: str, tmp_path: Path) -> None:
    rng = random.Random(f"damage {name}")
    config = bare(name)
    read = 0
    for _ in range(300):
        damaged = mutated(config, rng)
        found = spec_or_error(damaged)
        read += isinstance(found, ModelSpec)
        assert isinstance(found, ModelSpec) or (found.startswith("fuzz.json: ") and len(found) < 600), found
    assert 30 < read < 290, "the fuzz must reach both ends"


def test_a_key_given_twice_counts_as_json_does(tmp_path: Path, mixtral_config: dict[str, Any]) -> None:
    text = json.dumps(mixtral_config)
    path = write(tmp_path, '{"hidden_size": "nonsense", "num_hidden_layers": -3, ' + text[1:])
    assert load_model(str(path)).spec.hidden_size == 4096
