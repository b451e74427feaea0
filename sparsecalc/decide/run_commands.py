"""The command lines that serve a model in a layout, and the one that measures it: of vLLM, SGLang, TensorRT-LLM and
llama.cpp.

Source: each engine's own parser, as data/engine_arguments.json has it; tests parse every command by that table. What an
engine has no option for is refused, never left out.
"""

import shlex
from functools import cache
from typing import Any, Unpack

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import brief
from sparsecalc.data_files import read_data
from sparsecalc.decide.launch import How, Launch

LAUNCHERS = ("vllm", "sglang", "trtllm", "llama.cpp")
"""Engines that have a command."""
RANK, HEAD = "$NODE_RANK", "$HEAD_ADDRESS"
"""Shell variables of a command for several nodes: this node's number, and the first node's address."""


@cache
def engine_facts(engine: str) -> dict[str, Any]:
    """Port, image, program and words of formats. Raises InputError for an engine without a command here."""
    engines: dict[str, dict[str, Any]] = read_data("engine_arguments.json")["engines"]
    if engine not in engines:
        raise InputError(f"no command is known for {brief(engine)}", hint=f"Engines: {', '.join(engines)}")
    return engines[engine]


def run_command(engine: str, model: str, **how: Unpack[How]) -> str:
    """The command that serves `model` so, quoted for a shell; one line for the first node and one for each other.

    >>> run_command("vllm", "Qwen/Qwen3-30B-A3B", tp=2, ep=2, is_moe=True, max_model_len=8192)
    'vllm serve Qwen/Qwen3-30B-A3B --tensor-parallel-size 2 --enable-expert-parallel --max-model-len 8192'

    Raises InputError for an engine without a command, and for what the engine has no option for.
    """
    launch = Launch(model=model, **how)
    lines = [_line(node) for node in nodes_words(engine, launch)]
    config = trtllm_config(launch) if engine == "trtllm" else []
    return f"printf '%s\\n' {shlex.join(config)} > trtllm.yaml && {lines[0]}" if config else "\n".join(lines)


