"""Every command that is printed is parsed by the engine's own options, as data/engine_arguments.json records them."""

import argparse
import json
import shlex
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsecalc.core.errors import InputError
from sparsecalc.data_files import read_data
from sparsecalc.decide.kubernetes import kubernetes_manifest
from sparsecalc.decide.question import ask
from sparsecalc.decide.run_commands import LAUNCHERS, bench_command, engine_facts, run_command
from sparsecalc.decide.show import show

TABLE = read_data("engine_arguments.json")
KINDS = {"int": int, "float": float, "str": str}


class Parser(argparse.ArgumentParser):
    """Raises instead of leaving."""

    def error(self, message: str) -> None:
        raise AssertionError(message)


def parser_of(program: str) -> Parser:
    """A strict parser of a program's recorded options."""
    parser = Parser(prog=program, allow_abbrev=False, add_help=False)
    for name, kind in TABLE["programs"][program]["options"].items():
        if kind == "switch":
            parser.add_argument(name, action="store_true")
        elif isinstance(kind, list):
            parser.add_argument(name, choices=kind)
        else:
            parser.add_argument(name, type=KINDS[kind])
    return parser


def parsed(program: str, words: list[str]) -> argparse.Namespace:
    """Words behind a program, parsed; vllm serve and trtllm-serve take the model first."""
    head = program.split()
    assert words[: len(head)] == head
    rest = words[len(head) :]
    parser = parser_of(program)
    if program in ("vllm serve", "trtllm-serve"):
        parser.add_argument("model")
    return parser.parse_args(rest)


def server_lines(engine: str, command: str) -> list[list[str]]:
    """The words of the server's own command in each line."""
    lines = [shlex.split(line.rpartition(" && ")[2]) for line in command.splitlines()]
    if engine == "trtllm":
        return [words[words.index("trtllm-serve") :] for words in lines]
    return [[word.replace("$NODE_RANK", "1") for word in words] for words in lines]


LAYOUTS = [
    {},
    {"tp": 8},
    {"tp": 4, "pp": 2},
    {"dp": 8, "ep": 8, "is_moe": True},
    {"tp": 2, "ep": 2, "is_moe": True, "eplb_replicas": 4},
    {"tp": 2, "dp": 4, "ep": 8, "is_moe": True},
    {"tp": 8, "pp": 2, "num_nodes": 2},
    {"dp": 2},
]
LOADS = [
    {},
    {"max_model_len": 8192, "max_num_seqs": 64, "gpu_memory_utilization": 0.92, "max_num_batched_tokens": 4096},
    {"kv_cache_dtype": "fp8"},
    {"quantization": "fp8"},
]


@pytest.mark.parametrize(("engine", "layout", "load"), product(LAUNCHERS, LAYOUTS, LOADS))
def test_each_command_is_parsed_by_the_engines_own_options(engine: str, layout: dict, load: dict) -> None:
    if refused(engine, {**layout, **load}):
        with pytest.raises(InputError):
            run_command(engine, "org/some-model", **layout, **load)
        return
    command = run_command(engine, "org/some-model", **layout, **load)
    program = engine_facts(engine)["program"]
    for words in server_lines(engine, command):
        options = vars(parsed(program, words))
        devices = layout.get("tp", 1) * layout.get("pp", 1) * layout.get("dp", 1)
        assert told_devices(engine, options) in (devices, None)


def refused(engine: str, how: dict) -> bool:
    """Whether an engine has no option for a part of a layout."""
    if engine == "trtllm":
        both = how.get("tp", 1) > 1 and how.get("dp", 1) > 1
        return both or "eplb_replicas" in how or "quantization" in how
    one = not {"dp", "ep", "quantization", "num_nodes"} & set(how) and how.get("kv_cache_dtype") != "fp8"
    return engine == "llama.cpp" and not one


def told_devices(engine: str, options: dict) -> int | None:
    """Devices that an engine takes by its options; None: llama.cpp takes those that it sees."""
    if engine == "vllm":
        names = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
    elif engine == "sglang":
        names = ("tp_size", "pp_size", "dp_size")
    elif engine == "trtllm":
        names = ("tp_size", "pp_size")
    else:
        return None
    count = 1
    for name in names:
        count *= options[name] or 1
    return count


