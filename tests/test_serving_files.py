"""Results of serving benchmarks, in the layouts that their tools write; the files' makers are named in the readers."""

import json
from pathlib import Path

import pytest

from sparsecalc.core.errors import InputError
from sparsecalc.library.serving_files.read import read_serving_files
from sparsecalc.library.serving_files.rows import ServingRow

FILES = Path(__file__).parent / "serving_files"
HEADER = "model,gpu,tp,engine,concurrency,prompt_len,output_len,tpot_seconds\n"


def rows(name: str) -> list[ServingRow]:
    return list(read_serving_files([str(FILES / name)]).rows)


def told(row: ServingRow) -> tuple[object, ...]:
    return row.concurrency, row.prompt_len, row.output_len, row.tpot_seconds, row.ttft_seconds


def test_own_csv(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(
        "\ufeffModel,gpu, num_gpus,tp,ep,dp,engine,dtype,kv_cache_dtype,"
        "concurrency,prompt_len,output_len,tpot_seconds,note\n"
        "llama-3.1-70b,h200,4,4,,,vllm,fp8,fp8,32,1024,512,0.0132,nightly\n"
        "\n"
        "llama-3.1-70b,h200,8,8,,,vllm,fp8,,64,1e3,512.5,,\n"
    )
    found = read_serving_files([str(file)])
    first, second = found.rows
    assert (first.model, first.gpu, first.num_gpus, first.tp, first.ep) == ("llama-3.1-70b", "h200", 4, 4, None)
    assert (first.engine, first.dtype, first.kv_cache_dtype) == ("vllm", "fp8", "fp8")
    assert told(first) == (32, 1024, 512, 0.0132, None)
    assert second.tpot_seconds is None
    assert second.output_len == 512.5
    assert second.where.endswith("line 4")
    assert [each.why for each in found.left_out] == ["the column note is not read"]


def test_vllm_serve() -> None:
    (row,) = rows("vllm_serve.json")
    assert (row.model, row.gpu, row.tp, row.engine) == ("meta-llama/Llama-3.1-70B-Instruct", "H200", 4, None)
    assert told(row) == (32, 1024, 1024, pytest.approx(0.01321), pytest.approx(0.1815))
    (open_loop,) = rows("vllm_serve_rate.json")  # Little's law: what was in flight
    assert open_loop.concurrency == pytest.approx(1.9 * (0.1815 + 0.01321 * 1023))
    (guessed,) = rows("vllm_serve_speculative.json")
    assert "speculative" in guessed.unusable


def test_vllm_serve_appends_objects(tmp_path: Path) -> None:
    text = (FILES / "vllm_serve.json").read_text()
    file = tmp_path / "appended.json"
    file.write_text(text + "\n" + text)
    assert len(read_serving_files([str(file)]).rows) == 2


def test_vllm_forward() -> None:
    decode, prefill = rows("vllm_forward.json")
    assert told(decode) == (2, 2047, 1, pytest.approx(9120.5e-6), None)
    assert decode.kernels_only
    assert not decode.unusable
    assert decode.model is None
    assert prefill.unusable == "not a batch of plain decodes"


def test_sglang() -> None:
    first, second, guessed = rows("sglang.jsonl")
    assert (first.model, first.tp, first.dp, first.ep) == ("deepseek-ai/DeepSeek-R1-0528", 1, 8, 8)
    assert (first.engine, first.dtype, first.kv_cache_dtype) == ("sglang", "fp8", "auto")
    assert told(first) == (16, 921.6, 921.6, pytest.approx(0.00941), pytest.approx(0.3501))
    assert second.concurrency == 64
    assert "entry 2" in second.where
    assert "speculative" in guessed.unusable


def test_guidellm() -> None:
    alone, closed, rate = rows("guidellm.json")
    assert alone.model == "openai/gpt-oss-120b"
    assert told(alone) == (1, 512, 256, pytest.approx(0.0051), pytest.approx(0.040))
    assert told(closed) == (16, 512, 256, pytest.approx(0.0079), pytest.approx(0.088))
    assert rate.concurrency == 11.3


@pytest.mark.parametrize("name", ["aiperf.json", "aiperf_records.json", "genai_perf.json", "aiperf.csv"])
def test_aiperf(name: str) -> None:
    (row,) = rows(name)
    size = pytest.approx(1.31 * (0.2205 + 0.0146 * 500)) if name.endswith("csv") else 10
    assert told(row) == (size, 1000, 501, pytest.approx(0.0146), pytest.approx(0.2205))
    assert row.model == (None if name.endswith("csv") else "openai/gpt-oss-120b")


def test_inferencex() -> None:
    vllm, trt, guessed, amd = rows("inferencex.json")
    assert (vllm.gpu, vllm.tp, vllm.dp, vllm.engine, vllm.dtype) == ("h200", 4, None, "vllm", "fp8")
    assert told(vllm) == (32, pytest.approx(921.6), pytest.approx(921.6), 0.01321, 0.1815)
    assert (trt.gpu, trt.tp, trt.dp, trt.ep, trt.engine, trt.dtype) == ("b200", 1, 8, 8, "trtllm", "nvfp4")
    assert "speculative" in guessed.unusable
    assert (amd.gpu, amd.dtype) == ("mi355x", "mxfp4")


def test_a_folder_and_what_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER + "llama-3.1-8b,h100,1,vllm,1,128,128,0.006\n")
    (tmp_path / "b.json").write_text(json.dumps({"something": "else"}))
    (tmp_path / "c.csv").write_text("x,y\n1,2\n")
    (tmp_path / "README.md").write_text("not read")
    found = read_serving_files([str(tmp_path)])
    assert len(found.rows) == 1
    assert [Path(each.where).name for each in found.left_out] == ["b.json", "c.csv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        (HEADER + "m,h100,1,vllm,1,128,128,-0.1\n", "line 2: tpot_seconds is '-0.1'"),
        (HEADER + "m,h100,1,vllm,1,128,128,nan\n", "tpot_seconds is 'nan'"),
        (HEADER + "m,h100,1.5,vllm,1,128,128,0.1\n", "tp is '1.5'"),
        (HEADER + "m,h100,1,vllm,1,128\n", "6 values for 8 columns"),
        ('{"a": 1} nonsense', "not JSON"),
        ('{"model_id": "m", "mean_tpot_ms": "fast", "total_input_tokens": 1}', "mean_tpot_ms is 'fast'"),
        ('{"model_id": "m", "mean_tpot_ms": NaN, "total_input_tokens": 1}', "mean_tpot_ms is nan"),
        ('{"case": "x", "requests": [{}], "median_us": 1}', "a request has no query_len"),
        ('{"hw": "h100", "conc": -1, "framework": "vllm", "mean_tpot": 1}', "conc is -1"),
    ],
)
def test_bad_files_say_where(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(InputError) as error:
        read_serving_files([str(file)])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_entries_that_are_not_known_are_told_once(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_text("{}\n" * 1000 + (FILES / "vllm_serve.json").read_text())
    found = read_serving_files([str(file)])
    assert len(found.rows) == 1
    assert [each.why for each in found.left_out] == ["not the result of a tool that is known, nor 999 more entries"]


def test_no_such_file(tmp_path: Path) -> None:
    for name in ("none.csv", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(InputError):
            read_serving_files([str(tmp_path / name)])