def nodes_words(engine: str, launch: Launch, rank: str = RANK, head: str = HEAD) -> list[list[str]]:
    """The words of the command on the first node, and where there are several, on each other.

    Raises InputError as `run_command` does.
    """
    engine_facts(engine)
    if launch.model.startswith("-"):
        raise InputError(f"{brief(launch.model)} would be read as an option", hint="A path may begin with ./")
    words = {"vllm": _vllm, "sglang": _sglang, "trtllm": _trtllm, "llama.cpp": _llama}[engine](launch)
    if launch.num_nodes == 1:
        return [words]
    if launch.num_gpus % launch.num_nodes:
        raise InputError(f"{launch.num_gpus} devices do not make {launch.num_nodes} equal nodes")
    nodes = str(launch.num_nodes)
    if engine == "vllm":
        first, other = (["--nnodes", nodes, "--node-rank", at, "--master-addr", head] for at in ("0", rank))
        return [[*words, *first], [*words, *other, "--headless"]]
    if engine == "sglang":
        port = str(engine_facts(engine)["port"] + 1)
        joined = ["--nnodes", nodes, "--dist-init-addr", f"{head}:{port}", "--node-rank"]
        return [[*words, *joined, "0"], [*words, *joined, rank]]
    if engine == "trtllm":
        tasks = str(launch.num_gpus)
        started = ["srun", "-N", nodes, "-n", tasks, "--mpi=pmix", "trtllm-llmapi-launch", *words]
        return [[*started, "--gpus_per_node", str(launch.num_gpus // launch.num_nodes)]]
    raise InputError("llama-server is told of one node here", hint="Choose devices of one node, or --engine vllm")


def _line(words: list[str]) -> str:
    """Words quoted for a shell, with the variables of several nodes in double quotes."""
    return " ".join(_variable(word) if RANK in word or HEAD in word else shlex.quote(word) for word in words)


def _variable(word: str) -> str:
    """A word of our own with a variable in it, which is expanded; any other as it is."""
    address, colon, port = word.partition(":")
    known = word == RANK or (address == HEAD and (not colon or port.isdigit()))
    return f'"{word}"' if known else shlex.quote(word)


def _given(**values: object) -> list[str]:
    """`--name value` for every value that is not None, switches alone for True; `_` of a name is a dash."""
    words: list[str] = []
    for name, value in values.items():
        if value is True:
            words.append(f"--{name.replace('_', '-')}")
        elif value is not None and value is not False:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def _more(count: int) -> int | None:
    """A degree of parallelism; None where it is 1, the default."""
    return count if count > 1 else None


def _word(engine: str, kind: str, name: str | None) -> str | None:
    """What an engine calls a format. Raises InputError where it has none for it."""
    if name is None:
        return None
    known = engine_facts(engine)[kind]
    if name in known:
        return str(known[name])
    known_ones = f"It has {', '.join(known)}" if known else "It has none"
    if kind == "kv_cache_dtypes":
        raise InputError(f"{engine} has no KV cache in {brief(name)}", hint=known_ones)
    text = f"{engine} does not quantize to {brief(name)} while it loads"
    raise InputError(text, hint=f"{known_ones}; else name a checkpoint in that format")


def _vllm(launch: Launch) -> list[str]:
    """Source: vLLM 0.33.0 engine/arg_utils.py; max_num_seqs is each data-parallel rank's own."""
    whole = launch.tp * launch.dp
    if launch.ep not in (1, whole):
        raise InputError(f"ep {launch.ep}: vLLM has ep 1 or tp x dp = {whole} (--enable-expert-parallel)")
    copies = launch.eplb_replicas
    return [
        "vllm",
        "serve",
        launch.model,
        *_given(
            tensor_parallel_size=_more(launch.tp),
            pipeline_parallel_size=_more(launch.pp),
            data_parallel_size=_more(launch.dp),
            enable_expert_parallel=launch.ep > 1,
            enable_eplb=copies is not None,
            eplb_config=f'{{"num_redundant_experts": {copies}}}' if copies else None,
            quantization=_word("vllm", "quantizations", launch.quantization),
            kv_cache_dtype=_word("vllm", "kv_cache_dtypes", launch.kv_cache_dtype),
            max_model_len=launch.max_model_len,
            max_num_seqs=launch.sequences_per_copy,
            max_num_batched_tokens=launch.max_num_batched_tokens,
            gpu_memory_utilization=launch.gpu_memory_utilization,
        ),
    ]


def _sglang(launch: Launch) -> list[str]:
    """Source: SGLang 0.5.23 srt/arg_groups: attention copies lie inside the tensor-parallel group, replicas beside it.

    A dense model's copies are whole ones (--dp-size); max_running_requests is of all attention copies together.
    """
    inside, copies = launch.dp > 1 and launch.is_moe, launch.eplb_replicas
    return [
        "python",
        "-m",
        "sglang.launch_server",
        *_given(
            model_path=launch.model,
            tp_size=_more(launch.tp * (launch.dp if inside else 1)),
            pp_size=_more(launch.pp),
            dp_size=None if inside else _more(launch.dp),
            attn_dp_size=launch.dp if inside else None,
            ep_size=_more(launch.ep),
            enable_eplb=copies is not None,
            ep_num_redundant_experts=copies or None,
            quantization=_word("sglang", "quantizations", launch.quantization),
            kv_cache_dtype=_word("sglang", "kv_cache_dtypes", launch.kv_cache_dtype),
            context_length=launch.max_model_len,
            max_running_requests=launch.max_num_seqs if inside else launch.sequences_per_copy,
            chunked_prefill_size=launch.max_num_batched_tokens,
            mem_fraction_static=launch.gpu_memory_utilization,
        ),
    ]


def _trtllm(launch: Launch) -> list[str]:
    """Source: TensorRT-LLM commands/serve.py; copies of the attention and the cache's format stand in a YAML file."""
    if launch.dp > 1 and launch.tp > 1:
        text = f"tp {launch.tp} x dp {launch.dp}: TensorRT-LLM copies the attention on every device or on none"
        raise InputError(text, hint=f"Such as dp {launch.tp * launch.dp}, tp 1")
    if launch.eplb_replicas is not None:
        raise InputError("redundant experts of TensorRT-LLM stand in a file of placements, which is not written here")
    _word("trtllm", "quantizations", launch.quantization)
    values = {
        "--tp_size": _more(launch.tp * launch.dp),
        "--pp_size": _more(launch.pp),
        "--ep_size": _more(launch.ep),
        "--max_seq_len": launch.max_model_len,
        "--max_batch_size": launch.sequences_per_copy,
        "--max_num_tokens": launch.max_num_batched_tokens,
        "--kv_cache_free_gpu_memory_fraction": launch.gpu_memory_utilization,
        "--extra_llm_api_options": "trtllm.yaml" if trtllm_config(launch) else None,
    }
    typed = [word for name, value in values.items() if value is not None for word in (name, str(value))]
    return ["trtllm-serve", launch.model, *typed]


def trtllm_config(launch: Launch) -> list[str]:
    """Lines of the YAML file that trtllm-serve needs beside its options; none where it needs none."""
    lines = ["enable_attention_dp: true"] if launch.dp > 1 else []
    if launch.kv_cache_dtype:
        lines += ["kv_cache_config:", f"  dtype: {_word('trtllm', 'kv_cache_dtypes', launch.kv_cache_dtype)}"]
    return lines


def _llama(launch: Launch) -> list[str]:
    """A GGUF file, all layers on the devices; llama.cpp's -c is of all sequences together."""
    if launch.dp > 1 or launch.ep > 1 or launch.quantization:
        raise InputError(
            "llama-server has no copies of the attention, no expert parallelism and one format: the file's"
        )
    cache = _word("llama.cpp", "kv_cache_dtypes", launch.kv_cache_dtype)
    context, sequences = launch.max_model_len, launch.max_num_seqs or 1
    words = ["-sm", "row"] if launch.tp > 1 else []
    words += ["-ub", str(launch.max_num_batched_tokens)] if launch.max_num_batched_tokens else []
    words += ["--port", str(engine_facts("llama.cpp")["port"])]
    cells = None if context is None else context * sequences
    return llama_server(launch.model, "99", cells, sequences, (cache, cache), words)


def llama_server(
    file: str,
    gpu_layers: str | None,
    cells: int | None,
    sequences: int,
    cache_types: tuple[str | None, str | None],
    more: list[str],
) -> list[str]:
    """`llama-server` with -ngl, -c (tokens of all sequences), -np and the cache's types; `more`: what else is typed.

    Source: llama.cpp tools/server/README.md.
    """
    words = ["llama-server", "-m", file]
    words += ["-ngl", gpu_layers] if gpu_layers is not None else []
    words += ["-c", str(cells)] if cells is not None else []
    words += ["-np", str(sequences)] if sequences > 1 else []
    for option, name in zip(("-ctk", "-ctv"), cache_types, strict=True):
        words += [option, name] if name else []
    return [*words, *more]


def bench_command(
    engine: str,
    model: str,
    *,
    prompt_len: int,
    output_len: int,
    concurrency: int,
    rate: float | None = None,
    num_prompts: int | None = None,
    tokenizer: str | None = None,
) -> str:
    """The `vllm bench serve` line that measures TTFT, TPOT and throughput of a server that `run_command` started.

    Random prompts of equal lengths, answers of full length, `concurrency` requests in flight (with a `rate`: that many
    requests a second, Poisson). `num_prompts`: ten for each place by default. Source: vLLM 0.33.0 benchmarks/serve.py.
    """
    words = ["vllm", "bench", "serve", *_given(base_url=f"http://127.0.0.1:{engine_facts(engine)['port']}")]
    words += _given(
        model=model,
        tokenizer=tokenizer,
        dataset_name="random",
        random_input_len=prompt_len,
        random_output_len=output_len,
        ignore_eos=True,
        num_prompts=num_prompts or 10 * concurrency,
        max_concurrency=None if rate else concurrency,
        request_rate=rate,
        percentile_metrics="ttft,tpot,itl,e2el",
    )
    return shlex.join(words)
