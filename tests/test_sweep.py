"""Sweeps: each row is what `show` says at its point, shards are parts of the whole, rows stay whole."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Run
from hypothesis import given, settings
from hypothesis import strategies as st

import sparsecalc
from sparsecalc.core.errors import InputError
from sparsecalc.core.largest import largest_of_each, largest_that_fits
from sparsecalc.core.number_lists import whole, whole_numbers
from sparsecalc.decide import sweep as sweeping
from sparsecalc.decide.question import ask
from sparsecalc.decide.show import show
from sparsecalc.decide.sweep import sweep_plan
from sparsecalc.decide.sweep_axes import axes_of, shard_of
from sparsecalc.documents.show import ShowReport
from sparsecalc.reports.views.sweep import view

# --- lists of numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("8", [8]),
        ("1,8,64", [1, 8, 64]),
        ("4k,128k,1M", [4096, 131072, 1048576]),
        ("1:1024:x2", [2**power for power in range(11)]),
        ("1:10:x1.5", [1, 2, 3, 5, 8]),
        ("1:100:x2", [1, 2, 4, 8, 16, 32, 64]),
        ("128:512:+128", [128, 256, 384, 512]),
        ("1k:4k:x2", [1024, 2048, 4096]),
        ("1:4:x2,3,4", [1, 2, 4, 3]),
        ("1.5k", [1536]),
    ],
)
def test_lists_of_numbers(text: str, values: list[int]) -> None:
    assert list(whole_numbers(text, "batch")) == values


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no number|empty"),
        ("1,,2", "empty value"),
        ("8:1:x2", "is empty"),
        ("1:8:x1", "factor is above 1"),
        ("1:8:/2", "Steps are"),
        ("1:8", "Steps are"),
        ("0:8:x2", "begins at 1"),
        ("1:8:+0", "step of 0"),
        ("1:1e9:+1", "more than 1,000,000 values"),
        ("1.5", "not whole"),
        ("nan", "not whole"),
        ("1e300", "not whole"),
        ("abc", "no number"),
        ("1:8:xk", "factor is above 1"),
    ],
)
def test_lists_that_are_none(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as error:
        whole_numbers(text, "batch")
    assert "\n" not in str(error.value)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(2, 9))
def test_steps_begin_at_the_first_and_end_within_the_last(low: int, high: int, factor: int) -> None:
    if low > high:
        low, high = high, low
    values = list(whole_numbers(f"{low}:{high}:x{factor}", "batch"))
    assert values[0] == low
    assert values[-1] <= high < values[-1] * factor
    assert all(after == before * factor for before, after in pairwise(values))


@given(st.lists(st.integers(0, 300), min_size=1, max_size=8), st.integers(1, 400))
def test_the_largest_of_each_is_that_of_one(bounds: list[int], limit: int) -> None:
    at = np.array(bounds, float)
    together = largest_of_each(lambda numbers: numbers <= at, np.full(at.shape, limit, float))
    assert together.tolist() == [largest_that_fits(limit, lambda number, b=bound: number <= b) for bound in bounds]


# --- rows -----------------------------------------------------------------------------------------------------------

LAYOUTS: dict[str, dict[str, Any]] = {
    "one device": {"gpu": "h100-sxm"},
    "vllm": {"gpu": "h100-sxm", "engine": "vllm", "tp": 2},
    "sglang": {"gpu": "h200-sxm", "engine": "sglang", "tp": 2, "kv_cache_dtype": "fp8"},
    "copies": {"gpu": "h100-sxm", "engine": "vllm", "dp": 4, "ep": 4, "tp": 1},
    "stages": {"gpu": "l40s", "pp": 2, "tp": 2},
    "skewed": {"gpu": "h100-sxm", "tp": 2, "ep": 2, "routing": "zipf:1.0"},
    "experts in host memory": {"gpu": "rtx-4090", "engine": "llama.cpp", "dtype": "q4_k_m", "n_cpu_moe": 20},
    "offload": {"gpu": "h100-sxm", "offload": "experts=0.5"},
    "guesses": {"gpu": "h100-sxm", "draft_tokens": 2, "acceptance": 0.7},
    "requests": {"gpu": "h100-sxm", "prompt_len": 9000, "output_len": 100},
    "small": {"gpu": "a10", "dtype": "int4"},
}
ANY: dict[str, Any] = {"batch": [1, 40, 5000], "context": [1, 130, 3000, 20_000, 140_000]}


def shown(name: str, options: dict[str, Any], row: dict[str, Any]) -> ShowReport:
    loads = {"batch_size": int(row["batch_size"]), "context_len": int(row["context_len"])}
    return show(name, ask(**{**options, **loads}))


def rows_of(found: Any) -> list[dict[str, Any]]:
    names = list(found.columns)
    columns = [found.columns[name].tolist() for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def assert_is_shown(row: dict[str, Any], report: ShowReport) -> None:
    """Every figure of a row that needs no replay is that of `show`."""
    found = report.prediction
    assert found is not None
    assert found.decode is not None
    assert found.prefill is not None
    same: dict[str, Any] = {
        "accelerator": found.accelerator,
        "num_gpus": found.num_gpus,
        "weights_dtype": report.memory.weights_dtype,
        "fits": found.fits,
        "largest_batch_size": found.largest_batch_size,
        "bytes_per_gpu": found.bytes_per_gpu,
        "free_bytes_per_gpu": found.free_bytes_per_gpu,
        "largest_context_len": found.largest_context_len,
        "bound": found.decode.bound,
        "total_params": report.params.total,
        "active_params": report.params.active,
        "decode_flops_per_token": report.flops.decode_per_token,
        "weights_bytes": report.memory.weights_bytes,
        "kv_cache_bytes": report.memory.kv_cache_bytes,
        "state_bytes": report.memory.state_bytes,
        "activation_bytes": report.memory.activation_bytes,
        "logits_bytes": report.memory.logits_bytes,
        "model_bytes": report.memory.total_bytes - report.memory.framework_bytes,
    }
    near: dict[str, float | None] = {
        "prefill_flops_per_token": report.flops.prefill_per_token,
        "prefill_seconds": found.prefill.seconds,
        "prefill_seconds_high": found.prefill.seconds_high,
        "decode_seconds": found.decode.seconds,
        "decode_seconds_low": found.decode.seconds_low,
        "tokens_per_second": found.decode.tokens_per_second,
        "usd_per_hour": found.usd_per_hour,
        "usd_per_million_input_tokens": found.usd_per_million_input_tokens,
    }
    for name, value in same.items():
        assert row[name] == value, name
    for name, figure in near.items():
        assert row[name] == (figure if figure is None else pytest.approx(figure, rel=1e-9)), name


def assert_serving_is_shown(row: dict[str, Any], report: ShowReport) -> None:
    assert report.prediction is not None
    serving = report.prediction.serving
    assert serving is not None
    for name in ("ttft_seconds", "tpot_seconds", "tpot_seconds_high", "output_tokens_per_second_per_gpu"):
        assert row[name] == pytest.approx(getattr(serving, name), rel=1e-9), name
    assert row["running"] == serving.running
    price = report.prediction.usd_per_million_output_tokens
    assert row["usd_per_million_output_tokens"] == (price if price is None else pytest.approx(price, rel=1e-9))


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_row_is_what_show_says_of_its_point(name: str) -> None:
    options = LAYOUTS[name]
    model = "qwen3-30b-a3b"
    axes = {"batch": ANY["batch"]} if "prompt_len" in options else ANY
    if "n_cpu_moe" in options:  # many chunks, one by one
        axes = ANY | {"context": [130, 3000]}
    found = sparsecalc.sweep(model, axes, ["all"], **options)
    rows = rows_of(found)
    assert len(rows) == len(axes["batch"]) * len(axes.get("context", [1]))
    for row in rows[::2]:
        assert_is_shown(row, shown(model, options, row))


def test_few_requests_are_replayed_as_show_replays_them() -> None:
    options = {"gpu": "h100-sxm", "engine": "vllm", "tp": 2}
    found = sparsecalc.sweep("qwen3-30b-a3b", {"batch": [1, 4, 32], "context": [2000, 9000]}, ["all"], **options)
    for row in rows_of(found):
        assert row["served_by"] == "replay"
        assert_serving_is_shown(row, shown("qwen3-30b-a3b", options, row))
    assert not [note for note in found.notes if note.code == "not-replayed"]


def test_many_requests_are_those_of_the_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arrays are what `show` says by the formula, load by load, waiting ones and short contexts among them."""
    from sparsecalc.decide import predict

    options = {"gpu": "a100-80gb-sxm", "tp": 1, "draft_tokens": 1, "acceptance": 0.5}
    axes = {"batch": [1, 7, 200, 9000], "context": [1, 2, 5, 700, 9000, 40_000]}
    found = sparsecalc.sweep("llama-3.1-8b", axes, ["all"], **options)
    assert "not-replayed" in {note.code for note in found.notes}
    monkeypatch.setattr(predict, "MOST_REPLAYED", 0)
    for row in rows_of(found):
        assert row["served_by"] == "formula"
        assert_serving_is_shown(row, shown("llama-3.1-8b", options, row))


