"""Anchors: what a few measured rows of a stack make of predictions, by properties and on the shared stacks."""

import json
from math import exp, log
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as some

from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Workload
from sparsecalc.decide.published import serving_checks, serving_rows
from sparsecalc.decide.question import ask
from sparsecalc.decide.serving_anchor import anchor_from_serving
from sparsecalc.decide.show import show
from sparsecalc.device.anchor import StackLoad, anchor_prior, left_out_errors, load_curve, posterior
from sparsecalc.device.assemble import device_model
from sparsecalc.device.calibration import load_calibration
from sparsecalc.device.find import load_accelerator
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.step import step_time
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import load_model
from sparsecalc.library.serving_files.rows import ServingRow
from sparsecalc.model.ledgers import Ledgers

PRIOR = anchor_prior("tpot")
HEADER = "model,gpu,tp,ep,engine,dtype,concurrency,prompt_len,output_len,tpot_seconds,ttft_seconds\n"
NOTHING = ServingRow(where="", tool="")
loads = some.builds(
    StackLoad,
    sequences=some.integers(1, 4096),
    tp=some.sampled_from([1, 2, 4, 8]),
    ep=some.sampled_from([1, 8]),
)


def seconds_of(concurrency: int, tp: int = 4, model: str = "llama-3.1-70b", **more: Any) -> tuple[float, float]:
    """TPOT and TTFT that are predicted."""
    told = {"gpu": "h200", "engine": "vllm", "dtype": "fp8", "prompt_len": 1024, "output_len": 512} | more
    found = show(model, ask(concurrency=concurrency, tp=tp, **told)).prediction
    assert found
    assert found.serving
    return found.serving.tpot_seconds, found.serving.ttft_seconds


def stack_file(path: Path, factor: Any, places: list[tuple[int, int]]) -> Path:
    """Rows of a server that takes `factor(concurrency)` of what is predicted."""
    lines = [
        f"llama-3.1-70b,h200,{tp},,vllm,fp8,{size},1024,512,{seconds_of(size, tp)[0] * factor(size)},"
        for size, tp in places
    ]
    path.write_text(HEADER + "\n".join(lines) + "\n")
    return path


def saved(path: Path, rows: Path) -> str:
    """The anchor of a csv, saved."""
    calibration, _ = anchor_from_serving([str(rows)], NOTHING)
    path.write_text(json.dumps(calibration.to_dict()))
    return str(path)


@given(at=loads)
def test_without_rows_nothing_changes(at: StackLoad) -> None:
    (mean,), (spread,) = posterior([], [], [at], PRIOR)
    assert mean == 0
    assert spread == pytest.approx((PRIOR.scale**2 + PRIOR.shape**2 + PRIOR.noise**2) ** 0.5)


@given(seen=some.lists(loads, min_size=1, max_size=8), more=loads, at=loads, seed=some.integers(0, 9))
def test_each_row_narrows_the_band(seen: list[StackLoad], more: StackLoad, at: StackLoad, seed: int) -> None:
    errors = np.random.default_rng(seed).normal(0, 0.2, len(seen) + 1).tolist()
    _, (before,) = posterior(seen, errors[:-1], [at], PRIOR)
    _, (after,) = posterior([*seen, more], errors, [at], PRIOR)
    assert PRIOR.noise <= after <= before + 1e-9


@given(at=loads, error=some.floats(-1, 1))
def test_many_rows_are_believed_one_only_in_part(at: StackLoad, error: float) -> None:
    (one,), _ = posterior([at], [error], [at], PRIOR)
    (many,), (spread,) = posterior([at] * 100, [error] * 100, [at], PRIOR)
    assert abs(one) <= abs(error)
    assert many == pytest.approx(error, rel=0.01, abs=1e-9)
    assert spread == pytest.approx(PRIOR.noise, rel=0.01)


def test_left_out_errors_are_those_of_the_others() -> None:
    seen = [StackLoad(sequences=size, tp=tp) for size, tp in ((1, 4), (16, 4), (64, 8), (512, 8))]
    errors = [0.2, 0.1, -0.1, -0.3]
    for place, off in enumerate(left_out_errors(seen, errors, PRIOR)):
        others = [index for index in range(4) if index != place]
        (mean,), _ = posterior([seen[i] for i in others], [errors[i] for i in others], [seen[place]], PRIOR)
        assert off == pytest.approx(errors[place] - mean)