def test_layouts_that_an_engine_cannot_have_are_refused() -> None:
    for engine, how in {
        "vllm": {"tp": 8, "ep": 4, "is_moe": True},
        "trtllm": {"tp": 2, "dp": 2},
        "llama.cpp": {"dp": 2},
        "nonesuch": {},
    }.items():
        with pytest.raises(InputError):
            run_command(engine, "m", **how)
    with pytest.raises(InputError, match="int3"):
        run_command("vllm", "m", kv_cache_dtype="int3")
    with pytest.raises(InputError, match="equal nodes"):
        run_command("vllm", "m", tp=4, num_nodes=3)


def test_sequences_are_of_all_copies_of_the_attention() -> None:
    how = {"dp": 4, "ep": 4, "is_moe": True, "max_num_seqs": 100}
    assert "--max-num-seqs 25" in run_command("vllm", "m", **how)
    assert "--max-running-requests 100" in run_command("sglang", "m", **how)
    assert "--max_batch_size 25" in run_command("trtllm", "m", **how)
    assert "enable_attention_dp: true" in run_command("trtllm", "m", **how)


@given(st.text(min_size=1, max_size=40), st.sampled_from(LAUNCHERS))
def test_nothing_from_outside_is_left_unquoted(name: str, engine: str) -> None:
    if name.startswith("-"):
        with pytest.raises(InputError, match="option"):
            run_command(engine, name)
        return
    plain = shlex.split(run_command(engine, "org/m"))
    assert shlex.split(run_command(engine, name)) == [name if word == "org/m" else word for word in plain]
    plain = shlex.split(bench_command(engine, "org/m", prompt_len=1, output_len=1, concurrency=1))
    words = shlex.split(bench_command(engine, name, prompt_len=1, output_len=1, concurrency=1))
    assert words == [name if word == "org/m" else word for word in plain]


def test_a_model_may_not_steer_the_shell_or_kubernetes() -> None:
    name = "x$NODE_RANK $(LWS_WORKER_INDEX) `id`"
    command = run_command("vllm", name, tp=16, num_nodes=2)
    assert all(shlex.quote(name) in line for line in command.splitlines())
    manifest = kubernetes_manifest("vllm", name, tp=16, num_nodes=2)
    assert json.dumps(name.replace("$(", "$$(")) in manifest


@pytest.mark.parametrize("engine", LAUNCHERS)
def test_the_measuring_line_is_parsed(engine: str) -> None:
    words = shlex.split(bench_command(engine, "org/m", prompt_len=4096, output_len=1024, concurrency=8, rate=None))
    options = parsed("vllm bench serve", words)
    assert (options.random_input_len, options.random_output_len, options.max_concurrency) == (4096, 1024, 8)
    assert options.base_url.endswith(str(engine_facts(engine)["port"]))
    words = shlex.split(bench_command(engine, "org/m", prompt_len=1, output_len=2, concurrency=8, rate=2.5))
    assert parsed("vllm bench serve", words).request_rate == 2.5


@pytest.mark.parametrize("engine", LAUNCHERS)
def test_the_manifest_asks_for_the_devices_and_runs_the_command(engine: str) -> None:
    yaml = pytest.importorskip("yaml")
    deployment, service = yaml.safe_load_all(kubernetes_manifest(engine, "Org/Some_Model.v1", replicas=3, tp=4))
    pod = deployment["spec"]["template"]["spec"]["containers"][0]
    assert deployment["kind"] == "Deployment"
    assert deployment["spec"]["replicas"] == 3
    assert pod["resources"]["limits"] == {"nvidia.com/gpu": "4"}
    assert "Org/Some_Model.v1" in pod["command"]
    assert service["spec"]["ports"][0]["port"] == pod["ports"][0]["containerPort"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]


def test_several_nodes_are_a_leader_worker_set() -> None:
    yaml = pytest.importorskip("yaml")
    text = kubernetes_manifest("vllm", "org/m", tp=8, pp=2, num_nodes=2, vendor="AMD")
    group = next(iter(yaml.safe_load_all(text)))["spec"]["leaderWorkerTemplate"]
    worker = group["workerTemplate"]["spec"]["containers"][0]
    assert group["size"] == 2
    assert worker["resources"]["limits"] == {"amd.com/gpu": "8"}
    assert worker["command"][-1] == "--headless"
    assert "$(LWS_WORKER_INDEX)" in worker["command"]
    with pytest.raises(InputError, match="MPI"):
        kubernetes_manifest("trtllm", "m", tp=16, num_nodes=2)
    with pytest.raises(InputError, match="Kubernetes"):
        kubernetes_manifest("vllm", "m", vendor="Acme")


