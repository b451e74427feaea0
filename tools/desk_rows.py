"""Write data/measurements/desk.json: python tools/desk_rows.py FOLDER.

FOLDER holds the shared rows: local_reports.csv (what people published, each with the command that asks the same) and
community_local.csv (submissions to a community benchmark, unverified). Every filter is a line of `REASONS`, with the
number of rows that it took away.
"""

import csv
import json
import shlex
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from sparsecalc.core.workload import Workload
from sparsecalc.decide.desk import as_run
from sparsecalc.device.find import load_accelerator

Row = dict[str, Any]
TARGET = Path(__file__).parent.parent / "data" / "measurements" / "desk.json"
COMMENT = (
    "Steps on consumer machines, one row per figure, in the fields of fixed_batch.json, and `backend`; `host`,"
    " `offload` or `n_gpu_layers` where a part lies in host memory. quality B: published with conditions; C: submitted"
    " to a community benchmark, unverified, under the filters that `excluded` counts."
)
DEVICES = {
    "hw/rtx-2080.json": "rtx-2080",
    "hw/arc-b70.json": "arc-pro-b70",
    "hw/m4.json": "m4",
}
"""Built-in accelerators of files that the shared commands name."""
CHIPS = {
    "RTX 3090": "rtx-3090",
    "RTX 3090 Ti": "rtx-3090-ti",
    "RTX 5090": "rtx-5090",
    "RTX 5080": "rtx-5080",
    "RTX 4070": "rtx-4070",
    "RTX 4070 Super": "rtx-4070-super",
    "RTX 3060": "rtx-3060-12gb",
    "RTX 3080": "rtx-3080",
    "RX 7900 XTX": "rx-7900-xtx",
    "M1 Max": "m1-max",
    "M4 Max": "m4-max",
    "M4 Pro": "m4-pro",
    "Max": "m4-max",
    "H100": "h100-sxm",
    "T4": "t4",
    "AMD Ryzen 7 7840HS": "ryzen-7840hs",
    "AMD Ryzen 7 8745H w/ Radeon 780M": "radeon-780m",
    "AMD Ryzen 7 8745H w/ Radeon 780M Graphics": "radeon-780m",
    "Intel(R) Core(TM) Ultra 7 155H": "core-ultra-7-155h",
}
"""Devices of the community's rows."""
MODELS = {
    "Qwen3.5-0.8B-Base": "qwen3.5-0.8b",
    "Qwen3.5-2B-Base": "qwen3.5-2b",
    "Qwen3.5-4B-Base": "qwen3.5-4b",
    "Qwen3.5-9B-Base": "qwen3.5-9b",
    "Qwopus3.6-35B-A3B-v1": "qwen3.6-35b-a3b",
    "Qwen3.6-35B-A3B-abliterated-v4": "qwen3.6-35b-a3b",
    "Ornstein-3.6-27B": "qwen3.6-27b",
    "Ornstein-Hermes-3.6-27b": "qwen3.6-27b",
    "Gemopus-4-26B-A4B-it-GGUF": "gemma-4-26b-a4b",
    "gemma-4-26B-A4B-it": "gemma-4-26b-a4b",
    "gemma-4-26B-A4B-it-qat-q4_0-unquantized": "gemma-4-26b-a4b",
    "gemma-4-26B-A4B-it-QAT-MLX-4bit": "gemma-4-26b-a4b",
    "gemma-4-31B-it-qat-q4_0-unquantized": "gemma-4-31b",
    "gemma-4-E2B-it": "gemma-4-e2b",
    "gemma-4-E4B-it": "gemma-4-e4b",
    "gemma-4-12B-it": "gemma-4-12b",
    "gemma-3-1b-pt": "gemma-3-1b",
    "gemma-3-4b-pt": "gemma-3-4b",
    "gemma-3-12b-pt": "gemma-3-12b",
    "Qwen3-0.6B-Base": "qwen3-0.6b",
    "Qwen3-1.7B-Base": "qwen3-1.7b",
    "Qwen3-4B-Base": "qwen3-4b",
    "Qwen3-8B-Base": "qwen3-8b",
    "Qwen3-14B-Base": "qwen3-14b",
    "Qwen3-30B-A3B-Base": "qwen3-30b-a3b",
    "Qwen3-30B-A3B-Instruct-2507-AWQ-4bit": "qwen3-30b-a3b",
    "Qwen3-Coder-30B-A3B-Instruct": "qwen3-coder-30b-a3b",
    "Qwen2.5-Coder-7B": "qwen2.5-7b",
    "DeepSeek-R1-Distill-Qwen-14B": "qwen2.5-14b",
    "DeepSeek-R1-Distill-Qwen-7B": "qwen2.5-7b",
    "Mistral-Nemo-Base-2407": "mistral-nemo-12b",
    "Mistral-Small-3.1-24B-Base-2503": "mistral-small-3.2-24b",
    "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": "nemotron-3-nano-30b-a3b",
    "Nemotron-Cascade-2-30B-A3B": "nemotron-3-nano-30b-a3b",
    "Nemotron-3-Nano-Omni-30B-A3B-Reasoning-BF16": "nemotron-3-nano-30b-a3b",
    "Llama-2-7b-hf": "llama-2-7b",
    "Llama-3.2-1B-Instruct": "llama-3.2-1b",
    "Meta-Llama-3-8B-Instruct": "llama-3-8b",
    "Phi-4-mini-reasoning": "phi-4-mini",
    "LFM2.5-1.2B-Base": "lfm2.5-1.2b",
    "GLM-4.7-Flash": "glm-4.7-flash",
}
"""Built-in models of the same architecture; others go by their own name in small letters."""
FORMATS = {
    "UD-Q4_K_XL": "q4_k_m",
    "Q4_K_XL": "q4_k_m",
    "Q4_K_P": "q4_k_m",
    "UD-Q3_K_M": "q3_k_m",
    "UD-Q3_K_XL": "q3_k_m",
    "UD-Q6_K": "q6_k",
    "UD-Q6_K_XL": "q6_k",
    "UD-IQ2_M": "iq2_m",
    "UD-IQ2_XXS": "iq2_xxs",
    "Unsloth-Dynamic-IQ4_XS": "iq4_xs",
    "MLX-8bit": "int8",
    "MLX-4bit": "int4-g64",
    "F16": "fp16",
    "BF16": "bf16",
    "NVFP4": "nvfp4",
    "GPTQ": "int4-g128",
    "gptq4": "int4-g128",
}
"""Formats that the tool has a name for: makers' own mixes (UD-) as the file type that they follow."""
GPT_OSS = "q8_0,experts=mxfp4"
"""How every file of gpt-oss is quantized, whatever it is called."""
SHORT_CONTEXT = 4096
"""Below it, a context that may be room or depth makes no difference."""
LEAST_PROMPT = 256
"""Rates of shorter prompts are of launches and of the server."""
REASONS = {
    "speculative": "tokens were drafted, or the engine is one of its makers' own that drafts",
    "model": "no built-in model of the same architecture, or a format without a name",
    "device": "several devices, or one without a data sheet",
    "lengths": "lengths not stated, or a context that may be room or depth",
    "batch": "several sequences",
    "memory": "the weights do not fit the device, and what lies in host memory is not stated",
    "too fast": "faster than the device reads its weights, or than it multiplies: another model, drafts, a cache",
    "twice": "the same figures under another name",
}


