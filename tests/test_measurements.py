"""Published measurements: every row against the schema, against what it says itself, and against physics."""

import json
from functools import cache
from typing import Any

import pytest

from sparsecalc.api import Model, load
from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.data_files import data_folder, read_data
from sparsecalc.device.find import load_accelerator
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import model_ids
from sparsecalc.read.number_formats import number_format

Row = dict[str, Any]
STEPS = read_data("measurements/fixed_batch.json")
KERNELS = read_data("measurements/kernels_published.json")

NEEDED = {
    "id": str,
    "model": str,
    "weights": str,
    "kv_cache": str,
    "gpu": str,
    "num_gpus": int,
    "phase": str,
    "batch_size": int,
    "prompt_len": int,
    "output_len": int,
    "context_len": int,
    "engine": str,
    "engine_version": str | None,
    "seconds_per_step": float,
    "published": float | int,
    "unit": str,
    "quality": str,
    "source": str,
}
OPTIONAL = {"weights_bytes": int, "tp": int, "pp": int, "assumed": list, "note": str}
SHAPES = {
    "gemm": {"m", "n", "k", "weights"},
    "grouped_gemm": {"groups", "m", "n", "k", "weights"},
    "moe": {
        *("model", "tokens", "hidden_size", "moe_intermediate_size", "num_experts", "num_experts_per_tok"),
        *("tp", "ep", "routing", "weights"),
    },
    "attention_decode": {
        *("batch_size", "context_len", "num_attention_heads", "num_key_value_heads", "head_dim"),
        *("activations", "kv_cache"),
    },
    "mla_decode": {"batch_size", "context_len", "num_attention_heads", "latent_dim", "activations", "kv_cache"},
}
SHAPES["attention_prefill"] = SHAPES["attention_decode"]
COMMON = {"id", "op", "gpu", "engine", "engine_version", "seconds", "published", "unit", "quality", "source"}


@cache
def model(row_model: str) -> Model:
    return load(row_model)


def precision(row: Row) -> Precision:
    """Formats of tensors: rows name those that a file holds most of, not llama.cpp's types of files."""
    return precision_for(model(row["model"]).spec, row["weights"], row["kv_cache"])


def file_share(row: Row) -> float:
    """Bytes of the weights' file over the bytes that the formats say."""
    return (
        row["weights_bytes"] / model(row["model"]).ops(Workload.decode(1)).sum(precision(row).weight_bytes)
        if "weights_bytes" in row
        else 1
    )


@cache
def step_bytes(row_model: str, weights: str, kv_cache: str, batch_size: int, context_len: int) -> tuple[float, int]:
    """Least bytes of weights that a decode step reads (the experts of one token), and bytes of all the caches."""
    run = model(row_model)
    formats = precision_for(run.spec, weights, kv_cache)
    one = run.ops(Workload.decode(context_len))
    cache_elements = run.ops(Workload.decode(context_len, batch_size)).total("kv_elements")
    return one.sum(formats.read_weight_bytes), formats.kv_cache_bytes(cache_elements)


def flops(row: Row) -> float:
    """FLOPs of the row's prompt, of its step, or of a generation's prompt and steps shared out over its steps."""
    run, batch = model(row["model"]), row["batch_size"]
    step = run.ops(Workload.decode(row["context_len"], batch)).total("flops")
    if row["phase"] == "decode":
        return step
    how = {"phase": "prefill", "batch_size": batch, "new_tokens": row["prompt_len"], "logits": "last"}
    end = row["context_len"] if row["phase"] == "prefill" else row["prompt_len"]
    prompt = run.ops(Workload(**how, context_len=end)).total("flops")
    return prompt if row["phase"] == "prefill" else step + prompt / row["output_len"]


def normalised(row: Row) -> float:
    """`seconds_per_step` from the published figure, as `fields` tells it."""
    phase, unit, value, out = row["phase"], row["unit"], row["published"], row["output_len"]
    if unit in ("ms", "s"):
        return value * (1e-3 if unit == "ms" else 1) / (out if phase == "generation" else 1)
    rate = value * (row["num_gpus"] if unit == "tokens/s/GPU" else 1)
    return row["batch_size"] * (row["prompt_len"] if phase == "prefill" else 1) / rate


@pytest.mark.parametrize("found", [STEPS, KERNELS], ids=["steps", "kernels"])
def test_rows_have_their_own_id_and_a_source(found: Row) -> None:
    rows = found["rows"]
    assert len({row["id"] for row in rows}) == len(rows)
    assert {row["source"] for row in rows} == set(found["sources"])
    assert all(len(text) > 20 for text in found["sources"].values())


@pytest.mark.parametrize("name", ["fixed_batch", "kernels_published"])
def test_a_row_is_a_line(name: str) -> None:
    text = (data_folder() / "measurements" / f"{name}.json").read_text(encoding="utf-8")
    assert len(text.encode()) < 400_000
    assert sum(line.startswith('  {"id"') for line in text.splitlines()) == len(json.loads(text)["rows"])


def test_steps_keep_the_schema() -> None:
    named = {key for keys in STEPS["fields"] for key in keys.split(", ")}
    assert named | {"engine", "engine_version", "source", "note"} == {*NEEDED, *OPTIONAL}
    for row in STEPS["rows"]:
        assert set(NEEDED) <= set(row) <= {*NEEDED, *OPTIONAL}, row
        assert all(isinstance(value, {**NEEDED, **OPTIONAL}[key]) for key, value in row.items()), row
        assert set(row.get("assumed", [])) <= set(STEPS["assumed"]) & set(row), row
        assert row["quality"] in ("A", "B"), row
        assert row["num_gpus"] == row.get("tp", 1) * row.get("pp", 1), row