def test_a_model_alone_has_its_own_figures() -> None:
    found = sparsecalc.sweep(
        ["mixtral-8x7b", "mamba2-2.7b"], {"batch": [1, 5], "context": [64, 9000], "dtype": "bf16,int4"}
    )
    assert len(found) == 16
    for row in rows_of(found):
        report = shown(row["model"], {"dtype": row["weights_dtype"]}, row)
        assert row["model_bytes"] == report.memory.total_bytes
        assert row["kv_cache_bytes"] == report.memory.kv_cache_bytes
        assert row["total_params"] == report.params.total
        assert "fits" not in row


# --- shards and pieces ----------------------------------------------------------------------------------------------

AXES: dict[str, Any] = {"batch": "1,2,7,5000", "context": [100, 900, 33_000], "tp": [1, 2, 3], "dtype": "bf16,fp8"}
COLUMNS = ["decode_seconds", "fits", "bound", "tpot_seconds", "total_params"]


@given(parts=st.integers(1, 9), piece=st.integers(1, 15))
@settings(max_examples=6)
def test_shards_are_parts_of_the_whole(parts: int, piece: int) -> None:
    whole_sweep = sparsecalc.sweep(["mixtral-8x7b", "llama-2-7b"], AXES, COLUMNS, gpu="h100-sxm")
    before = sweeping.POINTS_AT_ONCE
    sweeping.POINTS_AT_ONCE = piece
    try:
        found = [
            sparsecalc.sweep(["mixtral-8x7b", "llama-2-7b"], AXES, COLUMNS, f"{part}/{parts}", gpu="h100-sxm")
            for part in range(1, parts + 1)
        ]
    finally:
        sweeping.POINTS_AT_ONCE = before
    rows = [row for part in found for row in rows_of(part)]
    for part, shard in enumerate(found, start=1):
        assert all(point % parts == part % parts for point in shard.columns["point"])
    assert len(rows) == len(whole_sweep) == 2 * 2 * 2 * 12  # tp 3 cannot be
    for row, other in zip(sorted(rows, key=lambda row: row["point"]), rows_of(whole_sweep), strict=True):
        for name, value in row.items():
            assert other[name] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), name


