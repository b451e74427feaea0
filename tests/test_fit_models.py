"""`fit`: the least number of devices and the best precision that fit, and what would make the rest fit."""

from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from hypothesis import given, settings
from hypothesis import strategies as st

import sparsecalc
from sparsecalc.core.errors import InputError
from sparsecalc.decide.fit import fit
from sparsecalc.decide.fit_question import all_accelerators, fit_asked, usual_engine
from sparsecalc.decide.precisions import NamedModel
from sparsecalc.decide.question import ask
from sparsecalc.decide.show import show
from sparsecalc.device.find import load_accelerator
from sparsecalc.documents.fit import FitReport, FitRow
from sparsecalc.estimate.results import Prediction


def found(names: list[str] | None = None, **asked: Any) -> FitReport:
    """What `fit` answers."""
    return fit(names or [], fit_asked(**asked))


def shown(row: FitRow, **changed: Any) -> Prediction:
    """What `show` says of a row's layout."""
    files = row.engine in ("llama.cpp", "ollama", "mlx")
    asked: dict[str, Any] = {
        "gpu": row.accelerator,
        "num_gpus": row.num_gpus,
        "engine": row.engine,
        "context_len": row.context_len,
        "batch_size": row.batch_size,
        "dtype": row.dtype if files else None,
    }
    prediction = show(row.model if files else row.checkpoint, ask(**{**asked, **changed})).prediction
    assert prediction
    return prediction


ROWS = [
    ("llama-3.3-70b", "h100-sxm"),
    ("llama-3.3-70b", "a100-80gb-sxm"),
    ("deepseek-v3", "h200-sxm"),
    ("deepseek-v3", "b200-sxm"),
    ("qwen3-30b-a3b", "rtx-4090"),
    ("gpt-oss-20b", "rtx-5080"),
    ("qwen3-8b", "m4-max"),
    ("mamba2-2.7b", "l4"),
]


@pytest.mark.parametrize(("model", "gpu"), ROWS)
def test_a_row_says_what_show_says_of_its_layout(model: str, gpu: str) -> None:
    row = found([model], gpu=gpu, context_len=4096).rows[0]
    held = shown(row)
    assert row.fits
    assert held.fits
    assert held.decode
    assert row.decode_seconds == held.decode.seconds
    assert (row.decode_seconds_low, row.decode_seconds_high) == (held.decode.seconds_low, held.decode.seconds_high)
    assert row.largest_batch_size == held.largest_batch_size
    assert row.usd_per_hour == held.usd_per_hour
    assert row.placement == held.placement


@pytest.mark.parametrize(("model", "gpu"), ROWS)
def test_the_largest_context_fits_and_one_more_does_not(model: str, gpu: str) -> None:
    row = found([model], gpu=gpu, context_len=4096).rows[0]
    assert row.largest_context_len
    assert shown(row, context_len=row.largest_context_len).fits
    longest = sparsecalc.load(model).spec.max_position_embeddings
    if row.largest_context_len not in (longest, 2**30):
        assert not shown(row, context_len=row.largest_context_len + 1).fits


