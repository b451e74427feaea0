"""The command line: every command in every format, the JSON contract, names, streams, exit codes, start-up."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, bare

from sparsecalc.core.components import COMPONENTS

SNAPSHOTS = Path(__file__).parent / "snapshots"
FORMATS = ("table", "markdown", "json", "jsonl", "csv", "html")
COMMANDS: dict[str, list[str]] = {
    "show": ["show", "mixtral-8x7b"],
    "compare": ["compare", "mixtral-8x7b", "llama-70b"],
    "explain": ["explain", "mixtral-8x7b"],
    "models": ["models"],
    "families": ["models", "--families"],
    "gpus": ["gpus"],
    "show on a device": ["show", "mixtral-8x7b", "--gpu", "h100-sxm", "--num-gpus", "2"],
    "compare on a device": ["compare", "mixtral-8x7b", "llama-70b", "--gpu", "h100-sxm"],
    "grid": ["compare", "mixtral-8x7b", "llama-70b", "--gpu", "h100,l40s", "--batch-size", "1,8", "--context", "1k,4k"],
    "ledger of a step": ["explain", "mixtral-8x7b", "decode", "--gpu", "h100-sxm", "--num-gpus", "2"],
    "techniques": ["compare", "llama-2-7b", "llama-2-7b+2:4", "--gpu", "a100"],
    "routing": ["routing", "mixtral-8x7b", "--routing", "zipf:0.7", "--gpu", "h100-sxm"],
    "crossover": [
        "crossover",
        "mixtral-8x7b",
        "llama-2-13b",
        "--over",
        "batch",
        "--gpu",
        "h100-sxm",
        "--num-gpus",
        "2",
    ],
    "dense-equivalent": ["dense-equivalent", "mixtral-8x7b"],
    "finetune": ["finetune", "llama-2-7b", "--method", "lora", "--gpu", "h100-sxm"],
    "import": ["import", "mixtral-8x7b", "-o", "spec.json"],
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_in_every_format(command: str, form: str, quick_run: Run) -> None:
    found = quick_run(*COMMANDS[command], "--format", form)
    assert found.rc == 0, found.stderr
    assert found.stdout.endswith("\n")
    assert "…" not in found.stdout
    assert "\x1b" not in found.stdout
    assert {line.partition(":")[0] for line in found.stderr.splitlines()} <= {"note"}
    if form == "json":
        document = found.json
        assert (document["schema_version"], document["command"]) == (1, COMMANDS[command][0])
        assert {"inputs", "warnings"} <= set(document)
    elif form == "jsonl":
        rows = [json.loads(line) for line in found.stdout.splitlines()]
        assert rows
        assert all(isinstance(row, dict) for row in rows)
    elif form == "csv" and command != "import":
        rows = list(csv.DictReader(io.StringIO(found.stdout)))
        assert rows
        assert all(None not in row and None not in row.values() for row in rows)
    elif form == "html":
        assert found.stdout.startswith("<!doctype html>")
        assert found.stdout.count("<table>") == found.stdout.count("</table>")
        assert "<script" not in found.stdout
    elif form == "markdown" and command != "import":
        table = next(block for block in found.stdout.split("\n\n") if block.startswith("|")).splitlines()
        assert re.fullmatch(r"\|(:?-+:?\|)+", table[1])
        assert len({line.count("|") for line in table}) == 1


# --- the JSON contract --------------------------------------------------------------------------------------------

PARAMS = {"total", "active", "active_excl_embedding", "active_excl_embedding_and_head", "by_component"}
FLOPS = {"prefill_per_token", "decode_per_token", "context_len"}
MEMORY = {
    "weights_bytes",
    "kv_cache_bytes_per_token",
    "kv_cache_bytes",
    "state_bytes",
    "activation_bytes",
    "total_bytes",
}


def holds_the_contract(model: dict[str, Any]) -> None:
    assert {"model", "params", "flops", "memory"} <= set(model)
    assert {"id", "model_type", "kind", "sources"} <= set(model["model"])
    assert set(model["params"]) >= PARAMS
    assert set(model["params"]["by_component"]) == set(COMPONENTS)
    assert set(model["flops"]) >= FLOPS
    assert set(model["memory"]) >= MEMORY
    integers = [*(model["params"][key] for key in PARAMS - {"by_component"}), *(model["memory"][key] for key in MEMORY)]
    assert all(type(value) is int for value in integers)
    assert type(model["flops"]["decode_per_token"]) is int


def test_the_json_of_show(quick_run: Run) -> None:
    document = quick_run("show", "mixtral-8x7b", "--context", 2048, "--batch-size", 3, "--json").json
    holds_the_contract(document)
    params = document["params"]
    assert (params["total"], params["active"]) == (46702792704, 12879925248)
    assert (params["active_excl_embedding"], params["active_excl_embedding_and_head"]) == (12748853248, 12617781248)
    assert document["memory"]["kv_cache_bytes_per_token"] == 131072
    assert document["memory"]["kv_cache_bytes"] == 3 * 2048 * 131072
    assert document["flops"]["context_len"] == 2048
    assert document["inputs"]["models"] == ["mixtral-8x7b"]
    assert (document["inputs"]["batch_size"], document["inputs"]["context_len"]) == (3, 2048)


def test_the_json_of_compare(quick_run: Run) -> None:
    document = quick_run("compare", "mixtral-8x7b", "llama-70b", "--json").json
    for model in document["models"]:
        holds_the_contract(model)
    first, second = document["ratios"]
    assert (first["model"], first["to"], first["total"]) == ("mixtral-8x7b", "mixtral-8x7b", 1)
    assert (second["model"], second["to"]) == ("llama-2-70b", "mixtral-8x7b")
    assert second["total"] == document["models"][1]["params"]["total"] / document["models"][0]["params"]["total"]
    assert {"code", "text"} <= set(document["warnings"][0])
    assert 2 <= len(document["conclusion"]) <= 4
    assert "3.6x" in document["conclusion"][0]


def test_a_compare_holds_what_each_show_says(quick_run: Run) -> None:
    both = quick_run("compare", "mixtral-8x7b", "deepseek-v3", "--json").json["models"]
    for model in both:
        alone = quick_run("show", model["model"]["id"], "--json").json
        assert model == {key: alone[key] for key in model}


@pytest.mark.parametrize("topic", ["total", "active", "flops", "kv_cache", "weights"])
@pytest.mark.parametrize("name", ["mixtral-8x7b", "deepseek-v3", "qwen2.5-0.5b"])
def test_an_explanation_ends_in_what_show_says(name: str, topic: str, quick_run: Run) -> None:
    shown = quick_run("show", name, "--json").json
    figures = {
        "total": shown["params"]["total"],
        "active": shown["params"]["active"],
        "flops": shown["flops"]["decode_per_token"],
        "kv_cache": shown["memory"]["kv_cache_bytes_per_token"],
        "weights": shown["memory"]["weights_bytes"],
    }
    document = quick_run("explain", name, topic, "--json").json
    assert document["result"] == figures[topic]
    assert sum(line["value"] for line in document["lines"]) == document["result"]
    printed = quick_run("explain", name, topic).stdout.rstrip().splitlines()[-1]
    assert printed.startswith(f"{topic} = {figures[topic]:,} ")


def test_the_json_of_a_device(quick_run: Run) -> None:
    one, four = (
        quick_run("show", "mixtral-8x7b", "--gpu", "h100-sxm", "--num-gpus", count, "--json").json["prediction"]
        for count in (1, 4)
    )
    for found in (one, four):
        assert {"fits", "gpus_needed", "prefill", "decode", "serving", "usd_per_million_output_tokens"} <= set(found)
    assert (one["fits"], four["fits"]) == (False, True)
    assert one["gpus_needed"] == four["gpus_needed"] == 2
    assert quick_run("show", "mixtral-8x7b", "--json").json["prediction"] is None


def test_a_comparison_ends_in_what_does_not_fit(quick_run: Run) -> None:
    names = ["mixtral-8x7b", "deepseek-v3"]
    last = quick_run("compare", *names, "--gpu", "h100-sxm", "--json").json["conclusion"][-2:]
    for name, sentence in zip(names, last, strict=True):
        assert sentence.startswith(f"{name} does not fit on 1 h100-sxm")


def test_csv_has_a_row_per_model_and_a_column_per_figure(quick_run: Run) -> None:
    text = quick_run("compare", "mixtral-8x7b", "llama-2-7b", "--format", "csv").stdout
    moe, dense = csv.DictReader(io.StringIO(text))
    assert int(moe["params.total"]) == 46702792704
    assert int(moe["params.by_component.routed_experts"]) == 45097156608
    assert (moe["experts.num_experts"], dense["experts.num_experts"]) == ("8", "")
    assert "experts" not in moe


# --- names --------------------------------------------------------------------------------------------------------


def test_one_model_by_all_its_names(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "own model"
    folder.mkdir()
    config = json.dumps(bare("mixtral-8x7b"))
    (folder / "config.json").write_text(config)
    (tmp_path / "with+plus.json").write_text("\ufeff" + config, encoding="utf-8")
    expected = run("show", "mixtral-8x7b", "--json").json["params"]
    for name in (
        "mixtral",
        "MIXTRAL-8X7B",
        "mistralai/Mixtral-8x7B-v0.1",
        folder,
        folder / "config.json",
        "own model/config.json",
        "with+plus.json",
    ):
        assert run("show", name, "--json").json["params"] == expected, name
    assert run("show", "-", "--json", stdin=config).json["params"] == expected
    assert run("show", "config.json", "--json", cwd=folder).json["model"]["id"] == "own model"
    assert run("show", ".", "--json", cwd=folder).json["model"]["id"] == "own model"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="no /dev/fd")
def test_a_model_from_a_pipe(tmp_path: Path) -> None:
    config = json.dumps(bare("mixtral-8x7b"))
    reading, writing = os.pipe()
    os.write(writing, config.encode())
    os.close(writing)
    command = [sys.executable, "-m", "sparsecalc", "show", f"/dev/fd/{reading}", "--json"]
    found = subprocess.run(command, capture_output=True, text=True, pass_fds=[reading], timeout=60)
    os.close(reading)
    assert json.loads(found.stdout)["params"]["total"] == 46702792704


def test_a_format_may_follow_a_name(quick_run: Run, tmp_path: Path) -> None:
    both = quick_run("compare", "mixtral-8x7b", "mixtral-8x7b+experts=int4", "--json").json
    plain, packed = both["models"]
    assert packed["model"]["id"] == "mixtral-8x7b+experts=int4"
    assert plain["params"] == packed["params"]
    experts = packed["memory"]["weights_by_component"]["routed_experts"]
    assert experts == 45097156608 // 2 + 45097156608 // 128 * 2
    assert packed["memory"]["weights_by_component"]["attention"] == plain["memory"]["weights_by_component"]["attention"]
    for one, other in (
        ("mixtral-8x7b+int4+head=bf16", "mixtral-8x7b+head=bf16+int4"),
        ("mixtral-8x7b+fp8,experts=int4", "mixtral-8x7b+EXPERTS=int4,FP8"),
    ):
        assert quick_run("show", one, "--json").json["memory"] == quick_run("show", other, "--json").json["memory"]
    folder = tmp_path / "a+b"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(bare("mixtral-8x7b")))
    assert quick_run("show", folder, "--json").json["memory"]["weights_dtype"] == "bf16"
    assert quick_run("show", f"{folder}/config.json+int4", "--json").json["memory"]["weights_dtype"] == "int4"


def test_own_specs_lie_beside_the_built_in_ones(run: Run, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    small = {**bare("mixtral-8x7b"), "num_hidden_layers": 1}
    (own / "My-Model.json").write_text(json.dumps({**small, "sparsecalc": {"id": "my-model", "sources": ["mine"]}}))
    (own / "mixtral.json").write_text(json.dumps(small))
    env = {"SPARSECALC_DATA": str(own)}
    found = run("show", "my-model", "--json", env=env).json
    assert found["model"]["num_hidden_layers"] == 1
    assert found["model"]["origin"] == str(own / "My-Model.json")
    assert run("show", "mixtral", "--json", env=env).json["model"]["num_hidden_layers"] == 1
    assert "Did you mean 'My-Model'" in run("show", "my-modle", env=env).stderr
    assert "no such folder" in run("show", "my-model", env={"SPARSECALC_DATA": str(tmp_path / "gone")}).stderr
    (own / "My-Model.json").write_text("{")
    broken = run("show", "my-model", env=env)
    assert broken.rc == 2
    assert "My-Model.json: not JSON" in broken.stderr


def test_an_unread_key_is_named_in_a_warning(quick_run: Run, tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text(json.dumps({**bare("mixtral-8x7b"), "an_unheard_of_gate_width": 77}))
    found = quick_run("show", "odd.json", "--json")
    assert [warn["code"] for warn in found.json["warnings"]] == ["unread-keys"]
    assert "an_unheard_of_gate_width" in found.json["warnings"][0]["text"]
    assert found.stderr.startswith("note: odd: ")
    assert "> unread-keys: odd: keys" in quick_run("show", "odd.json", "--format", "markdown").stdout


def test_the_order_of_warnings_names_each_model(quick_run: Run) -> None:
    found = quick_run("compare", "mixtral", "llama-70b", "--json").json["warnings"]
    assert [(warn["code"], warn["model"]) for warn in found] == [("alias", "mixtral-8x7b"), ("alias", "llama-2-70b")]


# --- streams, files, exit codes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_holds_what_stdout_would(form: str, quick_run: Run, tmp_path: Path) -> None:
    printed = quick_run("compare", "mixtral-8x7b", "llama-2-7b", "--format", form)
    written = quick_run("compare", "mixtral-8x7b", "llama-2-7b", "--format", form, "-o", "out")
    assert (written.rc, written.stdout) == (0, "")
    assert (tmp_path / "out").read_text() == printed.stdout
    assert quick_run("compare", "mixtral-8x7b", "llama-2-7b", "-f", form, "-o", "-").stdout == printed.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_json_is_a_short_form(quick_run: Run) -> None:
    assert quick_run("show", "mixtral-8x7b", "--json") == quick_run("show", "mixtral-8x7b", "--format", "json")


@pytest.mark.parametrize("columns", ["20", "80"])
def test_piped_tables_are_never_cut(columns: str, run: Run) -> None:
    found = run("compare", "mixtral-8x7b", "llama-70b", "deepseek-v3", env={"COLUMNS": columns})
    assert "46.7 B  (46,702,792,704)" in found.stdout
    assert max(len(line) for line in found.stdout.splitlines()) > 100
    assert "…" not in found.stdout
    assert "..." not in found.stdout


def test_a_narrow_terminal_folds_cells_and_cuts_nothing() -> None:
    from sparsecalc import compare
    from sparsecalc.reports.formats import render

    text = render(compare(["mixtral-8x7b", "llama-70b"]), "table", width=70)
    assert "…" not in text
    assert max(len(line) for line in text.splitlines()) <= 70
    assert "46,702,792,704" in re.sub(r"\s", "", text).replace("(", "")


def test_colours_only_for_a_terminal(run: Run) -> None:
    for env in ({}, {"NO_COLOR": None}, {"NO_COLOR": None, "TERM": "xterm-256color"}):
        assert "\x1b" not in run("show", "mixtral-8x7b", env=env).stdout


@pytest.mark.parametrize(
    "command", [[], ["show"], ["compare"], ["explain"], ["models"], ["gpus"], ["import"], ["verify"]]
)
def test_help(command: list[str], quick_run: Run) -> None:
    short, long = quick_run(*command, "-h"), quick_run(*command, "--help")
    assert short == long
    assert short.rc == 0
    assert "Example: sparsecalc" in short.stdout
    assert "…" not in short.stdout
    if command == ["show"]:
        assert "4096" in short.stdout, "defaults that the code fills in are told"


def test_no_arguments_print_the_help(quick_run: Run) -> None:
    found = quick_run()
    assert found.rc == 2
    assert "compare" in found.stdout
    assert found.stderr == ""


def test_version(run: Run) -> None:
    found = run("--version")
    assert found.rc == 0
    assert re.fullmatch(r"sparsecalc \d+\.\d+\.\d+\n", found.stdout)


def test_the_installed_command_is_the_module(run: Run) -> None:
    command = Path(sys.executable).with_name("sparsecalc")
    found = subprocess.run([command, "show", "mixtral-8x7b", "--json"], capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stdout) == (0, run("show", "mixtral-8x7b", "--json").stdout)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["explain", "deepseek-v3", "--json"], ["show", "mixtral-8x7b"], ["gpus"]])
def test_a_reader_that_leaves_causes_no_noise(arguments: list[str]) -> None:
    """As `sparsecalc ... | head -1`: the pipe is closed before the command writes."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "sparsecalc", *arguments]
    found = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert found.returncode == 0
    assert "BrokenPipe" not in found.stderr
    assert {line.partition(":")[0] for line in found.stderr.splitlines()} <= {"note"}