def test_points_that_cannot_be_are_left_out_with_their_reason() -> None:
    found = sparsecalc.sweep("mixtral-8x7b", AXES, COLUMNS, gpu="h100-sxm")
    (note,) = (note for note in found.notes if note.code == "left-out")
    assert note.text.startswith("24 points: tp 3 does not divide the 32 attention heads")
    with pytest.raises(InputError, match="tp 3 does not divide"):
        sparsecalc.sweep("mixtral-8x7b", {"tp": 3}, gpu="h100-sxm")


def test_points_are_numbered_with_the_last_axis_fastest() -> None:
    found = sparsecalc.sweep("mixtral-8x7b", {"context": [10, 20], "batch": [1, 2, 3], "dtype": "bf16,fp8"})
    rows = rows_of(found)
    assert [row["point"] for row in rows] == list(range(12))
    assert [(row["weights_dtype"], row["batch_size"], row["context_len"]) for row in rows[:7]] == [
        *(("bf16", batch, context) for batch in (1, 2, 3) for context in (10, 20)),
        ("fp8", 1, 10),
    ]


def test_axes_that_are_named_again_get_more_values() -> None:
    axes = axes_of([("dtype", "bf16"), ("dtype", "int4,attention=bf16"), ("batch", "1,2"), ("batch_size", "2,4")])
    assert axes.values == {"dtype": ["bf16", "int4,attention=bf16"], "batch_size": [1, 2, 4]}
    assert axes_of([("gpu", "all")]).size > 100