def test_a_tensorrt_manifest_writes_its_config() -> None:
    text = kubernetes_manifest("trtllm", "m", dp=2, ep=2, is_moe=True)
    assert "enable_attention_dp: true" in text
    assert '"sh"' in text


def shown_commands(name: str, **asked: object) -> list:
    """The commands of `show --commands`."""
    return show(name, ask(**asked), commands=True).commands  # type: ignore[arg-type]


def test_show_prints_the_command_of_each_engine() -> None:
    found = shown_commands("qwen3-30b-a3b", gpu="h100-sxm", tp=2, ep=2, batch_size=50, context_len=8192)
    assert [each.engine for each in found] == ["vllm", "sglang", "trtllm"]
    for each in found:
        options = parsed(engine_facts(each.engine)["program"], server_lines(each.engine, each.command)[0])
        assert told_devices(each.engine, vars(options)) == 2
        measured = parsed("vllm bench serve", shlex.split(each.bench))
        assert (measured.max_concurrency, measured.random_input_len + measured.random_output_len) == (50, 8192)
        assert "nvidia.com/gpu" in each.manifest


@pytest.mark.parametrize(
    ("name", "dtype", "served"),
    [
        ("qwen3-30b-a3b", None, "Qwen/Qwen3-30B-A3B"),
        ("qwen3-30b-a3b", "fp8", "Qwen/Qwen3-30B-A3B-FP8"),
        ("Qwen/Qwen3-30B-A3B-FP8", None, "Qwen/Qwen3-30B-A3B-FP8"),
        ("llama-2-7b", "fp8", "meta-llama/Llama-2-7b-hf --quantization fp8"),
    ],
)
def test_a_published_precision_is_its_checkpoint_and_another_is_made(name: str, dtype: str | None, served: str) -> None:
    asked = {"dtype": dtype} if dtype else {}
    command = shown_commands(name, gpu="h100-sxm", engine="vllm", **asked)[0].command
    assert command.startswith(f"vllm serve {served} ")


def test_what_an_engine_cannot_have_is_said_with_no_command() -> None:
    found = shown_commands("mixtral-8x7b", gpu="h100-sxm", tp=8, ep=4)
    assert "ep 4" in found[0].reason
    assert not found[0].command
    assert found[1].command
    assert "checkpoint" in shown_commands("llama-2-7b", gpu="h100-sxm", dtype="q4_k", engine="vllm")[0].reason
    assert "llama.cpp" in shown_commands("mixtral-8x7b", gpu="h100-sxm", offload="experts=0.5")[0].reason
    assert not shown_commands("llama-3.1-8b+2:4", gpu="h100-sxm", engine="vllm")[0].command


def test_llama_cpp_has_the_command_of_its_advice() -> None:
    report = show("llama-3.1-8b", ask(gpu="rtx-4090", dtype="q4_k_m", engine="llama.cpp"), commands=True)
    assert report.advice
    command = report.commands[0].command
    assert command == f"{report.advice.command} --port 8080"
    assert parsed("llama-server", shlex.split(command)).m.endswith("Q4_K_M.gguf")


def test_nodes_are_as_large_as_the_fast_links_or_one_system() -> None:
    assert "--nnodes 2" in shown_commands("deepseek-v3", gpu="h200-sxm", num_gpus=16, engine="vllm")[0].command
    assert "--nnodes" not in shown_commands("deepseek-v3", gpu="h200-sxm", num_gpus=8, engine="vllm")[0].command


def test_commands_need_an_accelerator_and_a_known_engine() -> None:
    with pytest.raises(InputError, match="accelerator"):
        shown_commands("llama-3.1-8b")
    with pytest.raises(InputError, match="no command is known"):
        shown_commands("llama-3.1-8b", gpu="h100-sxm", engine="exllamav3")