@pytest.mark.parametrize(("model", "gpu"), [("llama-3.3-70b", "rtx-4090"), ("deepseek-v3", "h200-sxm")])
def test_half_as_many_devices_hold_it_in_no_precision(model: str, gpu: str) -> None:
    row = found([model], gpu=gpu).rows[0]
    assert row.fits
    assert row.num_gpus > 1
    fewer = found([model], gpu=gpu, num_gpus=row.num_gpus // 2).rows[0]
    assert not fewer.fits
    assert fewer.reason


def test_a_better_precision_does_not_fit_on_as_few() -> None:
    row = found(["qwen3-30b-a3b"], gpu="rtx-4090").rows[0]
    assert row.dtype == "q4_k_m"
    assert not shown(row, dtype="q6_k").fits
    assert found(["qwen3-30b-a3b"], gpu="rtx-5090").rows[0].dtype == "q8_0"
    assert found(["llama-3.3-70b"], gpu="h100-sxm", context_len=8192).rows[0].dtype == "fp8"
    assert found(["llama-3.3-70b"], gpu="h100-sxm", context_len=32768).rows[0].dtype == "int4"


def test_a_published_precision_that_the_device_has_no_units_for_is_passed_over() -> None:
    hopper, blackwell = (found(["deepseek-v3"], gpu=gpu).rows[0] for gpu in ("h100-sxm", "b200-sxm"))
    assert not hopper.fits
    assert "fp8" in hopper.reason
    assert (blackwell.num_gpus, blackwell.dtype) == (4, "nvfp4")


def test_a_dtype_that_is_asked_for_is_the_only_one() -> None:
    row = found(["llama-3.1-8b"], gpu="rtx-4090", dtype="q4_k_m").rows[0]
    assert row.dtype == "q4_k_m"
    assert found(["llama-3.1-8b"], gpu="h100-sxm", dtype="auto").rows[0].dtype == "bf16"
    assert found(["llama-3.1-8b+int4"], gpu="h100-sxm").rows[0].dtype == "int4"


ENGINES: list[dict[str, Any]] = [{"engine": "llama.cpp"}, {"engine": "generic"}, {"engine": "vllm", "max_num_seqs": 64}]
"""vLLM where its sequences are told: of its own default it makes two servers, one of fewer sequences where need be."""


@settings(max_examples=15)
@given(
    st.sampled_from(["llama-3.1-8b", "qwen3-30b-a3b", "gemma-3-27b", "deepseek-v2-lite"]),
    st.integers(4, 200),
    st.integers(1, 60),
    st.sampled_from(ENGINES),
)
def test_more_memory_never_fits_less(model: str, memory: int, more: int, engine: dict[str, Any]) -> None:
    gpus = (f"{size}gb:1000gb/s:100tflops" for size in (memory, memory + more))
    small, large = (found([model], gpu=gpu, context_len=4096, **engine).rows[0] for gpu in gpus)
    assert small.fits <= large.fits
    if small.fits:
        assert large.num_gpus <= small.num_gpus
        kept = ("num_gpus", "checkpoint", "dtype")
        if all(getattr(small, name) == getattr(large, name) for name in kept):
            assert (large.largest_batch_size or 0) >= (small.largest_batch_size or 0)
            assert (large.largest_context_len or 0) >= (small.largest_context_len or 0)


@settings(max_examples=10)
@given(st.sampled_from(["llama-3.1-8b", "qwen3-30b-a3b"]), st.integers(1024, 30000), st.integers(1, 10000))
def test_a_longer_context_never_needs_less(model: str, context: int, more: int) -> None:
    short, long = (found([model], gpu="rtx-4090", context_len=size).rows[0] for size in (context, context + more))
    assert long.fits <= short.fits
    if long.fits:
        assert short.num_gpus <= long.num_gpus


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("llama-3.3-70b", {"gpu": "rtx-4090", "max_gpus": 1}),
        ("deepseek-v3", {"gpu": "h100-sxm"}),
        ("gpt-oss-120b", {"gpu": "rtx-5080", "max_gpus": 1, "host": "ddr5-5600x2:128g"}),
        ("granite-4.1-30b", {"gpu": "rtx-4090", "max_gpus": 1, "context_len": 32768}),
    ],
)
def test_what_would_make_it_fit_does(model: str, asked: dict[str, Any]) -> None:
    row = found([model], **asked).rows[0]
    assert not row.fits
    assert row.would_fit
    for way in row.would_fit:
        changed: dict[str, Any] = {"num_gpus": way.num_gpus, "context_len": way.context_len, "engine": row.engine}
        words = way.option.split()
        if way.change == "offload" and row.engine == "vllm":
            changed["offload"] = words[1]
        elif way.change == "offload":
            changed |= {
                name.strip("-").replace("-", "_"): int(value)
                for name, value in zip(words[::2], words[1::2], strict=True)
            }
            changed["host"] = asked.get("host", "ddr5-6000x2:1024g")
        files = row.engine == "llama.cpp" or way.change == "format"
        name = row.model if files else next(iter(_checkpoint(row.model, way.dtype)), row.model)
        held = show(name, ask(gpu=row.accelerator, dtype=way.dtype if files else None, **changed)).prediction
        assert held
        assert held.fits, way
        assert held.decode
        if way.decode_seconds and not (way.change == "offload" and "host" not in asked):
            assert way.decode_seconds == pytest.approx(held.decode.seconds)


def _checkpoint(model: str, dtype: str) -> list[str]:
    """The published checkpoint of a model whose precision has a name."""
    published = sparsecalc.load(model).ledgers.spec.id
    every = NamedModel(published, ask()).candidates("vllm")
    return [each.name for each in every if each.variant.precision.name == dtype]


def test_offload_says_the_host_memory_it_needs() -> None:
    row = found(["deepseek-v3"], gpu="rtx-4090", max_gpus=1).rows[0]
    way = next(each for each in row.would_fit if each.change == "offload")
    assert way.host_memory_bytes > 300 * 2**30
    assert way.decode_seconds is None  # the usual host has less
    assert "--n-cpu-moe" in way.option