@pytest.mark.parametrize(("text", "part"), [(None, (0, 1)), ("0/4", (0, 4)), ("3/4", (3, 4)), ("4/4", (0, 4))])
def test_shards_as_they_are_typed(text: str | None, part: tuple[int, int]) -> None:
    assert shard_of(text) == part


# --- the command line ----------------------------------------------------------------------------------------------

CALL = ("sweep", "qwen3-30b-a3b", "--gpu", "h100-sxm", "--vary", "batch=1:8:x2", "--vary", "dtype=bf16,experts=mxfp4")


def test_rows_as_csv_and_json_lines_are_the_same(quick_run: Run, tmp_path: Path) -> None:
    lines = quick_run(*CALL, "--format", "jsonl")
    assert lines.rc == 0
    rows = [json.loads(line) for line in lines.stdout.splitlines()]
    table = list(csv.DictReader(io.StringIO(quick_run(*CALL, "--format", "csv").stdout)))
    assert [{name: str(value) for name, value in row.items()} for row in rows] == table
    assert rows[0]["weights_dtype"] == "bf16,routed_experts=mxfp4"
    quick_run(*CALL, "-o", tmp_path / "rows.jsonl")
    assert (tmp_path / "rows.jsonl").read_text() == lines.stdout
    document = quick_run(*CALL, "--json").json
    assert document["rows"] == rows
    assert document["points"] == len(rows) == 4
    assert document["axes"] == {"batch_size": [1, 2, 4, 8]}
    assert list(rows[0]) == document["columns"]


def test_options_are_axes_too(quick_run: Run) -> None:
    asked = ("sweep", "mixtral-8x7b", "--gpu", "h100-sxm,l40s", "--batch-size", "1,8", "--context", "4k,128k")
    rows = quick_run(*asked, "--tp", "4", "--columns", "decode_seconds", "--json").json["rows"]
    points = [(row["accelerator"], row["tp"], row["batch_size"], row["context_len"]) for row in rows]
    assert points == [
        (gpu, 4, batch, context) for gpu in ("h100-sxm", "l40s") for batch in (1, 8) for context in (4096, 131072)
    ]


def test_a_screen_has_a_table_and_a_plot(quick_run: Run) -> None:
    found = quick_run(*CALL)
    assert found.rc == 0
    assert "decode step" in found.stdout
    assert "In all rows: model qwen3-30b-a3b" in found.stdout
    assert "│" in found.stdout


def test_a_long_table_is_cut_and_says_so() -> None:
    from sparsecalc.decide.sweep_report import sweep_report

    report = sweep_report(sweep_plan(["llama-2-7b"], [("batch", "1:100:+1")], {}))
    shown_view = view(report)
    assert len(shown_view.grids[0].rows) < 50
    assert any("of 100 rows are shown" in line for line in shown_view.lines)
    assert view(report.but(rows=[])).lines == ["no rows"]