def test_a_curve_is_the_posterior_and_takes_arrays() -> None:
    seen, errors = [StackLoad(sequences=16, tp=4)], [0.3]
    curve = load_curve(seen, errors, StackLoad(sequences=1, tp=4), PRIOR)
    (mean,), (spread,) = posterior(seen, errors, [StackLoad(sequences=64, tp=4)], PRIOR)
    assert curve.factor(64) == pytest.approx(exp(mean))
    assert curve.spread_at(64) == pytest.approx(spread)
    sizes = np.array([[1.0, 16.0], [64.0, 1e6]])
    assert np.allclose(curve.factor(sizes), [[curve.factor(size) for size in row] for row in sizes])


def test_a_step_is_multiplied_and_still_adds_up() -> None:
    spec = load_model("llama-3.1-8b").spec
    model, precision = Ledgers(spec), precision_for(spec, "bf16", "bf16")
    device = device_model(load_accelerator("h100"), "vllm")
    curve = load_curve([StackLoad(sequences=8)], [0.3], StackLoad(sequences=1), PRIOR)
    own = device.but(engine=device.engine.but(anchor=curve))
    for sizes in (8, np.array([1.0, 8.0, 64.0])):
        works = Workload.decode(1024, sizes)
        plain, step = (step_time(model, works, precision, each, Placement()) for each in (device, own))
        assert np.allclose(step.seconds, plain.seconds * curve.factor(sizes))
        assert np.allclose(sum(time.seconds for time in step.times), step.seconds)
        assert np.allclose(sum(step.by_bound().values()), step.seconds)
    prompt = Workload.prefill(1024, logits="last")
    alone = [step_time(model, prompt, precision, each, Placement()).seconds for each in (device, own)]
    assert alone[0] == alone[1]  # a prompt's errors have nothing to do with those of decoding


def test_a_stack_with_its_own_factor_is_found(tmp_path: Path) -> None:
    def slower(size: int) -> float:
        return 1.2 * size**-0.03

    places = [(size, tp) for size in (1, 4, 16, 64, 256) for tp in (4, 8)]
    file = saved(tmp_path / "anchor.json", stack_file(tmp_path / "rows.csv", slower, places))
    for size, tp in ((8, 4), (32, 8), (128, 4)):
        before, _ = seconds_of(size, tp)
        after, _ = seconds_of(size, tp, calibration=file)
        assert after == pytest.approx(before * slower(size), rel=0.04)


def test_what_an_anchor_is_not_of_stays_as_it_is(tmp_path: Path) -> None:
    rows = stack_file(tmp_path / "rows.csv", lambda size: 1.3, [(8, 4), (64, 4)])
    file = saved(tmp_path / "anchor.json", rows)
    asked = {"gpu": "h200", "engine": "vllm", "dtype": "fp8", "tp": 4, "concurrency": 8, "output_len": 256}
    changes: list[tuple[str, dict[str, Any], str]] = [
        ("llama-3.1-70b", {}, "anchored to 2 measured rows"),
        ("llama-3.3-70b", {}, "anchored to 2 measured rows"),  # the same architecture
        ("llama-3.1-8b", {}, "it was made with llama-3.1-70b"),
        ("llama-3.1-70b", {"gpu": "h100"}, "it was made on h200-sxm"),
        ("llama-3.1-70b", {"engine": "sglang"}, "it was made under --engine vllm"),
        ("llama-3.1-70b", {"dtype": "bf16"}, "it was made with weights in fp8"),
    ]
    for model, change, text in changes:
        plain, own = (show(model, ask(**asked | change | more)) for more in ({}, {"calibration": file}))
        (note,) = [note for note in own.warnings if note.code == "anchor"]
        assert text in note.text
        assert plain.prediction
        assert own.prediction
        assert plain.prediction.serving
        assert own.prediction.serving
        ratio = own.prediction.serving.tpot_seconds / plain.prediction.serving.tpot_seconds
        assert (ratio > 1.05) == ("anchored" in text)