# --- all models on one device -------------------------------------------------------------------------------------


def test_all_models_on_one_device_come_largest_first() -> None:
    report = found(on="rtx-4060", context_len=8192, rows=5)
    fast = [row for row in report.rows if row.is_fast_enough]
    assert len(fast) == 5
    assert [row.total_params for row in fast] == sorted((row.total_params for row in fast), reverse=True)
    assert report.rows[0].is_fast_enough
    assert report.models_looked_at > 150
    assert all(row.num_gpus == 1 and row.context_len == 8192 for row in report.rows)
    assert report.text[0].startswith("The largest model on 1 x rtx-4060")
    assert report.fits
    near = [row for row in report.rows if not row.fits]
    assert near
    assert all(row.total_params > fast[-1].total_params for row in near)


def test_a_short_list_is_the_head_of_the_long_one() -> None:
    names = ["qwen3-8b", "gemma-3-4b", "llama-3.2-1b", "llama-2-13b", "mixtral-8x7b"]
    report = found(names, on="rtx-4060", context_len=4096)
    sizes = [row.total_params for row in report.rows if row.is_fast_enough]
    assert sizes == sorted(sizes, reverse=True)
    assert [row.model for row in report.rows if not row.fits] == ["mixtral-8x7b", "llama-2-13b"]
    assert not report.fits  # one of those that are named does not


def test_a_model_whose_context_ends_before_is_not_offered() -> None:
    row = found(["llama-2-7b"], on="rtx-4090", context_len=8192).rows[0]
    assert not row.fits
    assert row.reason == "its context ends at 4,096 tokens"
    assert not row.would_fit


def test_a_time_per_token_moves_slow_models_behind() -> None:
    names = ["qwen3-8b", "llama-3.2-1b", "gemma-3-27b"]
    report = found(names, on="rtx-4090", context_len=8192, tpot="8ms")
    assert [row.model for row in report.rows] == ["llama-3.2-1b", "gemma-3-27b", "qwen3-8b"]
    assert [row.is_fast_enough for row in report.rows] == [True, False, False]
    assert (report.rows[0].decode_seconds or 1) <= 0.008
    none = found(names, on="rtx-4090", context_len=8192, tpot="1us")
    assert not none.fits
    assert none.text[0].startswith("No model on 1 x rtx-4090 has a token in 1 us")


def test_commands_are_those_of_show(quick_run: Run) -> None:
    rows = found(["llama-3.3-70b"], gpu="h100-sxm,rtx-4090", context_len=8192, commands=True).rows
    by_engine = {row.engine: row.command for row in rows}
    start = "vllm serve nvidia/Llama-3.3-70B-Instruct-FP8 --max-model-len 8192"
    assert by_engine["vllm"] == start
    assert by_engine["llama.cpp"].startswith("llama-server -m llama-3.3-70b-Q4_K_M.gguf -ngl 99 -c 8192")
    assert not found(["llama-3.3-70b"], gpu="h100-sxm").rows[0].command
    words = quick_run("fit", "llama-3.3-70b", "--gpu", "h100-sxm", "--context", "8k", "--commands").stdout.splitlines()
    assert f"  {start}" in words


def test_usual_engines() -> None:
    engines = {gpu: usual_engine(load_accelerator(gpu), None) for gpu in ("rtx-4090", "h100-sxm", "m4-max", "tpu-v5p")}
    assert engines == {"rtx-4090": "llama.cpp", "h100-sxm": "vllm", "m4-max": "mlx", "tpu-v5p": "generic"}
    assert usual_engine(load_accelerator("rtx-4090"), "vllm") == "vllm"
    assert "epyc-9654" not in all_accelerators()


# --- as users call it ---------------------------------------------------------------------------------------------