def test_debug_shows_the_traceback(run: Run) -> None:
    quiet, loud = run("show", "mixtral-8x7"), run("show", "mixtral-8x7", env={"SPARSECALC_DEBUG": "1"})
    assert quiet.rc == 2
    assert "Traceback" not in quiet.stderr
    assert loud.rc != 0
    assert "Traceback" in loud.stderr
    assert "InputError: unknown model 'mixtral-8x7'" in loud.stderr


def _ending(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*args: object, **how: object) -> None:
        raise error

    monkeypatch.setattr("sparsecalc.decide.show.show", fail)


def test_an_interrupt_and_a_surprise(quick_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    _ending(monkeypatch, KeyboardInterrupt())
    found = quick_run("show", "mixtral-8x7b")
    assert found.rc == 130
    assert found.stderr in ("", "error: interrupted\n")
    _ending(monkeypatch, ZeroDivisionError("odd\nthing"))
    found = quick_run("show", "mixtral-8x7b")
    assert found.rc == 1
    assert "unexpected ZeroDivisionError: odd thing" in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_start_up_imports_nothing_heavy(run: Run) -> None:
    program = (
        "import sys, atexit\n"
        "heavy = ('torch', 'transformers', 'numpy', 'rich', 'huggingface_hub', 'gguf')\n"
        "atexit.register(lambda: print(*[name for name in heavy if name in sys.modules], file=sys.stderr))\n"
        "from sparsecalc.cli.main import main\n"
        "main()\n"
    )
    found = run("compare", "mixtral-8x7b", "llama-2-70b", "--json", program=("-c", program))
    assert found.json["ratios"]
    assert found.stderr.strip() == ""
    assert "rich" in run("compare", "mixtral-8x7b", "llama-2-70b", program=("-c", program)).stderr, "the probe sees it"


# --- snapshots ----------------------------------------------------------------------------------------------------

SNAPPED = {
    "show": ["show", "mixtral-8x7b", "--batch-size", "8"],
    "show-deepseek-v3": ["show", "deepseek-v3"],
    "compare": ["compare", "mixtral-8x7b", "llama-70b"],
    "compare-three": ["compare", "qwen3-30b-a3b", "qwen3-30b-a3b+experts=mxfp4", "llama-2-7b", "--context", "32768"],
    "explain-active": ["explain", "mixtral-8x7b", "active"],
    "explain-flops": ["explain", "deepseek-v3", "flops"],
    "explain-kv_cache": ["explain", "deepseek-v3", "kv_cache"],
    "explain-weights": ["explain", "qwen2.5-0.5b", "weights", "--dtype", "int4"],
}


@pytest.mark.parametrize("form", ["table", "markdown"])
@pytest.mark.parametrize("name", SNAPPED)
def test_snapshots(name: str, form: str, quick_run: Run, request: pytest.FixtureRequest) -> None:
    """What people see. `pytest --update-snapshots` rewrites them; read the difference before it is committed."""
    path = SNAPSHOTS / f"{name}.{form}.txt"
    text = quick_run(*SNAPPED[name], "--format", form).stdout
    if request.config.getoption("--update-snapshots"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def test_every_snapshot_is_used() -> None:
    assert {path.name for path in SNAPSHOTS.iterdir()} == {f"{n}.{form}.txt" for n in SNAPPED for form in FORMATS[:2]}
