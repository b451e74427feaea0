"""`sparsecalc verify`: its formats, exit codes, the checkpoint as third witness, and what it needs."""

import csv
import io
import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Run, bare
from fake_hub import FakeHub, Tensors
from test_import import DENSE, LATENT, deepseek, llama

pytest.importorskip("torch")
pytest.importorskip("transformers")

from sparsecalc.library.models import LoadedModel, load_model, model_ids
from sparsecalc.measure.counts import step_flops
from sparsecalc.measure.counts.alike_layers import Repeats
from sparsecalc.measure.counts.verification import verify_model
from sparsecalc.read.config import read_config

pytestmark = pytest.mark.slow

SPARSE = {**LATENT, "n_group": 1, "topk_group": 1}
PAGE = Path(__file__).resolve().parent.parent / "docs" / "verification.md"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.json"
    path.write_text(json.dumps(SPARSE))
    return path


def loaded(config: dict[str, Any]) -> LoadedModel:
    return LoadedModel(spec=read_config(config, model_id="small"), config=config)


# --- documents and exit codes -------------------------------------------------------------------------------------


def test_the_json_contract(quick_run: Run, config: Path) -> None:
    found = quick_run("verify", config, "llama-2-7b", "--json")
    assert (found.rc, found.stderr) == (0, "")
    assert found.json["summary"] == "2 exact"
    assert {"python", "torch", "transformers"} == set(found.json["environment"])
    assert [result["model"] for result in found.json["results"]] == ["small", "llama-2-7b"]
    for result in found.json["results"]:
        assert result["status"] == "exact"
        for key in ("params", "active", "kv_cache"):
            assert set(result[key]) == {"predicted", "actual"}
            assert result[key]["predicted"] == result[key]["actual"] > 0
        assert set(result["flops"]) == {"predicted", "counted", "relative_error"}
        assert result["flops"]["relative_error"] == 0
        assert result["checkpoint"] is None
    assert found.json["results"][1]["params"]["actual"] == 6738415616


def test_one_model_is_told_figure_by_figure(quick_run: Run, config: Path) -> None:
    found = quick_run("verify", config)
    assert re.search(r"^small +exact ", found.stdout, re.MULTILINE)
    for figure in ("parameters: router", "FLOPs, decode of 1 after 24: routed_experts", "KV cache, bytes in bf16"):
        assert re.search(rf"^{figure} +([\d,]+) +\1 +exact$", found.stdout, re.MULTILINE)
    assert "latent attention is compared in its expanded form" in found.stdout
    assert "\n1 exact\nHeld against python" in found.stdout


def test_a_forward_pass_that_does_not_run_is_told(quick_run: Run, tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text(json.dumps({**SPARSE, "n_group": 3}))
    found = quick_run("verify", "odd.json")
    assert found.rc == 0
    assert "FLOPs and caches: its forward pass does not run on meta" in found.stdout
    assert "\n1 exact (1 of them in parameters alone)\n" in found.stdout


def test_markdown_and_csv(quick_run: Run, config: Path, tmp_path: Path) -> None:
    page = quick_run("verify", config, "mixtral-8x7b", "-f", "markdown").stdout
    assert page.startswith("# Verification\n")
    assert "**2 exact.** Held against python" in page
    assert "| mixtral-8x7b | exact | 46,702,792,704 | 46,702,792,704 | 0 % | exact |  |" in page
    assert quick_run("verify", config, "-f", "csv", "-o", "out.csv").stdout == ""
    (row,) = csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text()))
    assert (row["model"], row["status"], row["params.actual"]) == ("small", "exact", row["params.predicted"])