def test_parquet_has_the_same_rows(quick_run: Run, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert quick_run(*CALL, "-o", tmp_path / "rows.parquet").rc == 0
    rows = [json.loads(line) for line in quick_run(*CALL, "--format", "jsonl").stdout.splitlines()]
    assert parquet.read_table(tmp_path / "rows.parquet").to_pylist() == rows


def test_parquet_without_its_package_is_one_line(
    quick_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    found = quick_run(*CALL, "-o", tmp_path / "rows.parquet")
    assert found.rc == 2
    assert found.stderr == 'error: Parquet needs pyarrow. Install it: pip install "sparsecalc[parquet]"\n'
    assert not (tmp_path / "rows.parquet").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--vary", "batches=1,2"), "unknown axis 'batches'"),
        (("--vary", "batch="), "axis batch is empty"),
        (("--vary", "batch"), "names no values"),
        (("--vary", "batch=9:1:x2"), "batch is empty"),
        (("--vary", "batch=0"), "the batch is 0"),
        (("--vary", "batch=1:1000000000:+1"), "more than 1,000,000 values"),
        (("--vary", "batch=1:100000:+1", "--vary", "context=1:10000:+1"), "the sweep has 1,000,000,000 points"),
        (("--vary", "gpu=h1000"), "unknown accelerator 'h1000'"),
        (("--vary", "dtype=bf16,int44"), "unknown dtype 'int44'"),
        (("--vary", "gpu=h100", "--gpu", "a100"), "given as an option and varied too"),
        (("--columns", "decode_second"), "unknown column 'decode_second'"),
        (("--columns", "fits"), "column fits needs an accelerator"),
        (("--shard", "9/8"), "--shard is '9/8'"),
        (("--shard", "1"), "--shard is '1'"),
        (("--vary", "context=1k,2k", "--prompt-len", "500"), "prompt_len is given and the context is varied"),
        (("--vary", "batch=1:1000:+1", "--vary", "context=1:200:+1", "--json"), "200,000 rows are more than"),
        (("--format", "xml"), "unknown format 'xml'"),
    ],
)
def test_bad_input_is_one_line(quick_run: Run, more: tuple[str, ...], told: str) -> None:
    found = quick_run("sweep", "mixtral-8x7b", *more)
    assert found.rc == 2
    assert found.stdout == ""
    assert found.stderr.startswith("error: ")
    assert told in found.stderr
    assert found.stderr.count("\n") == 1


def test_unknown_models_are_told_before_any_row(quick_run: Run) -> None:
    found = quick_run("sweep", "mixtral-8x7b", "mixtral-9x9b", "--format", "csv")
    assert (found.rc, found.stdout) == (2, "")


@pytest.mark.slow
def test_ctrl_c_keeps_the_rows_that_were_written(tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    asked = ["--vary", "batch=1:10000:+1", "--vary", "context=1:9000:+1", "--gpu", "h100-sxm", "-o", str(target)]
    running = subprocess.Popen(
        [sys.executable, "-m", "sparsecalc", "sweep", "llama-3.1-8b", *asked], stderr=subprocess.PIPE, env=os.environ
    )
    started = time.monotonic()
    while not (target.exists() and target.stat().st_size > 10_000) and time.monotonic() - started < 100:
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=100)
    assert running.returncode == 130
    assert re.fullmatch(rb"error: interrupted after [\d,]+ of 90,000,000 rows, which are kept\n", told)
    rows = list(csv.reader(io.StringIO(target.read_text())))
    assert target.read_text().endswith("\n")
    assert {len(row) for row in rows} == {len(rows[0])}
    assert [int(row[0]) for row in rows[1:]] == list(range(len(rows) - 1))


def test_whole_is_one_number() -> None:
    assert whole("128k") == 131072
    with pytest.raises(InputError, match="no number"):
        whole("many")


# --- lists in show and compare -------------------------------------------------------------------------------------


