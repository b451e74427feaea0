"""What llama-bench prints: `-o json`, `jsonl` and `csv` with the same fields, and the markdown table that people paste.

Source: llama.cpp b9739, tools/llama-bench/README.md; columns of the table: llama-bench.cpp, markdown_printer.
"""

import csv
import re
from typing import Any

from sparsecalc.core.bench_tests import BenchTest, bench_test
from sparsecalc.core.errors import InputError
from sparsecalc.core.text import brief
from sparsecalc.library.bench_files.rows import BenchRow
from sparsecalc.library.serving_files.rows import Record, number, word

TOOL = "llama-bench"
BACKENDS = {"CUDA": "cuda", "ROCm": "rocm", "HIP": "rocm", "Vulkan": "vulkan", "Metal": "metal", "MTL": "metal"} | {
    "SYCL": "sycl",
    "BLAS": "cpu",
    "CPU": "cpu",
}
"""Its names of backends and ours; of several, joined by commas, the first that is no CPU's counts."""
_DEVICES = (
    r"Device \d+: ([^,\n]+),",
    r"ggml_vulkan: \d+ = ([^|(\n]{1,100}?)\s*[|(]",
    r"GPU name:\s*(\S[^\n]*)",
    r"\|\s*\d+\s*\|\s*\[level_zero:[^|]*\|\s*([^|]{1,100}?)\s*\|",
)
"""Lines that backends print before the table, with the name of each device (SYCL's in a table of its own)."""
MOST_BEFORE = 2**16
"""Characters in which devices are looked for."""
_SIZES = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
_RATE = re.compile(r"([\d.,]+(?:e[+-]?\d+)?)\s*(?:(?:±|\+/-|\+-)\s*([\d.,]+))?")


def read_llama_bench(record: Record, where: str) -> list[BenchRow] | None:
    """The row of a JSON object; None where it is of another tool."""
    if not {"avg_ts", "n_prompt", "n_gen"} <= record.keys():
        return None
    lengths = {"prompt_len": "n_prompt", "output_len": "n_gen", "depth": "n_depth"}
    sizes = {name: _count(record, key, where) or 0 for name, key in lengths.items()}
    if not sizes["prompt_len"] + sizes["output_len"]:
        raise InputError("n_prompt and n_gen are both 0", where=where)
    backend = _backend(str(record.get("backends") or ""), _count(record, "n_gpu_layers", where))
    named = word(record.get("cpu_info" if backend == "cpu" else "gpu_info"))
    devices = [name.strip() for name in re.split(r",|/(?= ?[A-Z])", named or "") if name.strip()] or [""]
    own: dict[str, Any] = {
        "deviation": number(record.get("stddev_ts"), "stddev_ts", where),
        "params": number(record.get("model_n_params"), "model_n_params", where),
        "kv_cache_dtype": _kv_cache(record.get("type_k"), record.get("type_v")),
        "build": str(record["build_number"]) if record.get("build_number") else None,
        "threads": _count(record, "n_threads", where),
        "micro_batch": _count(record, "n_ubatch", where),
        "gpu_layers": _count(record, "n_gpu_layers", where),
        "cpu_moe": _count(record, "n_cpu_moe", where) or 0,
    }
    rate = number(record["avg_ts"], "avg_ts", where)
    return [
        BenchRow(
            where=where,
            tool=TOOL,
            test=BenchTest(**sizes),
            tokens_per_second=rate or 0.0,
            **_model(str(record.get("model_type") or ""), str(record.get("model_filename") or "")),
            gpu=devices[0] or None,
            num_gpus=1 if backend == "cpu" or str(record.get("split_mode")) == "none" else len(devices),
            engine="llama.cpp",
            backend=backend,
            unusable=_unusable(record, rate),
            **own,
        )
    ]


def read_llama_bench_csv(text: str, where: str) -> list[BenchRow] | None:
    """The rows of its csv; None where its columns are not there. Raises InputError for a value that is none."""
    first, _, _ = text.partition("\n")
    if not all(name in first for name in ("avg_ts", "n_prompt", "n_gen")):
        return None
    lines = csv.reader(text.splitlines())
    try:
        header = [name.strip() for name in next(lines, [])]
        if not {"avg_ts", "n_prompt", "n_gen"} <= {*header}:
            return None
        rows: list[BenchRow] = []
        for line in lines:
            place = f"{where}, line {lines.line_num}"
            if len(line) != len(header):
                raise InputError(f"{len(line)} values for {len(header)} columns", where=place)
            rows += read_llama_bench(dict(zip(header, line, strict=True)), place) or []
    except csv.Error as error:
        raise InputError(f"not a csv file ({brief(str(error))})", where=where) from error
    return rows


