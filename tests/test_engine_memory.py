"""An engine's memory: its mechanism, what logs of real servers print, and that nothing it refuses is promised."""

from math import ceil
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsecalc import compare, load
from sparsecalc.core.errors import InputError
from sparsecalc.decide.engine_logs import LogRow, engine_logs
from sparsecalc.decide.engine_words import plain
from sparsecalc.decide.model_name import load_variant
from sparsecalc.decide.question import ask
from sparsecalc.decide.show import show
from sparsecalc.device.find import load_accelerator
from sparsecalc.documents.show import ShowReport
from sparsecalc.estimate.engine_memory.cache import CachedLayers, cache_blocks
from sparsecalc.estimate.engine_memory.memory import EngineDevice
from sparsecalc.estimate.engine_memory.rules import EngineOptions, EngineRules, engine_rules
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.results import EngineMemory, Prediction, ServingPrediction
from tests.conftest import Run

GIB = 2**30
BESIDE_TEXT = ("vision tower",)
CONTRADICTED = ("M06P", "M52P", "M52N")
"""Rows whose own figures do not add up to the share that they tell."""


def predicted(model: str, **asked: Any) -> Prediction:
    found = show(model, ask(**{"gpu": "h100-sxm", "engine": "vllm", **asked})).prediction
    assert found is not None
    return found


def memory_of(model: str, **asked: Any) -> EngineMemory:
    found = predicted(model, **asked).engine_memory
    assert found is not None
    return found


def serving_of(model: str, **asked: Any) -> ServingPrediction:
    found = predicted(model, **asked).serving
    assert found is not None
    return found


def codes(report: ShowReport) -> set[str]:
    return {note.code for note in report.warnings}


# --- logs ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def logs() -> list[LogRow]:
    return engine_logs()


def errors(logs: list[LogRow], figure: str, *, given_bytes: bool = False) -> list[float]:
    """Absolute errors, smallest first, of rows that are of the decoder alone and do not contradict themselves."""
    rows = [row for row in logs if row.figure == figure and row.given_bytes is given_bytes and not row.refused]
    kept = [row for row in rows if row.id not in CONTRADICTED and not any(part in row.why for part in BESIDE_TEXT)]
    return sorted(abs(row.error_as_run) for row in kept)


def test_weights_are_those_of_the_logs(logs: list[LogRow]) -> None:
    found = errors(logs, "weights_bytes")
    assert len(found) >= 15
    assert median(found) <= 0.01
    assert found[-1] <= 0.03


def test_the_room_is_that_of_the_logs(logs: list[LogRow]) -> None:
    for figure in ("kv_cache_bytes", "kv_cache_tokens"):
        found = errors(logs, figure)
        assert len(found) >= 8
        assert median(found) <= 0.04
        assert found[int(0.9 * len(found))] <= 0.13


def test_tokens_in_given_bytes_are_those_of_the_logs(logs: list[LogRow]) -> None:
    """One row stands out: its bytes are one rank's, its tokens those of the rank with the fewest."""
    found = errors(logs, "kv_cache_tokens", given_bytes=True)
    assert len(found) >= 9
    assert found[-2] <= 0.005
    assert found[-1] <= 0.012
    assert errors(logs, "max_concurrency", given_bytes=True)[-1] <= 0.03  # a hybrid model


def test_what_a_server_refused_is_refused(logs: list[LogRow]) -> None:
    refused = [row for row in logs if row.refused]
    assert len(refused) == 2
    assert all(row.predicted <= 0 for row in refused)
    for model, dtype, context in (
        ("llama-3.3-70b", "fp8-channel", 16384),
        ("gpt-oss-120b", "experts=mxfp4", 131072),
    ):
        found = predicted(model, dtype=dtype, context_len=context)
        assert not found.fits
        assert found.largest_batch_size == 0
        assert found.gpus_needed is not None
        assert found.gpus_needed > 1
        assert found.free_bytes_per_gpu < 0


def test_weights_with_the_allocators_rounding() -> None:
    """Qwen2.5-7B: gate_up takes 1 MiB more than its elements, qkv, down, table and head 0.5 MiB.

    With the 32,768 positions of the instruction-tuned config that is the 14.2487 GiB of vLLM's logs.
    """
    elements = predicted("qwen2.5-7b", engine=None).weights_bytes_per_gpu
    rounding, position = 28 * 2 * 2**20 + 2 * 2**19, 128 * 2
    held = memory_of("qwen2.5-7b", gpu="l4").weights_bytes
    assert held == elements + rounding + 131072 * position
    assert (held - (131072 - 32768) * position) / GIB == pytest.approx(14.2487, abs=5e-5)