def local_rows(path: Path) -> Iterator[Row]:
    """Rows of local_reports.csv that are rates."""
    with path.open() as file:
        rows = [row for row in csv.DictReader(file) if row["fact"].endswith(("t/s", "t/s tg", "t/s pp"))]
    for row in rows:
        words = shlex.split(row["command"])[3:]
        told = dict(zip(words[::2], words[1::2], strict=True))
        decode = "tg" in row["settings"].split("]")[0]
        engine, backend = _engine(row["settings"], told)
        prompt, context = int(told.get("--prompt-len", 0)), int(told["--context"])
        seconds = (1 if decode else prompt) / float(row["measured"])
        found = {
            "id": f"local-{int(row['id']):03}",
            "model": row["model"],
            "weights": told["--dtype"],
            "kv_cache": "fp16" if engine != "mlx" else "bf16",
            "gpu": DEVICES.get(told["--gpu"], told["--gpu"]),
            "phase": "decode" if decode else "prefill",
            "batch_size": 1,
            "prompt_len": 0 if decode else prompt,
            "context_len": context if decode else prompt,
            "engine": engine,
            "backend": backend,
            "ubatch": int(told["--max-num-batched-tokens"]) if "--max-num-batched-tokens" in told else None,
            "offload": _offload(told.get("--offload")),
            "seconds_per_step": float(f"{seconds:.6g}"),
            "published": float(row["measured"]),
            "unit": "tokens/s",
            "quality": "B",
            "source": row["source"],
            "note": row["settings"],
        }
        yield {key: value for key, value in found.items() if value is not None}