def test_the_band_shrinks(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.json", stack_file(tmp_path / "rows.csv", lambda size: 1.1, [(4, 4), (8, 4), (16, 4)]))
    widths = []
    for more in ({}, {"calibration": file}):
        asked = ask(gpu="h200", engine="vllm", dtype="fp8", tp=4, concurrency=8, output_len=256, **more)
        found = show("llama-3.1-70b", asked).prediction
        assert found
        assert found.serving
        widths.append(log(found.serving.tpot_seconds_high / found.serving.tpot_seconds_low))
    assert widths[1] < 0.9 * widths[0]


def test_ttft_is_anchored_where_it_was_measured(tmp_path: Path) -> None:
    lines = []
    for size in (4, 16, 64):
        tpot, ttft = seconds_of(size)
        lines.append(f"llama-3.1-70b,h200,4,,vllm,fp8,{size},1024,512,{tpot},{2 * ttft}")
    (tmp_path / "rows.csv").write_text(HEADER + "\n".join(lines) + "\n")
    file = saved(tmp_path / "a.json", tmp_path / "rows.csv")
    before, after = seconds_of(16), seconds_of(16, calibration=file)
    assert after[0] == pytest.approx(before[0], rel=0.01)
    assert 1.3 < after[1] / before[1] < 2


def test_three_rows_help_the_others_of_their_stack() -> None:
    """On the shared stacks, in closed form: the median error of rows that three others of their stack anchor."""
    rows = [row for row in serving_rows() if not row["contradicted"] and not row.get("apart")]
    stacks: dict[tuple[str, ...], list[tuple[StackLoad, float]]] = {}
    for row, check in zip(rows, serving_checks(rows), strict=True):
        load = StackLoad(sequences=row["concurrency"], tp=row["tp"], ep=row["ep"], prompt_len=row["prompt_len"])
        off = log(check.measured_seconds / check.predicted_seconds)
        stacks.setdefault((row["model"], row["gpu"], row["engine"], row["dtype"]), []).append((load, off))
    rng, before, after = np.random.default_rng(0), [], []
    for samples in stacks.values():
        for _ in range(5):
            order = rng.permutation(len(samples))
            seen, rest = ([samples[index] for index in part] for part in (order[:3], order[3:]))
            means, _ = posterior([load for load, _ in seen], [e for _, e in seen], [load for load, _ in rest], PRIOR)
            before += [abs(exp(-off) - 1) for _, off in rest]
            after += [abs(exp(mean - off) - 1) for mean, (_, off) in zip(means, rest, strict=True)]
    assert median(after) < 0.08
    assert median(after) < 0.9 * median(before)


def test_the_command(tmp_path: Path, quick_run: Run) -> None:
    rows = stack_file(tmp_path / "rows.csv", lambda size: 1.2, [(4, 4), (32, 4), (64, 8)])
    with rows.open("a") as file:
        file.write("llama-3.1-70b,h200,4,,vllm,fp8,64,1024,512,,\nno-such-model,h200,4,,vllm,fp8,64,1024,512,0.1,\n")
    anchor = tmp_path / "anchor.json"
    result = quick_run("calibrate", "--from-serving", str(rows), "-o", str(anchor), "--json")
    assert result.rc == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["anchor"]["accelerator"] == "h200-sxm"
    assert len(found["anchor"]["rows"]) == 3
    assert ["no TPOT" in each["why"] or "no-such-model" in each["why"] for each in found["anchor"]["left_out"]] == [
        True,
        True,
    ]
    assert found["residuals"]["TPOT of each row by the others"]["rows"] == 3
    assert load_calibration(str(anchor)).anchor
    shown = quick_run("calibrate", "--from-serving", str(rows))
    assert "no TPOT" in shown.stdout
    assert "Not saved" in shown.stdout
    options = ("--gpu", "h200", "--engine", "vllm", "--tp", "4", "--dtype", "fp8", "--calibration", str(anchor))
    for command in (("show", "llama-3.1-70b"), ("compare", "llama-3.1-70b", "llama-3.1-8b")):
        assert "anchored to 3 measured rows" in quick_run(*command, *options).stderr
    simulated = quick_run("simulate", "llama-3.1-70b", *options, "--concurrency", "8", "--requests", "32")
    assert "anchored to 3 measured rows" in simulated.stderr


def test_options_fill_what_a_file_does_not_tell(tmp_path: Path, quick_run: Run) -> None:
    file = Path(__file__).parent / "serving_files" / "vllm_forward.json"
    stack = ("--model", "llama-3.1-70b", "--gpu", "h200", "--tp", "4", "--dtype", "fp8", "--json")
    found = json.loads(quick_run("calibrate", "--from-serving", str(file), *stack).stdout)["anchor"]
    (row,) = found["rows"]
    assert found["engine"] == "vllm"
    assert row["sequences"] == 2
    assert row["measured_seconds"] > 9120.5e-6  # with the engine's own time, which the forward pass does not have


@pytest.mark.parametrize(
    ("lines", "more", "message"),
    [
        ("", (), "no row can be used"),
        ("m,h200,1,,vllm,,8,128,128,0.1,\n", (), "unknown model"),
        ("llama-3.1-8b,z9,1,,vllm,,8,128,128,0.01,\n", (), "unknown accelerator"),
        ("llama-3.1-8b,,1,,vllm,,8,128,128,0.01,\n", (), "gpu is not told. Say it: --gpu"),
        ("llama-3.1-8b,h200,1,,vllm,,8,128,128,-1,\n", (), "line 2: tpot_seconds is '-1'"),
        ("llama-3.1-8b,h200,1,,vllm,,8,128,128,inf,\n", (), "tpot_seconds is 'inf'"),
        ("llama-3.1-8b,h200,1,,vllm,,8,128,1,0.01,\n", (), "an answer of one token has no TPOT"),
        ("llama-3.1-8b,h200,3,,vllm,,8,128,128,0.01,\n", (), "no row can be used"),
        ("llama-3.1-8b,h200,1,,vllm,,8,128,128,0.01,\n", ("--quick",), "--quick is of benchmarks on this device"),
        ("llama-3.1-8b,h200,1,,vllm,,8,128,128,0.01,\n", ("--gpu", "h100"), "of h200-sxm, not of h100"),
        (
            "llama-3.1-8b,h200,1,,vllm,,8,128,128,0.01,\nllama-3.1-8b,h100,1,,vllm,,8,128,128,0.01,\n",
            (),
            "rows of 2 stacks: h200-sxm, vllm, bf16 (1 rows); h100-sxm, vllm, bf16 (1 rows). Name one",
        ),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, quick_run: Run, lines: str, more: tuple[str, ...], message: str) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(HEADER + lines)
    result = quick_run("calibrate", "--from-serving", str(file), *more)
    assert result.rc == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_stack_that_is_named_is_picked(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    line = "llama-3.1-8b,{},1,,vllm,,8,128,128,0.008,\n"
    file.write_text(HEADER + line.format("h200") + line.format("h100"))
    found, _ = anchor_from_serving([str(file)], NOTHING.but(gpu="h100"))
    assert found.anchor
    assert found.anchor["accelerator"] == "h100-sxm"
    assert len(found.anchor["rows"]) == 1
    twice, _ = anchor_from_serving([str(file)], NOTHING.but(gpu="2xh100"))
    assert twice.anchor
    with pytest.raises(InputError, match="rows of 2 stacks"):
        anchor_from_serving([str(file)], NOTHING)


def test_options_of_serving_need_its_files(quick_run: Run) -> None:
    result = quick_run("calibrate", "--gpu", "h100")
    assert result.rc == 2
    assert "--gpu is of --from-serving" in result.stderr


@pytest.mark.parametrize("spoilt", [{"rows": []}, {"rows": [{"model": "m"}]}, {"accelerator": 3}])
def test_a_spoilt_anchor_is_refused(tmp_path: Path, spoilt: dict[str, Any]) -> None:
    file = tmp_path / "a.json"
    saved(file, stack_file(tmp_path / "rows.csv", lambda size: 1.0, [(8, 4)]))
    content = json.loads(file.read_text())
    content["anchor"] |= spoilt
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match="not a calibration"):
        load_calibration(str(file))