# --- mechanism ----------------------------------------------------------------------------------------------------


def test_blocks_tokens_and_concurrency() -> None:
    found = memory_of("llama-3.1-8b", context_len=8192)
    assert found.kv_cache_tokens == found.num_blocks * found.block_size
    assert found.num_blocks == found.kv_cache_bytes // (16 * 131072)
    assert found.max_concurrency == pytest.approx(found.kv_cache_tokens / 8192)
    larger = memory_of("llama-3.1-8b", context_len=8192, block_size=32)
    assert (larger.block_size, larger.num_blocks) == (32, found.num_blocks // 2)


def llama_on(share: float, seqs: int, chunk: int, tp: int) -> EngineDevice:
    """Llama-3.1-8B in vLLM on tp H100."""
    variant, plan = load_variant("llama-3.1-8b"), Placement(tp=tp)
    options = EngineOptions(max_num_seqs=seqs, max_num_batched_tokens=chunk)
    found = engine_rules("vllm", load_accelerator("h100-sxm"), plan, options, share)
    return EngineDevice(variant.model, variant.precision, plan, found)


@given(
    share=st.floats(0.5, 0.95),
    seqs=st.integers(1, 2048),
    chunk=st.integers(64, 32768),
    tp=st.sampled_from([1, 2, 4, 8]),
)
def test_the_cache_is_what_the_share_leaves(share: float, seqs: int, chunk: int, tp: int) -> None:
    found = llama_on(share, seqs, chunk, tp)
    assert found.weights + found.activation + found.other + found.room == int(share * 85018877952)
    assert llama_on(share + 0.02, seqs, chunk, tp).room > found.room
    assert llama_on(share, 2 * seqs, chunk, tp).room <= found.room
    assert llama_on(share, seqs, 2 * chunk, tp).room <= found.room


def test_a_release_takes_its_own_rules() -> None:
    """vLLM 0.27.1 on an L4, FP16: 3.7 GiB with CUDA graphs, 5.46 GiB without (a log of 2026)."""
    asked = {"gpu": "l4", "context_len": 4096, "engine": "vllm@0.27.1"}
    graphs, eager = memory_of("qwen2.5-7b", **asked), memory_of("qwen2.5-7b", enforce_eager=True, **asked)
    assert graphs.kv_cache_bytes / GIB == pytest.approx(3.7, rel=0.02)
    assert eager.kv_cache_bytes / GIB == pytest.approx(5.46, rel=0.02)
    assert eager.cuda_graph_bytes == 0
    assert eager.kv_cache_bytes - graphs.kv_cache_bytes == graphs.cuda_graph_bytes
    assert predicted("qwen2.5-7b", **asked).engine == "vllm"
    for wrong in ("vllm@new", "vllm@0.1.2.3.4", "vllm@-1"):
        with pytest.raises(InputError, match="release"):
            ask(engine=wrong)


def test_where_only_the_defaults_leave_no_room() -> None:
    """gpt-oss-120b on an H100: vLLM's default of 1,024 sequences is refused, a smaller batch is not."""
    report = show("gpt-oss-120b", ask(gpu="h100-sxm", engine="vllm", dtype="experts=mxfp4"))
    found = report.prediction
    assert found is not None
    assert found.engine_memory is not None
    assert found.fits
    assert found.engine_memory.kv_cache_bytes < 0
    assert "engine-defaults-refuse" in codes(report)
    asked = {"dtype": "experts=mxfp4", "max_num_seqs": found.largest_batch_size}
    told = predicted("gpt-oss-120b", **asked, batch_size=found.largest_batch_size)
    assert told.fits
    assert told.engine_memory is not None
    assert told.engine_memory.kv_cache_bytes > 0
    assert not predicted("gpt-oss-120b", **asked, batch_size=found.largest_batch_size + 1).fits
    assert not predicted("gpt-oss-120b", dtype="experts=mxfp4", max_num_seqs=1024).fits


def test_bytes_that_are_told() -> None:
    found = memory_of("llama-3.1-8b", kv_cache_memory_bytes=10 * GIB)
    assert found.kv_cache_bytes == 10 * GIB
    assert found.kv_cache_tokens == 10 * GIB // 131072
    too_many = predicted("llama-3.1-8b", kv_cache_memory_bytes=70 * GIB)
    assert not too_many.fits
    assert too_many.free_bytes_per_gpu < 0


def test_windows_and_states_have_their_own_block_tables() -> None:
    """gpt-oss: half of its layers hold a window and a chunk; Qwen3.5: a block as long as a state fits into its page."""
    half = memory_of("gpt-oss-20b", context_len=131072, dtype="experts=mxfp4")
    per_sequence = ceil(131072 / 16) + ceil((127 + 8192) / 16) + 1
    assert half.max_concurrency == pytest.approx(half.num_blocks / per_sequence)
    assert half.kv_cache_tokens == int(half.num_blocks / per_sequence * 131072)
    hybrid = memory_of("qwen3.5-27b", tp=2, context_len=8192)
    state = 48 // 2 * 128 * 128 * 4  # value heads of a device, fp32
    assert hybrid.block_size % 16 == 0
    assert state < hybrid.block_size * 2 * 2 * 2 * 256 < 1.2 * state


def rules(**changes: Any) -> EngineRules:
    given_rules = EngineRules(
        rule="profiled",
        total_bytes=80 * GIB,
        memory_share=0.9,
        block_size=16,
        max_num_seqs=256,
        max_num_batched_tokens=2048,
        largest_graph=512,
        graph_sizes_per_sequence=2,
        sampler_bytes_per_logit=38.0,
        state_blocks=2,
    )
    return given_rules.but(**changes)


@given(full=st.integers(1, 40), window=st.integers(1, 40), room=st.integers(0, 40 * GIB))
def test_groups_hold_all_layers(full: int, window: int, room: int) -> None:
    kinds = [
        CachedLayers(layers=full, token_bytes=4096.0),
        CachedLayers(layers=window, token_bytes=4096.0, window=1024),
    ]
    blocks = cache_blocks(kinds, rules(), room)
    layers = blocks.block_bytes / (16 * 4096)
    assert [table.count * layers >= kind.layers for table, kind in zip(blocks.groups, kinds, strict=True)]
    assert sum(table.count for table in blocks.groups) * layers < (full + window) + 2 * max(full, window)
    assert blocks.num_blocks * blocks.block_bytes <= room
    assert blocks.per_sequence(100) <= blocks.per_sequence(5000)


def test_a_graph_for_every_size() -> None:
    assert rules().graph_sizes == 3 + 31 + 17  # 1, 2, 4; 8 to 248 by 8; 256 to 512 by 16
    assert rules(max_num_seqs=4).graph_sizes == 4
    assert rules(eager=True).graph_sizes == 0


def test_sglang_keeps_a_share_for_weights_and_cache() -> None:
    asked = {"engine": "sglang", "context_len": 4096}
    told = memory_of("llama-3.1-8b", device_memory_share=0.8, **asked)
    assert told.weights_bytes + told.kv_cache_bytes == int(0.8 * (85018877952 - told.other_bytes))
    assert told.block_size == 1
    found = predicted("llama-3.1-8b", **asked)
    kept = (512 + 8192 * 1.5 + 256 * 2 + 128) * 2**20  # constant, chunk, largest graph, devices
    assert found.device_memory_share == pytest.approx(1 - kept / found.capacity_bytes, abs=6e-4)


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm"])
@pytest.mark.parametrize("model", ["gemma-3-27b", "deepseek-v2-lite", "mamba-130m", "qwen3-next-80b-a3b", "lfm2-1.2b"])
def test_every_kind_of_cache(model: str, engine: str) -> None:
    asked = {"engine": engine, "gpu": "h200-sxm", "tp": 2, "context_len": 4096}
    found, memory = predicted(model, **asked), memory_of(model, **asked)
    assert found.fits
    assert memory.num_blocks > 0
    assert found.largest_batch_size <= memory.max_concurrency
    at_most = predicted(model, **asked, batch_size=found.largest_batch_size)
    assert at_most.fits
    assert not predicted(model, **asked, batch_size=found.largest_batch_size + 1).fits


def test_other_engines_keep_the_generic_share() -> None:
    for engine in (None, "ktransformers"):
        found = predicted("llama-3.1-8b", engine=engine)
        assert found.engine_memory is None
        assert found.device_memory_share == 0.9


# --- what is not promised -----------------------------------------------------------------------------------------


def test_requests_that_do_not_fit_wait() -> None:
    asked: dict[str, Any] = {"gpu": "rtx-4090", "context_len": 4096}
    report = show("qwen2.5-7b", ask(engine="vllm", concurrency=256, **asked))
    many = serving_of("qwen2.5-7b", concurrency=256, **asked)
    held = predicted("qwen2.5-7b", **asked).largest_batch_size
    assert held <= many.running < 1.3 * held  # vLLM lets in what fits now, not what fits when all answers are whole
    assert many.running + many.waiting == many.concurrency == 256
    assert "requests-wait" in codes(report)
    alone = serving_of("qwen2.5-7b", concurrency=held, **asked)
    assert alone.waiting == 0
    assert many.tpot_seconds == pytest.approx(alone.tpot_seconds, rel=0.15)
    assert many.output_tokens_per_second == pytest.approx(alone.output_tokens_per_second, rel=0.15)
    assert many.ttft_seconds > 10 * alone.ttft_seconds
    limited = serving_of("qwen2.5-7b", concurrency=64, max_num_seqs=4, **asked)
    assert (limited.running, limited.waiting) == (4, 60)


def test_requests_wait_without_an_engine_too() -> None:
    asked: dict[str, Any] = {"gpu": "rtx-4090", "context_len": 4096, "engine": None}
    held = predicted("qwen2.5-7b", **asked).largest_batch_size
    assert held <= serving_of("qwen2.5-7b", concurrency=512, **asked).running < 1.3 * held
    assert serving_of("qwen2.5-7b", concurrency=10_000, **asked).running == held


def test_a_context_beyond_the_models_own_is_warned_of() -> None:
    assert "context-beyond-model" in codes(show("qwen2.5-7b", ask(gpu="h100-sxm", context_len=131073)))
    assert "context-beyond-model" not in codes(show("opt-6.7b"))  # the usual context, which nobody named
    assert "context-beyond-model" not in codes(show("qwen2.5-7b", ask(gpu="h100-sxm", context_len=131072)))
    assert "context-beyond-model" in codes(show("qwen2.5-7b", ask(context_len=131073)))


def test_offloading_counts_host_memory() -> None:
    found = predicted("mixtral-8x7b", offload="experts=0.5", engine=None)
    experts = 32 * 4 * 3 * 4096 * 14336 * 2
    assert found.host_memory_bytes == experts
    assert predicted("mixtral-8x7b", engine=None, tp=2).host_memory_bytes == 0
    report = show("deepseek-v3", ask(gpu="h100-sxm", dtype="bf16", offload="experts=1@xeon-8480plus"))
    assert "host-memory" in codes(report)
    assert "host-memory" not in codes(show("mixtral-8x7b", ask(gpu="h100-sxm", offload="experts=1@xeon-8480plus")))


# --- as engines spell it ------------------------------------------------------------------------------------------


def test_options_as_engines_name_them(quick_run: Run) -> None:
    ours = ("--tp", "2", "--gpu-memory-utilization", "0.8", "--dtype", "fp8", "--kv-cache-dtype", "fp8", "--ep", "2")
    theirs = (
        *("--tensor-parallel-size", "2", "--mem-fraction-static", "0.8", "--quantization", "fp8"),
        *("--kv-cache-dtype", "fp8_e4m3", "--enable-expert-parallel"),
    )
    for command in (("show",), ("compare", "qwen3-30b-a3b"), ("explain",)):
        call = (*command, "qwen3-30b-a3b", "--gpu", "h100-sxm", "--engine", "vllm", "--format", "csv")
        one, other = quick_run(*call, *ours), quick_run(*call, *theirs)
        assert (one.rc, other.rc) == (0, 0)
        assert one.stdout == other.stdout
    both = quick_run("show", "qwen3-8b", "--gpu", "h100-sxm", "--tp", "2", "--tensor-parallel-size", "2")
    assert both.rc == 2
    assert "both are given" in both.stderr


def test_options_of_the_engine(quick_run: Run) -> None:
    call = ("show", "qwen3-8b", "--gpu", "h100-sxm", "--engine", "vllm")
    shown = quick_run(*call, "--max-num-seqs", "8", "--enforce-eager", "--block-size", "32")
    assert shown.rc == 0
    for words in ("available KV cache memory", "maximum concurrency for 4,096 tokens", "blocks of 32"):
        assert words in shown.stdout
    for option in ("--max-num-seqs", "--block-size", "--kv-cache-memory-bytes"):
        refused = quick_run(*call, option, "0")
        assert (refused.rc, refused.stderr.count("\n")) == (2, 1)


def test_names_of_engines_in_python() -> None:
    ours = load("qwen3-8b").report(gpu="h100-sxm", engine="vllm", tp=2, device_memory_share=0.8)
    theirs = load("qwen3-8b").report(
        gpu="h100-sxm", engine="vllm", tensor_parallel_size=2, gpu_memory_utilization=0.8, kv_cache_dtype="auto"
    )
    assert ours.prediction == theirs.prediction
    assert compare(["qwen3-8b", "qwen3-4b"], gpu="h100-sxm", pipeline_parallel_size=2).models[0].prediction
    assert plain({"quantization": "fp8", "dtype": "bfloat16"}) == {"dtype": "fp8"}
    with pytest.raises(InputError, match="both are given"):
        plain({"quantization": "fp8", "dtype": "int4"})