def test_models_formats_and_accelerators_are_built_in() -> None:
    known = set(model_ids())
    for row in STEPS["rows"]:
        assert row["model"] in known, row
        assert precision(row).kv_cache.id == row["kv_cache"], row
        assert load_accelerator(row["gpu"]).id == row["gpu"], row


def test_lengths_and_context_agree() -> None:
    for row in STEPS["rows"]:
        prompt, output, context = row["prompt_len"], row["output_len"], row["context_len"]
        assert prompt >= 0 < context, row
        assert output >= 0 < prompt + output, row
        if row["phase"] == "prefill":
            assert output == 0 < prompt <= context, row
        else:
            assert context == prompt + output // 2, row


def test_seconds_follow_from_the_published_figure() -> None:
    for row in STEPS["rows"]:
        assert row["seconds_per_step"] == pytest.approx(normalised(row), rel=1e-5), row


def test_the_formats_are_those_of_the_file() -> None:
    """Mixed formats hold more than their name says (Q4_K_M keeps half of the down projections in Q6_K)."""
    sized = [row for row in STEPS["rows"] if "weights_bytes" in row]
    assert len(sized) > 200
    for row in sized:
        assert 0.995 < file_share(row) < 1.07, row


def test_every_run_fits_in_memory() -> None:
    for row in STEPS["rows"]:
        end = row["prompt_len"] + row["output_len"] if row["phase"] == "generation" else row["context_len"]
        formats, run = precision(row), model(row["model"])
        held = run.ops(Workload.decode(end, row["batch_size"]))
        weights = held.sum(formats.weight_bytes) * file_share(row)
        room = row["num_gpus"] * load_accelerator(row["gpu"]).memory_bytes
        assert weights + formats.kv_cache_bytes(held.total("kv_elements")) < room, row


def test_no_step_reads_faster_than_the_memory() -> None:
    """(weights of one token + caches) / seconds < bytes/s of the GPUs that work at a time (pp: one after the other)."""
    for row in STEPS["rows"]:
        if row["phase"] != "prefill":
            weights, caches = step_bytes(
                *(row[key] for key in ("model", "weights", "kv_cache", "batch_size", "context_len"))
            )
            peak = row.get("tp", 1) * load_accelerator(row["gpu"]).memory_bytes_per_second
            assert (weights * file_share(row) + caches) / row["seconds_per_step"] < peak, row


def test_no_step_computes_faster_than_the_fastest_format() -> None:
    for row in STEPS["rows"]:
        peak = max(value for value in load_accelerator(row["gpu"]).peak_flops_per_second.values() if value)
        assert flops(row) / row["seconds_per_step"] < row["num_gpus"] * peak, row


def test_a_figure_worked_by_hand() -> None:
    """gpt-fast prints 1481.87 GB/s per GPU beside 21.32 tokens/s: its weights without the table, and its caches."""
    (row,) = [row for row in STEPS["rows"] if row["id"] == "gpt-fast-0012"]
    weights, caches = step_bytes(row["model"], row["weights"], row["kv_cache"], 1, row["context_len"])
    assert (weights + caches) / row["seconds_per_step"] / 2 == pytest.approx(1481.87e9, rel=0.02)


def test_what_is_left_out_has_a_reason() -> None:
    for entry in STEPS["excluded"]:
        assert set(entry) == {"reason", "rows", "quality", "what", "sources"}
        assert sum(entry["what"].values()) == entry["rows"] > 0
        assert entry["reason"]
        assert entry["sources"]


def test_kernels_keep_the_schema() -> None:
    for row in KERNELS["rows"]:
        assert set(row) - {"excluded", "kernel"} == COMMON | SHAPES[row["op"]], row
        assert load_accelerator(row["gpu"]).id == row["gpu"], row
        assert all(
            number_format(row[key]).id == row[key] for key in ("weights", "activations", "kv_cache") if key in row
        )
        assert row["unit"] in ("us", "TFLOPS"), row
        if row["unit"] == "us":
            assert row["seconds"] == pytest.approx(row["published"] * 1e-6, rel=1e-5), row
        else:
            work = 2 * row.get("groups", 1) * row["m"] * row["n"] * row["k"]
            assert row["seconds"] == pytest.approx(work / (row["published"] * 1e12), rel=1e-5), row


def test_moe_kernels_are_layers_of_their_models() -> None:
    for row in KERNELS["rows"]:
        if row["op"] == "moe":
            (experts, *_) = [op for op in load(row["model"]).ops(Workload()) if op.kind == "experts"]
            assert (experts.num_experts, experts.num_experts_per_tok) == (
                row["num_experts"],
                row["num_experts_per_tok"],
            ), row
            assert experts.cols == row["hidden_size"], row


def test_kernels_faster_than_memory_are_excluded() -> None:
    """Bytes of the weights, or of the cache, over seconds against the datasheet."""
    for row in KERNELS["rows"]:
        if row["op"] == "gemm":
            data = number_format(row["weights"]).matrix_bytes(row["n"], row["k"])
        elif row["op"] == "attention_decode":
            tokens = row["batch_size"] * row["context_len"]
            size = number_format(row["kv_cache"]).bits / 8
            data = 2 * tokens * row["num_key_value_heads"] * row["head_dim"] * size
        else:
            continue
        peak = load_accelerator(row["gpu"]).memory_bytes_per_second
        assert "excluded" in row or data / row["seconds"] < peak, row
