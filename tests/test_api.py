"""The Python API: its examples hold, its reports are typed, its errors are one kind."""

import doctest
import json
from pathlib import Path

import pytest
from conftest import Run, bare

import sparsecalc
from sparsecalc import api
from sparsecalc.core.workload import Workload
from sparsecalc.decide import step_grid as step_grids
from sparsecalc.documents.compare import CompareReport
from sparsecalc.documents.show import ShowReport
from sparsecalc.reports.formats import render


@pytest.mark.parametrize("module", [sparsecalc, api, step_grids], ids=lambda module: module.__name__)
def test_the_examples_in_the_docstrings_hold(module: object) -> None:
    failed, tried = doctest.testmod(module)  # type: ignore[arg-type]
    assert tried >= 2
    assert failed == 0


def test_the_examples_in_the_readme_hold() -> None:
    """Each line of the README's Python block that ends in `# value` evaluates to it."""
    text = (Path(__file__).parent.parent / "README.md").read_text()
    code = text.partition("```python\n")[2].partition("```")[0]
    names: dict[str, object] = {}
    checked = 0
    for line in filter(None, code.splitlines()):
        statement, _, comment = line.partition("  #")
        if not comment:
            exec(statement, names)
            continue
        value, expected = eval(statement, names), comment.strip()
        assert repr(value).startswith(expected.removesuffix("...")), line
        checked += 1
    assert checked >= 4


def test_a_comparison_is_a_typed_report() -> None:
    report = sparsecalc.compare(["mixtral-8x7b", "llama-70b"], batch_size=4, context_len=1000)
    assert isinstance(report, CompareReport)
    assert report.models[0].params.total == 46702792704
    assert report.models[0].memory.kv_cache_bytes == 4 * 1000 * 131072
    assert report.ratios[1].to == "mixtral-8x7b"
    assert report.models[0].experts is not None
    assert report.models[0].experts.batch_size == 4
    assert report.models[1].experts is None
    with pytest.raises((TypeError, ValueError, AttributeError)):
        report.models[0].params.total = 1  # type: ignore[misc]


def test_every_public_name_is_there_and_no_other() -> None:
    for name in sparsecalc.__all__:
        assert getattr(sparsecalc, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = sparsecalc.nothing


def test_a_grid_of_steps_is_what_one_point_after_another_gives() -> None:
    times = sparsecalc.step_grid("mixtral-8x7b", [1, 16], [1024, 4096], ["h100-sxm", "h200-sxm"], num_gpus=[2, 4])
    assert times.seconds.shape == (2, 2, 1, 2, 2)
    for i, gpu in enumerate(times.gpus):
        for j, count in enumerate(times.num_gpus):
            for k, batch in enumerate((1, 16)):
                report = sparsecalc.load("mixtral-8x7b").report(gpu=gpu, num_gpus=count, batch_size=batch)
                assert report.prediction is not None
                assert report.prediction.decode is not None
                assert times.seconds[i, j, 0, k, 1] == pytest.approx(report.prediction.decode.seconds, rel=1e-12)


@pytest.mark.parametrize(
    ("changes", "error"),
    [({"batch_sizes": [0]}, "batch size is 0"), ({"phase": "train"}, "unknown phase"), ({"gpus": ["h1000"]}, "h1000")],
)
def test_a_grid_of_steps_refuses_what_it_cannot_do(changes: dict[str, object], error: str) -> None:
    asked = {"batch_sizes": [1], "context_lens": [64], "gpus": ["h100-sxm"], **changes}
    with pytest.raises(sparsecalc.InputError, match=error):
        sparsecalc.step_grid("llama-2-7b", **asked)  # type: ignore[arg-type]


def test_a_report_is_what_the_command_line_prints(quick_run: Run) -> None:
    report = sparsecalc.load("mixtral-8x7b").report(batch_size=2)
    assert isinstance(report, ShowReport)
    printed = quick_run("show", "mixtral-8x7b", "--batch-size", 2, "--json").stdout
    assert render(report, "json") == printed
    both = sparsecalc.compare(["mixtral-8x7b", "llama-2-7b"])
    assert render(both, "json") == quick_run("compare", "mixtral-8x7b", "llama-2-7b", "--json").stdout


def test_a_model_answers_for_itself(tmp_path: Path) -> None:
    model = sparsecalc.load("mixtral-8x7b+experts=int4")
    assert model.params() == sparsecalc.load("mixtral").params()
    assert model.memory().weights_dtype == "bf16,routed_experts=int4"
    assert model.memory(dtype="fp8").weights_dtype == "fp8"
    assert model.memory(kv_cache_dtype="fp8").kv_cache_bytes_per_token == 131072 // 2
    assert model.ops(Workload()).total("params") == model.params().total
    assert model.flops(causal=False).prefill_per_token > model.flops().prefill_per_token
    path = tmp_path / "config.json"
    path.write_text(json.dumps(bare("mixtral-8x7b")))
    assert sparsecalc.load(str(path)).params() == model.params()
    assert sparsecalc.load(str(tmp_path)).notes == ()


@pytest.mark.parametrize("name", ["mixtral-8x7", "", "nothing.json", "bad\0name.json", "a" * 10_000])
def test_errors_are_input_errors(name: str) -> None:
    with pytest.raises(sparsecalc.InputError) as error:
        sparsecalc.load(name)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2


def test_loads_that_cannot_be_are_input_errors() -> None:
    model = sparsecalc.load("mixtral-8x7b")
    for context in (0, -1):
        with pytest.raises(sparsecalc.InputError, match="context"):
            model.flops(context_len=context)
        with pytest.raises(sparsecalc.InputError, match="context"):
            model.memory(context_len=context)
    with pytest.raises(sparsecalc.InputError, match="at least two"):
        sparsecalc.compare(["mixtral-8x7b"])
    with pytest.raises(sparsecalc.InputError, match="unknown dtype"):
        model.memory(dtype="int44")


def test_the_package_offers_what_it_says() -> None:
    for name in sparsecalc.__all__:
        assert getattr(sparsecalc, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        sparsecalc.nonsense  # noqa: B018