def test_a_difference_exits_1_and_is_named(quick_run: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sparsecalc.model.basic_parts import Head

    ops = Head.ops
    monkeypatch.setattr(Head, "ops", lambda self, work: ops(self.but(tied=True), work))
    found = quick_run("verify", config, "llama-2-7b")
    assert found.rc == 1
    assert len(re.findall(r"^parameters: lm_head +0 +[\d,]+ +-[\d,]+$", found.stdout, re.MULTILINE)) == 2
    assert "parameters: norm" not in found.stdout, "of several models, only what differs is told"
    assert "\n2 differ\n" in found.stdout


@pytest.mark.parametrize("arguments", [[], ["--all", "llama-2-7b"], ["--all", "--checkpoint"], ["no-such-model"]])
def test_bad_usage_exits_2(arguments: list[str], quick_run: Run) -> None:
    found = quick_run("verify", *arguments)
    assert (found.rc, found.stdout) == (2, "")
    assert len(found.stderr.splitlines()) == 1


def test_a_model_that_transformers_lacks(quick_run: Run, tmp_path: Path) -> None:
    code = {"AutoConfig": "configuration_deepseek.DeepseekConfig"}
    (tmp_path / "remote.json").write_text(json.dumps({**bare("deepseek-moe-16b"), "auto_map": code}))
    found = quick_run("verify", "remote.json", "--json")
    assert found.rc == 0
    assert found.json["summary"] == "1 by formula only"
    (result,) = found.json["results"]
    assert (result["status"], result["params"]) == ("unsupported", None)
    assert "has no model_type 'deepseek'" in result["reason"]
    assert "code in its repository (auto_map), which is never run" in result["reason"]


def test_remote_code_is_never_asked_for() -> None:
    for path in (PAGE.parent.parent / "sparsecalc").rglob("*.py"):
        assert not re.search(r"trust_remote_code\s*=", path.read_text()), path


# --- what it needs ------------------------------------------------------------------------------------------------

WITHOUT = "import sys; sys.modules[{name!r}] = None\nfrom sparsecalc.cli.main import main\nmain()\n"


@pytest.mark.parametrize("name", ["torch", "transformers"])
def test_a_missing_package_is_one_line(name: str, run: Run) -> None:
    found = run("verify", "llama-2-7b", program=("-c", WITHOUT.format(name=name)))
    assert (found.rc, found.stdout) == (2, "")
    assert found.stderr == (
        f"error: verify needs torch >= 2.6 and transformers >= 4.57 ({name} is missing)."
        ' Install them: pip install -U "sparsecalc[measure]"\n'
    )


@pytest.mark.parametrize(("name", "old"), [("torch", "2.5.1+cu124"), ("transformers", "4.56.2")])
def test_an_old_package_is_one_line(name: str, old: str, quick_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:

    from sparsecalc.cli import _measuring

    real = _measuring.version
    monkeypatch.setattr(_measuring, "version", lambda package: old if package == name else real(package))
    found = quick_run("verify", "llama-2-7b")
    assert found.rc == 2
    assert f"needs torch >= 2.6 and transformers >= 4.57 ({name} is {old}). Install them" in found.stderr


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Python's own handler of SIGINT, also where the tests run in the background, which ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_exits_130(quick_run: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal of Ctrl-C, while the second of three models is built."""
    calls: list[LoadedModel] = []

    def interrupted(model: LoadedModel) -> Any:
        calls.append(model)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
        return verify_model(model)

    monkeypatch.setattr("sparsecalc.measure.counts.verification.verify_model", interrupted)
    found = quick_run("verify", config, config, config)
    assert len(calls) == 2
    assert (found.rc, found.stdout) == (130, "")
    assert found.stderr in ("", "error: interrupted\n")


# --- the checkpoint -----------------------------------------------------------------------------------------------


EXTRA: Tensors = {
    "model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", [8]),
    "model.layers.2.eh_proj.weight": ("BF16", [64, 128]),
}


def test_hub_models_are_held_against_their_checkpoints(hub_run: Run, hub: FakeHub) -> None:
    hub.add("org/same", SPARSE, deepseek())
    hub.add("org/more", DENSE, {**llama(), **EXTRA})
    hub.add("org/odd", DENSE, {**llama(), "model.layers.0.odd.weight": ("BF16", [7, 3])})
    hub.add("org/none", DENSE)
    hub.add("Qwen/Qwen2.5-0.5B", DENSE, llama())
    found = hub_run("verify", *(name for name in hub.repos), "--json")
    assert found.rc == 1
    assert not [line for line in hub.requests if "Qwen" in line], "a built-in model needs no network"
    same, more, odd, none, built_in = found.json["results"]
    assert [result["status"] for result in found.json["results"]] == ["exact", "exact", "differs", "exact", "exact"]
    total = same["params"]["actual"]
    assert same["checkpoint"] == {
        "repo_id": "org/same",
        "params": {"predicted": total, "actual": total},
        "weights_bytes": {"predicted": 2 * total, "actual": 2 * total},
        "weights_dtype": "bf16",
        "by_dtype": [{"dtype": "BF16", "tensors": len(deepseek()), "elements": total, "bytes": 2 * total}],
        "explained": [],
        "unexplained": 0,
    }
    assert [line["value"] for line in more["checkpoint"]["explained"]] == [8, 8192]
    assert more["checkpoint"]["unexplained"] == 0
    assert odd["checkpoint"]["unexplained"] == 21
    assert none["checkpoint"] is built_in["checkpoint"] is None
    assert (built_in["model"], built_in["params"]["actual"]) == ("qwen2.5-0.5b", 494032768)
    warnings = {warn["code"]: warn for warn in found.json["warnings"]}
    assert warnings["unexplained"]["model"] == "org/odd"
    assert "no readable safetensors files" in warnings["no-checkpoint"]["text"]


def test_differences_are_explained_line_by_line(hub_run: Run, hub: FakeHub) -> None:
    hub.add("org/more", DENSE, {**llama(), **EXTRA})
    found = hub_run("verify", "org/more")
    assert found.rc == 0
    assert re.search(r"^F32 +1 +8 +32 B$", found.stdout, re.MULTILINE)
    assert re.search(r"^multi-token-prediction layers +1 tensors +\+8,192$", found.stdout, re.MULTILINE)
    assert re.search(r"^buffers, which .* +1 tensors +\+8$", found.stdout, re.MULTILINE)
    assert re.search(r"^not explained +\+0$", found.stdout, re.MULTILINE)


def test_a_built_in_models_checkpoint_on_demand(hub_run: Run, hub: FakeHub) -> None:
    hub.add("Qwen/Qwen2.5-0.5B", DENSE, llama())
    asked = hub_run("verify", "qwen2.5-0.5b", "--checkpoint", "--json")
    assert asked.rc == 1, "another model's tensors"
    assert asked.json["results"][0]["checkpoint"]["params"]["predicted"] == 494032768
    del hub.repos["Qwen/Qwen2.5-0.5B"]["model.safetensors"]
    refused = hub_run("verify", "qwen2.5-0.5b", "--checkpoint")
    assert refused.rc == 2
    assert "no readable safetensors files" in refused.stderr


def test_a_file_has_no_checkpoint(quick_run: Run, config: Path) -> None:
    found = quick_run("verify", config, "--checkpoint")
    assert found.rc == 2
    assert "no Hub repository is known for it" in found.stderr


# --- layers that are alike are run once ---------------------------------------------------------------------------

ALIKE = [
    ("llama-3-8b", {"num_hidden_layers": 8}, 7),
    ("gemma-3n-e4b", {"num_hidden_layers": 15, "num_kv_shared_layers": 5}, 8),
    ("granite-4.0-h-tiny", {"num_hidden_layers": 10}, 7),
    ("gpt-oss-20b", {"num_hidden_layers": 6}, 4),
]
"""Released models with fewer layers, and how many of them must repeat another."""


def shortened(name: str, changes: dict[str, int]) -> LoadedModel:
    config = {**bare(name), **changes}
    if "layer_types" in config:
        config["layer_types"] = config["layer_types"][: changes["num_hidden_layers"]]
    return loaded(config)


@pytest.mark.parametrize(("name", "changes", "at_least"), ALIKE, ids=[name for name, *_ in ALIKE])
def test_running_one_layer_of_each_kind_changes_nothing(
    name: str, changes: dict[str, int], at_least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, repeated = step_flops.repeated_layers, []

    @contextmanager
    def watched(*args: Any) -> Any:
        with real(*args) as repeats:
            yield repeats
        repeated.append(sum(repeats.times.values()) - len(repeats.times))

    @contextmanager
    def every_layer(*args: Any) -> Any:
        yield Repeats(args[-1])

    monkeypatch.setattr(step_flops, "repeated_layers", watched)
    model = shortened(name, changes)
    quick = verify_model(model)
    assert min(repeated) >= at_least
    monkeypatch.setattr(step_flops, "repeated_layers", every_layer)
    assert verify_model(model) == quick


def test_windows_of_real_models_are_passed() -> None:
    figures = [verdict.figure for verdict in verify_model(loaded(bare("gpt-oss-20b"))).verdicts]
    assert "FLOPs, prefill of 136 after 0: scores and values" in figures


# --- the page -----------------------------------------------------------------------------------------------------


def test_the_page_names_every_built_in_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rewritten by: sparsecalc verify --all --format markdown -o docs/verification.md."""
    monkeypatch.delenv("SPARSECALC_DATA", raising=False)
    page = PAGE.read_text()
    rows = dict(re.findall(r"^\| ([a-z0-9.-]+) \| (exact|differs|unsupported)", page, re.MULTILINE))
    assert list(rows) == model_ids()
    by_formula = {name for name in model_ids() if load_model(name).spec.checked_by == "formula"}
    assert {name for name, verdict in rows.items() if verdict == "unsupported"} == by_formula
    assert f"**{len(rows) - len(by_formula)} exact, {len(by_formula)} by formula only.**" in page