def read_llama_bench_table(text: str, where: str) -> list[BenchRow] | None:
    """The rows of its tables, with the devices and the build from the lines around them; None without such a table."""
    header: list[str] = []
    rows: list[BenchRow] = []
    devices = [name.strip() for pattern in _DEVICES for name in re.findall(pattern, text[:MOST_BEFORE])]
    build = re.search(r"build: [0-9a-f]{6,40} \((\d+)\)", text)
    for place, line in enumerate(text.splitlines(), 1):
        cells = [cell.strip().strip("`*") for cell in line.strip().strip("|").split("|")] if line.count("|") > 2 else []
        if "test" in cells and any(cell in ("t/s", "avg_ts") for cell in cells):
            header = cells
        elif header and len(cells) == len(header) and not re.fullmatch(r"[\s:|-]*", line):
            row = dict(zip(header, cells, strict=True))
            rows.append(_table_row(row, devices, build[1] if build else None, f"{where}, line {place}"))
    return rows or None


def _table_row(row: dict[str, str], devices: list[str], build: str | None, where: str) -> BenchRow:
    rate = _RATE.match(row.get("t/s") or row.get("avg_ts") or "")
    layers = _count(row, "ngl", where)
    backend = _backend(row.get("backend", ""), layers)
    used = devices if backend != "cpu" else []
    return BenchRow(
        where=where,
        tool=TOOL,
        test=bench_test(re.sub(r"@\s*d?", "@d", row["test"])),
        tokens_per_second=(number(rate[1], "t/s", where) if rate else None) or 0.0,
        deviation=number(rate[2], "t/s", where) if rate and rate[2] else None,
        **_model(row.get("model", ""), ""),
        params=_params(row.get("params", "")),
        kv_cache_dtype=_kv_cache(row.get("type_k"), row.get("type_v")),
        gpu=used[0] if used else None,
        num_gpus=max(1, len(used)) if row.get("sm") != "none" else 1,
        engine="llama.cpp",
        backend=backend,
        build=build,
        threads=_count(row, "threads", where),
        micro_batch=_count(row, "n_ubatch", where),
        gpu_layers=layers,
        cpu_moe=_count(row, "n_cpu_moe", where) or _count(row, "ncmoe", where) or 0,
        unusable=_unusable(row, rate),
    )


def _count(record: Record, name: str, where: str) -> int | None:
    """A whole number from 0; -1, `auto` or nothing is None."""
    value = record.get(name)
    if value is None or str(value).strip() in ("", "-1", "auto", "-"):
        return None
    found = number(value, name, where)
    if found is None or not found.is_integer():
        raise InputError(f"{name} is {brief(value)}", where=where, hint="It must be a whole number")
    return int(found)


def _backend(names: str, layers: int | None) -> str | None:
    """Ours of `CUDA` or `Metal,BLAS`; a CPU's where nothing else is named."""
    found = [BACKENDS.get(name.strip()) for name in names.split(",")]
    known = [name for name in found if name]
    return next((name for name in known if name != "cpu"), known[0] if known else None)


def _unusable(record: Record, rate: object) -> str:
    """Why a row is of no use: without a rate, of embeddings, with a cache of two formats."""
    if not rate:
        return "no tokens per second"
    if str(record.get("embeddings") or record.get("embd") or "0").lower() not in ("0", "false"):
        return "embeddings, not answers"
    keys, values = (str(record.get(name) or "f16").lower() for name in ("type_k", "type_v"))
    return "" if keys == values else f"keys of the cache in {brief(keys)}, values in {brief(values)}"


def _kv_cache(keys: Any, values: Any) -> str | None:
    """The format of the cache where keys and values have the same; the usual one is not told of."""
    name = str(keys or values or "").strip().lower()
    return None if name in ("", "f16", "fp16") else name


def _model(kind: str, path: str) -> dict[str, Any]:
    """Names of the model, and the format of its file: `llama 8B Q4_K - Medium` ends with it."""
    match = re.fullmatch(r"(?P<model>\S+ \S+) (?P<dtype>\S.*)", kind.strip())
    file = re.split(r"[/\\]", path.strip())[-1]
    return {"model": kind.strip(), "file": file, "dtype": match["dtype"] if match else None}


def _params(text: str) -> float | None:
    match = re.fullmatch(r"([\d.]+)\s*([KMBT])", text.strip(), re.IGNORECASE)
    return float(match[1]) * _SIZES[match[2].lower()] if match else None