def _offload(text: str | None) -> str | None:
    return text.replace("hw/", "").replace(".json", "") if text else None


def _engine(settings: str, told: Row) -> tuple[str, str]:
    """Engine and backend, as far as the settings tell."""
    small = settings.lower()
    engine = told.get("--engine", "ktransformers" if " kt " in small else "mlx")
    if "ollama" in small:
        engine = "ollama"
    return engine, next((name for name in ("vulkan", "rocm") if name in small), "")


def community_rows(path: Path, left_out: Counter[str]) -> Iterator[Row]:
    """Rows of community_local.csv under the filters; those of equal conditions as one, by their median."""
    groups: dict[str, list[tuple[Row, Row]]] = defaultdict(list)
    with path.open() as file:
        for number, row in enumerate(csv.DictReader(file), 1):
            common, why = _common(row)
            if why:
                left_out[why] += 1
                continue
            for rate in _rates(row, common, left_out):
                key = json.dumps({k: v for k, v in rate.items() if k not in ("published", "seconds_per_step")})
                groups[key].append((rate, {"number": number}))
    seen: set[tuple[Any, ...]] = set()
    for members in sorted(groups.values(), key=lambda pairs: int(pairs[0][1]["number"])):
        first = members[0][0]
        value = median(rate["published"] for rate, _ in members)
        same = (first["gpu"], first["context_len"], first["phase"], value)
        if same in seen:
            left_out["twice"] += 1
            continue
        seen.add(same)
        seconds = (first["prompt_len"] or 1) / value
        yield {
            "id": f"community-{members[0][1]['number']:03}{first['phase'][0]}",
            **first,
            "seconds_per_step": float(f"{seconds:.6g}"),
            "published": value,
        }


def _common(row: Row) -> tuple[Row, str]:
    """What a row's figures share, and why the row is left out; empty where it is not."""
    name = (row["base_model"] or row["model"]).split("/")[-1]
    model = MODELS.get(name, name.lower())
    weights = FORMATS.get(row["quantization"], row["quantization"].lower())
    engine = "llama.cpp" if row["engine"] == "lmstudio" else row["engine"]
    if "True" in (row["speculative"], row["mtp"]) or engine not in ("llama.cpp", "ollama", "mlx", "vllm"):
        return {}, "speculative"
    if any(word in row["engine_version"].lower() for word in ("lucebox", "turbo", "buun", "beellama", "lime")):
        return {}, "speculative"
    if "turbo" in row["kv_cache_dtype"] or "int8_per" in row["kv_cache_dtype"]:
        return {}, "model"
    if model == "gpt-oss-20b":
        weights = GPT_OSS
    try:
        as_run(model, weights, "fp16")
    except (LookupError, ValueError, OSError, Exception):
        return {}, "model"
    if row["num_devices"] not in ("", "1") or row["device"] not in CHIPS:
        return {}, "device"
    batch = int(row["batch_size"] or 1)
    if 1 < batch < 512:
        return {}, "batch"
    gpu = CHIPS[row["device"]]
    known = _accelerator(gpu)
    if row["backend"] == "cpu" and known and known.kind != "cpu":
        return {}, "memory"
    backend = row["backend"]
    if engine != "llama.cpp" or (backend == "cuda" and gpu.startswith("m")):
        backend = ""
    if gpu in ("ryzen-7840hs", "core-ultra-7-155h"):
        backend = "cpu"
    common = {
        "model": model,
        "weights": weights,
        "kv_cache": {"q8_0": "q8_0", "q4_0": "q4_0", "fp8": "fp8"}.get(row["kv_cache_dtype"], "fp16"),
        "gpu": gpu,
        "engine": engine,
        "backend": backend,
        "engine_version": row["engine_version"],
        "quality": "C",
        "source": "community benchmark",
    }
    return {**common, **_placed(row, common)}, ""