def test_exit_codes_and_quiet(quick_run: Run) -> None:
    yes = quick_run("fit", "llama-3.1-8b", "--gpu", "rtx-4090", "--quiet")
    assert (yes.rc, yes.stdout, yes.stderr) == (0, "", "")
    no = quick_run("fit", "deepseek-v3", "--gpu", "rtx-4090", "--quiet")
    assert (no.rc, no.stdout) == (1, "")
    slow = quick_run("fit", "llama-3.1-8b", "--gpu", "rtx-4090", "--tpot", "1us", "-q")
    assert slow.rc == 1
    bad = quick_run("fit", "llama-3.1-8b", "--gpu", "nonesuch", "-q")
    assert bad.rc == 2
    assert bad.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["fit"],
        ["fit", "nonesuch", "--gpu", "h100"],
        ["fit", "llama-3.1-8b", "--on", "rtx-4090", "--gpu", "h100"],
        ["fit", "--on", "rtx-4090,rtx-3090"],
        ["fit", "llama-3.1-8b", "--gpu", "h100", "--max-gpus", "0"],
        ["fit", "llama-3.1-8b", "--gpu", "h100", "--max-gpus", "100000"],
        ["fit", "llama-3.1-8b", "--gpu", "h100", "--tpot", "fast"],
        ["fit", "llama-3.1-8b", "--gpu", "h100", "--limit", "-1"],
        ["fit", "llama-3.1-8b", "--gpu", "h100", "--tp", "3"],
        ["fit", "llama-3.1-8b", "--gpu", "h100", "--dtype", "int3"],
        ["fit", "llama-3.1-8b", "--gpu", "h100", "--context", "1k,2k"],
        ["fit", "llama-3.1-8b", "--gpu", "h100", "--engine", "nonesuch"],
    ],
)
def test_bad_input_is_one_line_and_exit_2(words: list[str], quick_run: Run) -> None:
    bad = quick_run(*words)
    assert bad.rc == 2, bad.stdout
    assert bad.stdout == ""
    assert bad.stderr.startswith("error: ")
    assert bad.stderr.count("\n") == 1


def test_the_first_line_is_the_answer(quick_run: Run) -> None:
    """Tasks of new users: a 16 GB card, a 24 GB card, five small models on a laptop and a Jetson, experts in DDR5."""
    card = quick_run("fit", "gpt-oss-20b", "--gpu", "rtx-5080")
    assert card.stdout.startswith("gpt-oss-20b fits 1 x rtx-5080 in mxfp4_moe: ")
    assert "room for a context of 131,072" in card.stdout.splitlines()[0]
    largest = quick_run("fit", "--on", "rtx-4090", "--context", "32k", "--dtype", "q4_k_m", "--limit", "2")
    assert largest.stdout.startswith("The largest model on 1 x rtx-4090 with a token in 100 ms or less is ")
    small = ["phi-4-mini", "gemma-3-4b", "qwen3-4b", "llama-3.2-3b", "smollm3-3b"]
    five = quick_run("fit", *small, "--gpu", "m4-max,jetson-orin-nano-8gb", "--json").json
    assert {(row["model"], row["accelerator"]) for row in five["rows"]} == {
        (name, gpu) for name in small for gpu in ("m4-max", "jetson-orin-nano-8gb")
    }
    experts = quick_run("fit", "deepseek-v3", "--gpu", "rtx-4090", "--max-gpus", "1")
    assert experts.rc == 1
    assert experts.stdout.startswith("deepseek-v3 does not fit on 1 x rtx-4090: ")
    assert "GiB of host memory (--n-cpu-moe" in experts.stdout


def test_as_a_function() -> None:
    report = sparsecalc.fit(on="rtx-4060", context_len=4096, rows=1)
    assert report.rows[0].fits
    with pytest.raises(InputError, match="no model"):
        sparsecalc.fit()


def test_a_config_of_ones_own_from_a_file_or_standard_input(quick_run: Run, run: Run, tmp_path: Path) -> None:
    config = (Path(__file__).parent / "real_configs" / "aya-vision-8b.json").read_text(encoding="utf-8")
    (tmp_path / "config.json").write_text(config, encoding="utf-8")
    folder = quick_run("fit", str(tmp_path), "--gpu", "h100-sxm", "--commands")
    assert f"  vllm serve {tmp_path} --max-model-len 4096" in folder.stdout.splitlines()
    piped = run("fit", "-", "--gpu", "rtx-4090", "--json", stdin=config)
    assert piped.json["rows"][0]["dtype"] == "q8_0"


def test_sparse_weights_have_no_command(quick_run: Run) -> None:
    rows = found(["llama-3.1-8b+2:4", "qwen3-8b+int4"], gpu="h100-sxm", commands=True).rows
    commands = {row.model: row.command for row in rows}
    assert commands == {"llama-3.1-8b+2:4": "", "qwen3-8b+int4": "vllm serve Qwen/Qwen3-8B-AWQ --max-model-len 4096"}


def test_a_command_places_what_the_row_says_whole() -> None:
    """Even where llama.cpp's own --fit would leave a margin free and move layers for it."""
    rows = found(on="rtx-4090", context_len=32768, rows=4, commands=True).rows
    assert all("-ngl 99" in row.command and "-ncmoe" not in row.command for row in rows if row.fits)
