"""Results of llama-bench, Ollama and mlx-lm as their tools write them, and the anchor that they make.

The files of tests/bench_files are made up in the layouts that the readers name; their figures are nobody's.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st

from sparsecalc.core.bench_tests import BenchTest
from sparsecalc.core.errors import InputError
from sparsecalc.data_files import read_data
from sparsecalc.decide.bench_models import bench_dtype, bench_model
from sparsecalc.device.desk_anchor import DeskWidths as Widths
from sparsecalc.device.desk_anchor import TestPlace as Place
from sparsecalc.device.desk_anchor import anchored_tests
from sparsecalc.library.bench_files.read import read_bench_files
from sparsecalc.library.bench_files.rows import BenchRow

FILES = Path(__file__).parent / "bench_files"
TABLE = str(FILES / "llama_bench.md")


def rows(name: str) -> list[BenchRow]:
    return list(read_bench_files([str(FILES / name)]).rows)


def told(found: list[BenchRow]) -> list[tuple[str, float]]:
    return [(row.test.name, row.tokens_per_second) for row in found]


def row(**fields: Any) -> BenchRow:
    return BenchRow(**{"where": "", "tool": "", "test": BenchTest(output_len=1), "tokens_per_second": 1.0, **fields})


def test_llama_benchs_json(tmp_path: Path) -> None:
    prompt, answer = rows("llama_bench.json")
    assert told([prompt, answer]) == [("pp512", 11400.213), ("tg128@d4096", 137.44)]
    assert (prompt.gpu, prompt.engine, prompt.backend, prompt.build) == (
        "NVIDIA GeForce RTX 4090",
        "llama.cpp",
        "cuda",
        "6100",
    )
    assert (prompt.file, prompt.dtype) == ("Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "Q4_K - Medium")
    assert (prompt.kv_cache_dtype, answer.kv_cache_dtype) == (None, "q8_0")
    assert (prompt.gpu_layers, prompt.micro_batch, prompt.deviation) == (99, 512, 50.31)
    lines = tmp_path / "lines.jsonl"
    lines.write_text("\n".join(json.dumps(each) for each in json.loads((FILES / "llama_bench.json").read_text())))
    assert told(list(read_bench_files([str(lines)]).rows)) == told([prompt, answer])


def test_llama_benchs_csv() -> None:
    prompt, answer = rows("llama_bench.csv")
    assert told([prompt, answer]) == [("pp512", 180.5), ("tg128", 24.1)]
    assert (answer.gpu, answer.backend, answer.threads) == ("AMD Ryzen 9 7950X 16-Core Processor", "cpu", 16)


def test_llama_benchs_table() -> None:
    found = rows("llama_bench.md")
    assert [test for test, _ in told(found)] == ["pp512", "tg128", "pp512@d4096", "tg128@d4096"]
    assert (found[0].gpu, found[0].build, found[0].params, found[0].deviation) == (
        "NVIDIA GeForce RTX 4090",
        "6100",
        pytest.approx(8.03e9),
        50.31,
    )


@pytest.mark.parametrize(
    ("before", "backend", "gpu"),
    [
        ("ggml_vulkan: 0 = AMD Radeon RX 7900 XTX (RADV NAVI31) (radv) | uma: 0 |", "Vulkan", "AMD Radeon RX 7900 XTX"),
        ("ggml_metal_init: GPU name:   Apple M2 Ultra", "Metal,BLAS", "Apple M2 Ultra"),
        ("  Device 0: AMD Radeon RX 7900 XTX, gfx1100 (0x1100), VMM: no", "ROCm", "AMD Radeon RX 7900 XTX"),
        ("", "CPU", None),
    ],
)
def test_tables_of_every_backend(tmp_path: Path, before: str, backend: str, gpu: str | None) -> None:
    file = tmp_path / "pasted.txt"
    file.write_text(
        f"{before}\n| model | size | params | backend | threads | test | t/s |\n|---|---:|---:|---|--:|--:|--:|\n"
        f"| llama 7B mostly Q4_0 | 3.56 GiB | 6.74 B | {backend} | 8 | tg 128 | 13.45 +/- 0.93 |\n"
    )
    (found,) = read_bench_files([str(file)]).rows
    assert (found.gpu, found.test.name, found.tokens_per_second, found.deviation) == (gpu, "tg128", 13.45, 0.93)


def test_ollama() -> None:
    assert told(rows("ollama.json")) == [("pp1024", 4096.0), ("tg300@d1024", 60.0)]
    found = read_bench_files([str(FILES / "ollama.txt")])
    assert told(list(found.rows)) == [("tg298@d26", 129.57)]
    assert found.rows[0].model == "qwen3:30b-a3b-q4_K_M"
    assert "26 tokens tells little" in found.left_out[0].why


def test_mlx_lm() -> None:
    found = rows("mlx_lm.txt")
    assert [(test, rate) for test, rate in told(found)] == [
        ("pp2048", 1622.27),
        ("tg128@d2048", 134.52),
        ("pp600", 1530.12),
        ("tg100@d600", 138.25),
    ]
    assert {(each.engine, each.model) for each in found} == {("mlx", "mlx-community/Qwen3-4B-Instruct-2507-4bit")}


@pytest.mark.parametrize(
    ("fields", "model", "dtype"),
    [
        ({"model": "gpt-oss 120B MXFP4 MoE", "params": 116.83e9, "dtype": "MXFP4 MoE"}, "gpt-oss-120b", "mxfp4_moe"),
        ({"model": "llama 70B IQ2_XXS - 2.0625 bpw", "params": 70.55e9}, "llama-3.1-70b", None),
        ({"model": "gemma3 27B Q4_0", "params": 27.01e9, "dtype": "Q4_0 (guessed)"}, "gemma-3-27b", "q4_0"),
        ({"model": "llama 7B mostly Q4_0", "params": 6.74e9, "dtype": "mostly Q4_0"}, "llama-2-7b", "q4_0"),
        ({"model": "llama3.1:8b-instruct-q8_0"}, "llama-3.1-8b", "q8_0"),
        ({"model": "mlx-community/Qwen3-4B-Instruct-2507-8bit"}, "qwen3-4b", "int8"),
        ({"file": "gpt-oss-20b-mxfp4-00001-of-00002.gguf"}, "gpt-oss-20b", "mxfp4"),
        ({"model": "qwen3moe 30B.A3B all F32", "params": 30.53e9, "dtype": "all F32"}, "qwen3-30b-a3b", "fp32"),
    ],
)
def test_models_and_formats(fields: dict[str, Any], model: str, dtype: str | None) -> None:
    assert bench_model(row(**fields), {}) == model
    if dtype:
        assert bench_dtype(row(**fields)) == dtype


def test_names_that_tell_nothing() -> None:
    with pytest.raises(InputError, match=r"no built-in model is 'bert 1B Q8_0' with 1.00 B parameters"):
        bench_model(row(model="bert 1B Q8_0", params=1e9), {})
    wrong = row(model="llama 70B Q8_0", file="Llama-3.1-8B-Q8_0.gguf", params=70.55e9)
    assert bench_model(wrong, {}) == "llama-3.1-70b", "the parameters count, not the file's name"
    assert bench_model(row(model="mine"), {"mine": "olmoe-1b-7b"}) == "olmoe-1b-7b"
    assert bench_model(row(model="mine"), {"": "olmoe-1b-7b"}) == "olmoe-1b-7b"
    with pytest.raises(InputError, match="the format of the weights is not told"):
        bench_dtype(row(model="llama3.1:8b"))


SLOWER = 0.7
"""Of the predicted rate: what a made-up machine reaches."""


def rates(quick_run: Run, model: str, *more: str) -> dict[str, dict[str, Any]]:
    """The tests of a model on an RTX 4090, and the notes on the anchor."""
    asked = ("show", model, "--dtype", "q4_k", "--gpu", "rtx-4090", "--test", "pp512,tg128", "--json")
    done = quick_run(*asked, *(more if "--engine" in more else ("--engine", "llama.cpp", *more)))
    assert done.rc == 0, done.stderr
    notes = [note["text"] for note in done.json["warnings"] if note["code"] == "anchor"]
    return {test["test"]: test for test in done.json["tests"]} | {"notes": {"all": " ".join(notes)}}


def test_a_table_anchors_every_prediction_of_the_machine(quick_run: Run, tmp_path: Path) -> None:
    plain, text = rates(quick_run, "llama-3.1-8b"), (FILES / "llama_bench.md").read_text().splitlines()
    for name in ("pp512", "tg128"):
        place = next(place for place, line in enumerate(text) if f" {name} " in line and "@" not in line)
        text[place] = text[place].rpartition("|")[0].rpartition("|")[0]
        text[place] += f"| {SLOWER * plain[name]['tokens_per_second']:.2f} ± 1.00 |"
    file, target = tmp_path / "pasted.md", str(tmp_path / "anchor.json")
    file.write_text("\n".join(line for line in text if "@" not in line))
    made = quick_run("calibrate", "--from-llama-bench", str(file), "-o", target, "--json")
    assert made.rc == 0, made.stderr
    assert (made.json["accelerator"], made.json["device"]) == ("rtx-4090", "tests")
    assert [test["phase"] for test in made.json["anchor"]["tests"]] == ["prompt", "decode"]

    def width(test: dict[str, Any]) -> float:
        return float(test["tokens_per_second_high"] / test["tokens_per_second_low"])

    own = rates(quick_run, "llama-3.1-8b", "--calibration", target)
    other, before = rates(quick_run, "qwen3-30b-a3b", "--calibration", target), rates(quick_run, "qwen3-30b-a3b")
    for name in ("pp512", "tg128"):
        moved = own[name]["tokens_per_second"] / plain[name]["tokens_per_second"]
        assert SLOWER - 0.001 < moved < SLOWER + 0.1
        there = other[name]["tokens_per_second"] / before[name]["tokens_per_second"]
        assert moved < there < 1, "what is common to the machine moves others too, and less"
        assert width(own[name]) < width(other[name]) <= width(before[name])
    assert "2 measured tests of this machine, 2 of this model" in own["notes"]["all"]
    for engine in ("llama.cpp:vulkan", "vllm"):
        foreign = rates(quick_run, "llama-3.1-8b", "--engine", engine, "--calibration", target)
        assert "not applied" in foreign["notes"]["all"]


def test_an_anchor_of_a_described_device(quick_run: Run, tmp_path: Path) -> None:
    target, line = str(tmp_path / "anchor.json"), "nvidia:24gb:1000gb/s:160tflops"
    made = quick_run("calibrate", "--from-llama-bench", TABLE, "--gpu", line, "-o", target)
    assert made.rc == 0, made.stderr
    asked = ("show", "llama-3.1-8b", "--dtype", "q4_k", "--engine", "llama.cpp", "--calibration", target)
    assert "anchored to 4 measured tests" in quick_run(*asked, "--gpu", line).stderr
    assert "not applied" in quick_run(*asked, "--gpu", "nvidia:24gb:500gb/s:160tflops").stderr


def test_the_table_of_an_anchor(quick_run: Run) -> None:
    table = quick_run("calibrate", "--from-llama-bench", TABLE)
    assert table.rc == 0, table.stderr
    assert "pp512@d4096" in table.stdout
    assert "Not saved: -o FILE saves it." in table.stdout


def test_ollama_and_mlx_lm_need_what_they_do_not_tell(quick_run: Run) -> None:
    ollama = ("calibrate", "--from-ollama", str(FILES / "ollama.json"))
    assert "the format of the weights is not told" in quick_run(*ollama).stderr
    assert "the accelerator is not told" in quick_run(*ollama, "--dtype", "q4_k_m").stderr
    done = quick_run(*ollama, "--dtype", "q4_k_m", "--gpu", "rtx-4090", "--json")
    assert done.rc == 0, done.stderr
    assert done.json["anchor"]["engine"] == "ollama"
    mlx = quick_run("calibrate", "--from-mlx-lm", str(FILES / "mlx_lm.txt"), "--gpu", "m4-max", "--json")
    assert mlx.rc == 0, mlx.stderr
    assert len(mlx.json["anchor"]["tests"]) == 4


def test_a_processor(quick_run: Run) -> None:
    done = quick_run("calibrate", "--from-llama-bench", str(FILES / "llama_bench.csv"), "--json")
    assert done.rc == 0, done.stderr
    assert (done.json["accelerator"], done.json["anchor"]["backend"]) == ("ryzen-7950x", "cpu")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("hello\n", "not the result of a tool that is known"),
        ("[1, 2]", "not the result of a tool that is known"),
        ("{", "not JSON"),
        ('{"avg_ts": "fast", "n_prompt": 512, "n_gen": 0}', "avg_ts is 'fast'"),
        ('{"avg_ts": 1, "n_prompt": -5, "n_gen": 0}', "n_prompt is -5"),
        ('{"avg_ts": 1, "n_prompt": 0.5, "n_gen": 0}', "n_prompt is 0.5"),
        ('{"avg_ts": 1, "n_prompt": 0, "n_gen": 0}', "both 0"),
        ('{"avg_ts": 0, "n_prompt": 1, "n_gen": 0}', "no tokens per second"),
        ("avg_ts,n_prompt,n_gen\n1,2\n", "2 values for 3 columns"),
        ("| test | t/s |x|\n| pp | 1 |x|\n", "--test is 'pp'"),
        ('{"model": "m", "eval_count": 9, "eval_duration": "long"}', "eval_duration is 'long'"),
        (
            "Prompt: 0 tokens, 1 tokens-per-sec\nGeneration: 0 tokens, 1 tokens-per-sec",
            "its length or its rate is not told",
        ),
    ],
)
def test_bad_files_are_one_line(quick_run: Run, tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    done = quick_run("calibrate", "--from-llama-bench", str(file))
    assert (done.rc, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr


def test_options_that_do_not_go_together(quick_run: Run) -> None:
    for options, said in (
        (("--quick",), "--quick is of benchmarks"),
        (("--tp", "2"), "--tp is of --from-serving"),
        (("--from-serving", TABLE), "two anchors"),
        (("--model", "nonsense"), ""),
    ):
        done = quick_run("calibrate", "--from-llama-bench", TABLE, *options)
        assert done.rc == (2 if said else 0), done.stderr
        assert said in done.stderr
    assert quick_run("calibrate", "--from-llama-bench", "no-such-file").rc == 2


def test_rows_of_several_machines(quick_run: Run) -> None:
    both = ("--from-llama-bench", TABLE, "--from-llama-bench", str(FILES / "llama_bench.csv"))
    done = quick_run("calibrate", *both)
    assert done.rc == 2
    assert "rows of 2 machines: rtx-4090, llama.cpp, cuda; ryzen-7950x, llama.cpp, cpu" in done.stderr


@given(st.sampled_from(sorted(FILES.iterdir())), st.data())
def test_any_file_is_rows_or_refused(tmp_path_factory: pytest.TempPathFactory, path: Path, data: st.DataObject) -> None:
    text = path.read_text()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    other = data.draw(st.text("0123456789.,|{}[]\"': -+@eE\n\u00b1tpgd", max_size=12))
    file = tmp_path_factory.mktemp("any") / "file"
    file.write_text(text[:start] + other + text[end:])
    try:
        found = read_bench_files([str(file)])
    except InputError:
        return
    assert all(row.tokens_per_second > 0 and row.test.prompt_len + row.test.output_len > 0 for row in found.rows)


def test_files_are_bounded(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(b"| " * 2**22)
    with pytest.raises(InputError, match="more than"):
        read_bench_files([str(file)])


PLACES = st.builds(
    Place,
    dense=st.booleans(),
    params=st.sampled_from([1, 2, 3]),
    quantized=st.booleans(),
    length=st.floats(0, 1e6),
)
WIDTHS = Widths(machine=0.3, kind=0.1, model=0.1, quantized=0.1, length=0.2, octaves=3, noise=0.05)


@given(PLACES, PLACES, st.floats(-1, 1))
def test_an_anchor_shrinks_and_never_widens(seen: Place, at: Place, error: float) -> None:
    (mean,), (spread,) = anchored_tests([seen], [error], [at], WIDTHS)
    assert abs(mean) <= abs(error) + 1e-9
    alone = (0.3**2 + 3 * 0.1**2 + 0.2**2 + 0.05**2) ** 0.5
    assert 0.05 <= spread <= alone
    assert mean * error >= 0


@pytest.mark.parametrize("phase", ["decode", "prompt"])
def test_what_an_anchor_is_worth(phase: str) -> None:
    found = read_data("desk_anchor.json")["left_out"][phase]
    medians, tails = ([found[count]["all"][name] for count in "013"] for name in ("median", "p90"))
    assert medians == sorted(medians, reverse=True)
    assert tails == sorted(tails, reverse=True)
    assert all(0.7 < found[count][kind]["in_band"] < 0.9 for count in "13" for kind in ("all", "dense"))