def _placed(row: Row, common: Row) -> Row:
    layers = int(row["gpu_layers"] or 99)
    spec = as_run(common["model"], common["weights"], common["kv_cache"])[0].spec
    cpu = common["backend"] == "cpu"
    return {} if cpu or not 0 <= layers < spec.num_hidden_layers else {"n_gpu_layers": layers, "host": row["cpu"]}


def _rates(row: Row, common: Row, left_out: Counter[str]) -> Iterator[Row]:
    """Decode and prompt of a row, where their lengths are told and physics allows them."""
    prompt, output = int(row["prompt_tokens"] or 0), int(row["output_tokens"] or 0)
    room, batched = int(row["context_length"] or 0), int(row["batch_size"] or 1) >= 512
    apart = prompt + output == room > SHORT_CONTEXT  # llama-bench's two tests as one row: what depth the second had?
    if not (prompt and output) or apart or (batched and room > SHORT_CONTEXT and common["gpu"] != "rtx-4070"):
        left_out["lengths"] += 1
        return
    depth = room if batched and room > SHORT_CONTEXT else 0  # llama-bench's -d, as the falling rates show
    model, precision = as_run(common["model"], common["weights"], common["kv_cache"])
    gpu = _accelerator(common["gpu"])
    cells = model.ops(Workload.decode(max(room, prompt), 1))
    held = cells.sum(precision.weight_bytes) + precision.kv_cache_bytes(int(cells.total("kv_elements")))
    if gpu and held > gpu.memory_bytes and "n_gpu_layers" not in common:
        left_out["memory"] += 1
        return
    if row["output_tokens_per_second"]:
        rate = float(row["output_tokens_per_second"])
        context = depth + output // 2 if depth else prompt + output // 2
        read = model.ops(Workload.decode(context, 1)).sum(precision.read_weight_bytes)
        if gpu and rate * read > gpu.memory_bytes_per_second:
            left_out["too fast"] += 1
        else:
            yield {**common, "phase": "decode", "batch_size": 1, "prompt_len": 0, "context_len": context,
                   "published": rate, "unit": "tokens/s"}  # fmt: skip
    partial = "n_gpu_layers" in common  # of which nobody told what was sent where
    if row["prefill_tokens_per_second"] and prompt >= LEAST_PROMPT and common["engine"] == "llama.cpp" and not partial:
        rate = float(row["prefill_tokens_per_second"])
        flops = model.ops(Workload.prefill(prompt, 1, logits="last")).total("flops") / prompt
        most = max((v for k, v in gpu.peak_flops_per_second.items() if v and k != "int4"), default=0) if gpu else 0
        if gpu and rate * flops > most:
            left_out["too fast"] += 1
        else:
            yield {**common, "phase": "prefill", "batch_size": 1, "prompt_len": prompt, "context_len": depth + prompt,
                   "published": rate, "unit": "tokens/s"}  # fmt: skip


def _accelerator(name: str) -> Any:
    try:
        return load_accelerator(name)
    except Exception:
        return None


def main() -> None:
    folder, left_out = Path(sys.argv[1]), Counter[str]()
    rows = [*local_rows(folder / "local_reports.csv"), *community_rows(folder / "community_local.csv", left_out)]
    excluded = [{"reason": REASONS[name], "rows": count} for name, count in sorted(left_out.items())]
    lines = ",\n  ".join(json.dumps(row) for row in rows)
    head = json.dumps({"comment": COMMENT, "excluded": excluded}, indent=1)[:-2]
    TARGET.write_text(f'{head},\n "rows": [\n  {lines}\n ]\n}}\n')
    print(len(rows), dict(left_out))


if __name__ == "__main__":
    main()