def test_lists_of_layouts_and_formats_make_a_grid(quick_run: Run) -> None:
    asked = ("show", "qwen3-30b-a3b", "--gpu", "h100-sxm,l40s", "--tp", "1,2,3", "--dtype", "bf16,int4")
    found = quick_run(*asked, "--context", "4k,128k", "--json").json
    grid = found["grid"]
    points = [
        (point["placement"], point["weights_dtype"], point["accelerator"], point["context_len"]) for point in grid
    ]
    assert points == [
        (layout, fmt, gpu, context)
        for layout in ("one device", "tp 2")
        for fmt in ("bf16", "int4")
        for gpu in ("h100-sxm", "l40s")
        for context in (4096, 131072)
    ]
    assert [note["text"] for note in found["warnings"] if note["code"] == "left-out"]
    alone = show("qwen3-30b-a3b", ask(gpu="l40s", tp=2, dtype="int4", context_len=131072)).prediction
    assert alone is not None
    assert alone.decode is not None
    assert grid[-1]["decode_seconds"] == pytest.approx(alone.decode.seconds, rel=1e-9)
    screen = quick_run(*asked).stdout
    assert "layout" in screen.splitlines()[2]
    assert "component" not in screen


def test_compare_takes_lists_and_the_comparison_of_points_comes_first(quick_run: Run) -> None:
    found = quick_run("compare", "mixtral-8x7b", "llama-2-7b", "--gpu", "h100-sxm", "--tp", "2,4")
    assert found.rc == 0
    head = found.stdout.splitlines()
    assert head[2].split()[:3] == ["model", "on", "layout"]
    assert [line.split()[0] for line in head[3:7]] == ["mixtral-8x7b"] * 2 + ["llama-2-7b"] * 2


@pytest.mark.parametrize(
    "asked",
    [
        ("simulate", "mixtral-8x7b", "--rate", "1", "--gpu", "h100-sxm", "--tp", "2,4"),
        ("explain", "mixtral-8x7b", "decode", "--gpu", "h100-sxm", "--dtype", "bf16,fp8"),
        ("show", "mixtral-8x7b", "--dtype", "bf16,fp8"),
        ("show", "mixtral-8x7b", "--gpu", "h100-sxm", "--tp", "3,5"),
        ("show", "mixtral-8x7b", "--gpu", "h100-sxm", "--tp", "2,x"),
        ("show", "mixtral-8x7b", "--gpu", "h100-sxm", "--prompt-len", "8kk"),
    ],
)
def test_lists_where_none_can_be_are_refused_in_one_line(quick_run: Run, asked: tuple[str, ...]) -> None:
    found = quick_run(*asked)
    assert (found.rc, found.stdout) == (2, "")
    assert found.stderr.count("\n") == 1


def test_a_part_with_a_format_of_its_own_is_no_list(quick_run: Run) -> None:
    found = quick_run("show", "mixtral-8x7b", "--gpu", "h100-sxm", "--dtype", "int4,attention=bf16", "--json").json
    assert found["memory"]["weights_dtype"] == "int4,attention=bf16"
    assert found["grid"] == []


def test_tokens_may_be_in_thousands(quick_run: Run) -> None:
    asked = ("--prompt-len", "8k", "--output-len", "1k", "--max-num-batched-tokens", "2k")
    inputs = quick_run("show", "mixtral-8x7b", "--gpu", "h100-sxm", *asked, "--json").json["inputs"]
    assert (inputs["prompt_len"], inputs["output_len"], inputs["max_num_batched_tokens"]) == (8192, 1024, 2048)


def test_all_accelerators_tell_their_notes_in_few_lines(quick_run: Run) -> None:
    found = quick_run("show", "qwen3-30b-a3b", "--gpu", "all")
    assert found.rc == 0
    assert len(found.stdout.splitlines()) > 150
    assert len(found.stderr.splitlines()) < 40
    assert "more of this kind" in found.stderr
