"""llama.cpp's buffers, Ollama's estimate, MLX's peak, and the advice: mechanism, logs, no advice that overshoots."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsecalc.core.errors import InputError
from sparsecalc.decide.desk_logs import desk_logs
from sparsecalc.decide.engine_words import plain
from sparsecalc.decide.llama import buffers_of_files
from sparsecalc.decide.question import ask
from sparsecalc.decide.show import model_report, show
from sparsecalc.documents.show import Advice, ShowReport
from sparsecalc.estimate.engine_memory.log_row import LogRow
from sparsecalc.estimate.llama_memory.figures import LlamaMemory, OllamaMemory
from sparsecalc.estimate.llama_memory.graph_allocator import Graph, peak_bytes
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import load_model
from sparsecalc.model.ledgers import Ledgers
from sparsecalc.read.stored.gguf import as_file
from tests.conftest import Run

MIB = 2**20
PRINTED = {"kv_buffer_bytes": 0.005 * MIB, "state_buffer_bytes": 0.005 * MIB}
"""Half of the last digit that the log prints."""
OFF_BY_MORE = ("V49C", "V51C", "V52C", "W25C", "W26C")
"""Rows of phi3 whose logits lie elsewhere among what the last layer leaves, and of a hybrid with Mamba layers."""


def memory_of(model: str, **asked: Any) -> LlamaMemory:
    found = model_report(model, ask(**{"dtype": "q4_k_m", **asked}))[0].llama_memory
    assert found is not None
    return found


def asked_of(model: str, **asked: Any) -> ShowReport:
    return show(model, ask(**{"dtype": "q4_k_m", "engine": "llama.cpp", **asked}))


def advice_of(model: str, **asked: Any) -> Advice:
    found = asked_of(model, **asked).advice
    assert found is not None
    return found


def estimate_of(model: str, **asked: Any) -> OllamaMemory:
    report = asked_of(model, engine="ollama", **asked)
    assert report.prediction is not None
    assert report.prediction.ollama_memory is not None
    return report.prediction.ollama_memory


# --- the allocator ------------------------------------------------------------------------------------------------


def test_a_node_that_may_overwrite_takes_its_sources_place() -> None:
    graph = Graph()
    first = graph.add(1024)
    graph.add(1024, first, in_place=True)
    assert peak_bytes(graph.nodes) == 1024
    graph.add(512, first)  # another reader: the first node is held beside the second
    assert peak_bytes(graph.nodes) == 1024 + 1024 + 512


def test_what_nothing_reads_any_more_is_free_and_the_best_fit_is_taken() -> None:
    graph = Graph()
    small, large = graph.add(256), graph.add(1024)
    kept = graph.add(128, small)
    graph.add(128, large)  # into the first gap, beside which 128 bytes stay free
    graph.add(256, kept)  # into the second one
    assert peak_bytes(graph.nodes) == 256 + 1024 + 128


def test_sizes_are_aligned() -> None:
    graph = Graph()
    graph.add(1)
    assert peak_bytes(graph.nodes) == 128


def test_inputs_of_a_pipeline_stay() -> None:
    graph = Graph()
    graph.add(1024, graph.add(1024, kept=True), in_place=True)
    assert peak_bytes(graph.nodes) == 2048


# --- logs ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def logs() -> list[LogRow]:
    return desk_logs()


def test_caches_are_exact_to_the_digits_that_logs_print(logs: list[LogRow]) -> None:
    rows = [row for row in logs if row.figure in PRINTED]
    assert len(rows) >= 19
    for row in rows:
        assert abs(row.predicted_as_run - row.measured) <= PRINTED[row.figure] + 1, row.setup


def test_compute_buffers_are_within_two_per_cent(logs: list[LogRow]) -> None:
    rows = [row for row in logs if row.figure == "compute_buffer_bytes"]
    assert len(rows) >= 70
    for row in rows:
        assert abs(row.error_as_run) <= (0.08 if row.id in OFF_BY_MORE else 0.02), row.setup


def test_the_hosts_buffers_are_exact(logs: list[LogRow]) -> None:
    rows = [row for row in logs if row.figure == "host_buffer_bytes"]
    assert len(rows) >= 70
    for row in rows:
        assert abs(row.error_as_run) <= 0.002, row.setup


def test_ollamas_estimate_is_that_of_its_logs(logs: list[LogRow]) -> None:
    """Figures in MiB to their digits; those in GiB have two digits only; layers within one."""
    for row in (row for row in logs if row.id.startswith("O")):
        within = 1 if row.figure == "layers_offloaded" else 0.06 * 1024 * MIB if row.measured >= 2**30 else 0.06 * MIB
        assert abs(row.predicted_as_run - row.measured) <= within, (row.setup, row.figure)


def test_mlx_peaks_are_within_a_few_per_cent(logs: list[LogRow]) -> None:
    rows = [row for row in logs if row.figure == "peak_bytes"]
    assert len(rows) == 6
    assert all(abs(row.error) <= 0.035 for row in rows)


# --- rules --------------------------------------------------------------------------------------------------------


def test_windows_are_cached_as_the_family_the_engine_and_the_options_have_it() -> None:
    found = memory_of("gemma-3-27b", context_len=32768)
    assert (found.kv_cells, found.window_cells) == (32768, 1536)
    whole = memory_of("gemma-3-27b", context_len=32768, swa_full=True)
    fork = memory_of("gemma-3-27b", context_len=32768, engine="ik_llama.cpp")
    assert whole.kv_buffer_bytes == fork.kv_buffer_bytes == 15872 * MIB
    assert memory_of("phi-3-mini").kv_buffer_bytes == 1536 * MIB, "phi3's window is not read"


def test_keys_and_values_have_types_of_their_own() -> None:
    both = memory_of("qwen3-8b", cache_type_k="q8_0", cache_type_v="q4_0").kv_buffer_bytes
    plain_cache = memory_of("qwen3-8b").kv_buffer_bytes
    assert both == plain_cache / 2 * (34 / 64 + 18 / 64)
    assert memory_of("deepseek-v3", cache_type_k="q8_0").kv_buffer_bytes == pytest.approx(61 * 4096 * 576 * 34 / 32)


def test_files_that_hold_keys_and_values_maps_in_one_tensor_cache_both_whole() -> None:
    """9,760 MiB at 2,048 tokens (ollama/ollama#8447)."""
    spec = load_model("deepseek-v3").spec
    names = ("blk.3.attn_kv_b.weight", "blk.3.attn_k_b.weight")
    found = []
    for name in names:
        stored = as_file(spec, "deepseek_v3", {"q4_k": [name]}, 2**30, "q4_k_m")
        variant = Ledgers(stored)
        report = buffers_of_files(variant, precision_for(stored), ask(context_len=2048))
        assert report is not None
        found.append(report.kv_buffer_bytes / MIB)
    assert found == pytest.approx([9760, 137.25])


def test_a_build_makes_masks_in_16_bits() -> None:
    long: dict[str, Any] = {"context_len": 131072, "model": "gpt-oss-20b"}
    old, new = (memory_of(**long, engine=f"llama.cpp@b{build}") for build in (9000, 9739))
    assert new.host_buffer_bytes < 0.6 * old.host_buffer_bytes
    assert new.compute_buffer_bytes <= old.compute_buffer_bytes


def test_a_tied_head_lies_on_the_device_too() -> None:
    found = memory_of("qwen2.5-3b")
    host, card = found.buffers
    report = asked_of("qwen2.5-3b")
    table = report.memory.weights_by_component["embedding"]
    assert host.model_buffer_bytes == table
    assert card.model_buffer_bytes == report.memory.weights_bytes


def test_layers_and_experts_move_to_the_host() -> None:
    asked = {"gpu": "rtx-4090", "host": "ddr5-6000x2:512g", "dtype": "q8_0"}
    whole = asked_of("qwen3-30b-a3b", **asked).llama_memory
    part = asked_of("qwen3-30b-a3b", **asked, n_cpu_moe=24).llama_memory
    layers = asked_of("qwen3-30b-a3b", **asked, n_gpu_layers=24).llama_memory
    assert whole
    assert part
    assert layers
    assert part.model_buffer_bytes == whole.model_buffer_bytes == layers.model_buffer_bytes
    assert part.buffers[1].model_buffer_bytes < whole.buffers[1].model_buffer_bytes
    assert part.buffers[0].kv_buffer_bytes == 0 < layers.buffers[0].kv_buffer_bytes
    assert (part.layers_offloaded, layers.layers_offloaded, layers.layers) == (49, 24, 49)


def test_weights_that_are_sent_lie_in_the_compute_buffer() -> None:
    asked = {"gpu": "rtx-4090", "host": "ddr5-6000x2:2000g", "dtype": "q4_0", "engine": "llama.cpp@0.5.0"}
    held = [asked_of("mixtral-8x7b", **asked, n_cpu_moe=count).llama_memory for count in (0, 8)]
    assert held[0]
    assert held[1]
    assert held[0].compute_buffer_bytes / MIB == pytest.approx(196.01, rel=1e-3)
    assert held[1].compute_buffer_bytes / MIB == pytest.approx(392.01, rel=1e-3)


def test_cards_that_take_turns_keep_copies_of_their_inputs() -> None:
    """Buffers that llama.cpp v0.5.0 reserved for the same on two devices."""
    asked = {"gpu": "2xrtx-3090", "dtype": "q8_0", "engine": "llama.cpp@0.5.0"}
    found = asked_of("llama-3.1-8b", **asked).llama_memory
    assert found
    assert [place.compute_buffer_bytes / MIB for place in found.buffers[1:]] == pytest.approx(
        [156.04, 338.55], rel=1e-3
    )


@settings(max_examples=25)
@given(context=st.integers(1, 60_000), more=st.integers(1, 10_000), tokens=st.sampled_from((128, 512, 2048)))
def test_more_context_never_takes_less(context: int, more: int, tokens: int) -> None:
    for model in ("gpt-oss-20b", "qwen3.5-27b"):
        held = [memory_of(model, context_len=each, ubatch_size=tokens) for each in (context, context + more)]
        for less, most in pairwise(held):
            assert less.kv_buffer_bytes <= most.kv_buffer_bytes
            assert less.model_buffer_bytes == most.model_buffer_bytes
            assert less.total_bytes <= most.total_bytes + 0.02 * most.compute_buffer_bytes


@pytest.mark.parametrize("model", ["qwen3-8b", "gpt-oss-20b", "deepseek-v2-lite", "qwen3-next-80b-a3b", "mamba2-2.7b"])
def test_the_parts_of_a_place_add_up(model: str) -> None:
    found = memory_of(model, batch_size=3)
    for place in found.buffers:
        parts = [size for name, size in vars(place).items() if name.endswith("_bytes") and name != "total_bytes"]
        assert place.total_bytes == sum(parts)
    assert found.total_bytes == sum(place.total_bytes for place in found.buffers)
    assert found.kv_buffer_bytes == found.kv_full_bytes + found.kv_window_bytes


# --- fit ----------------------------------------------------------------------------------------------------------


def test_fit_follows_from_the_buffers() -> None:
    prediction = asked_of("qwen3-8b", gpu="rtx-3060-12gb").prediction
    assert prediction is not None
    assert prediction.llama_memory is not None
    assert prediction.fits
    assert prediction.bytes_per_gpu == prediction.llama_memory.buffers[1].total_bytes
    for context, fits in ((prediction.largest_context_len, True), (prediction.largest_context_len + 256, False)):
        other = asked_of("qwen3-8b", gpu="rtx-3060-12gb", context_len=context).prediction
        assert other is not None
        assert other.fits == fits


def test_prompts_are_computed_in_micro_batches() -> None:
    small, large = (asked_of("qwen3-8b", gpu="rtx-4090", ubatch_size=size).llama_memory for size in (512, 2048))
    assert small
    assert large
    assert (small.ubatch_size, large.ubatch_size) == (512, 2048)
    assert large.compute_buffer_bytes > 3 * small.compute_buffer_bytes


def test_a_processor_alone_holds_everything() -> None:
    found = asked_of("qwen3-8b", gpu="ryzen-7950x").llama_memory
    assert found
    assert [place.place for place in found.buffers] == ["CPU"]
    assert found.layers_offloaded == 0


def test_memory_is_llamas_for_a_file_without_a_device() -> None:
    report = show("gpt-oss-20b", ask(dtype="q4_k", max_num_batched_tokens=512))
    assert report.llama_memory
    memory, found = report.memory, report.llama_memory
    assert memory.activation_bytes == found.compute_buffer_bytes > 390 * MIB
    assert (memory.kv_cache_bytes, memory.state_bytes) == (found.kv_buffer_bytes, found.state_buffer_bytes)
    assert memory.total_bytes == memory.weights_bytes + memory.kv_cache_bytes + memory.activation_bytes
    assert show("gpt-oss-20b").llama_memory is None


# --- advice -------------------------------------------------------------------------------------------------------

FOUND = (
    ("llama-3.1-70b", {"gpu": "rtx-3090", "context_len": 2048, "engine": "ollama"}, "gpu_layers", 43, 1),
    ("llama-3.1-70b", {"gpu": "rtx-3090", "context_len": 2048}, "gpu_layers", 43, 2),
    ("llama-3.1-70b", {"gpu": "arc-pro-b70", "context_len": 640, "host": "i9-14900k:128g"}, "gpu_layers", 61, 1),
    (
        "gpt-oss-120b",
        {
            "gpu": "rtx-5090",
            "context_len": 50000,
            "dtype": "q8_0,experts=mxfp4",
            "host": "i9-14900k:128g",
            "ubatch_size": 2048,
        },
        "cpu_moe_layers",
        22,
        2,
    ),
)
"""What people found by hand: ollama/ollama#5913, a report of -ngl 60 of 80 layers on 32 GB and one of -ncmoe 22."""


@pytest.mark.parametrize(("model", "asked", "figure", "by_hand", "within"), FOUND)
def test_advice_is_near_what_people_found(
    model: str, asked: dict[str, Any], figure: str, by_hand: int, within: int
) -> None:
    advice = advice_of(model, **asked)
    assert advice.fits
    assert abs(getattr(advice, figure) - by_hand) <= within


RAN: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("gpt-oss-120b", "rtx-3090", {"n_cpu_moe": 36, "context_len": 13000}),
    ("gpt-oss-120b", "rtx-5090", {"n_cpu_moe": 22, "context_len": 50000, "ubatch_size": 2048}),
    ("gpt-oss-120b", "arc-pro-b70", {"n_cpu_moe": 22, "context_len": 640}),
    ("llama-3.1-70b", "arc-pro-b70", {"n_gpu_layers": 60, "context_len": 640}),
    ("deepseek-v2-lite", "rtx-2080", {"n_cpu_moe": 16, "context_len": 512}),
)
"""Placements that reports of speed ran with."""


@pytest.mark.parametrize(("model", "gpu", "placed"), RAN)
def test_what_people_ran_fits(model: str, gpu: str, placed: dict[str, Any]) -> None:
    dtype = "q8_0,experts=mxfp4" if model.startswith("gpt-oss") else "q4_k_m"
    prediction = asked_of(model, gpu=gpu, dtype=dtype, host="i9-14900k:128g", **placed).prediction
    assert prediction is not None
    assert prediction.fits


@pytest.mark.parametrize(
    ("model", "gpu"),
    [("llama-3.1-70b", "rtx-3090"), ("qwen3-30b-a3b", "rtx-3060-12gb"), ("gpt-oss-120b", "rtx-5090")],
)
def test_advice_fits_and_one_more_layer_does_not(model: str, gpu: str) -> None:
    asked: dict[str, Any] = {"gpu": gpu, "host": "ddr5-6000x2:128g", "dtype": "q4_0"}
    advice = advice_of(model, **asked)
    placed = {"n_gpu_layers": advice.gpu_layers, "n_cpu_moe": advice.cpu_moe_layers}
    held = asked_of(model, **asked, **placed).prediction
    longest = asked_of(model, **{**asked, "context_len": advice.largest_context_len}, **placed).prediction
    assert held
    assert longest
    assert held.fits
    assert longest.fits
    assert held.free_bytes_per_gpu >= advice.margin_bytes
    if advice.cpu_moe_layers:
        placed["n_cpu_moe"] -= 1
    else:
        placed["n_gpu_layers"] += 1
    more = asked_of(model, **asked, **placed).prediction
    assert more
    assert more.free_bytes_per_gpu < advice.margin_bytes


def test_commands_can_be_typed() -> None:
    advice = advice_of("gpt-oss-20b", gpu="rtx-4090", dtype="mxfp4_moe", cache_type_k="q8_0", batch_size=2)
    command = "llama-server -m gpt-oss-20b-MXFP4_MOE.gguf -ngl 99 -c 8192 -np 2 -ctk q8_0 -ctv f16 -ub 512 -fa on"
    assert advice.command == command
    ollama = advice_of("qwen3-8b", gpu="rtx-4090", engine="ollama", context_len=8192)
    assert ollama.modelfile == "FROM ./qwen3-8b-Q4_K_M.gguf\nPARAMETER num_ctx 8192\nPARAMETER num_gpu 37"
    mlx = advice_of("qwen3-4b", gpu="m4-max", engine="mlx", dtype="mlx-4bit")
    assert mlx.command == "mlx_lm.server --model qwen3-4b"
    assert asked_of("qwen3-8b", gpu="rtx-4090", engine="vllm", dtype="bf16").advice is None


def test_what_no_placement_holds_is_said() -> None:
    advice = advice_of("deepseek-v3", gpu="rtx-3060-12gb", host="ddr5-6000x2:64g")
    assert not advice.fits
    assert (advice.command, advice.largest_context_len) == ("", 0)


def test_ollama_offloads_less_of_a_longer_context() -> None:
    short, long = (estimate_of("llama-3.1-70b", gpu="rtx-3090", context_len=each) for each in (2048, 32768))
    assert long.layers_offloaded < short.layers_offloaded
    assert long.required_full_bytes > short.required_full_bytes


# --- options ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"flash_attn": "maybe"}, "on, off or auto"),
        ({"ubatch_size": 0}, "ubatch-size is 0"),
        ({"parallel": -1}, "parallel is -1"),
        ({"cache_type_k": "q9"}, "unknown dtype 'q9'"),
        ({"cache_type_k": "q8_0", "kv_cache_dtype": "fp8"}, "beside -ctk or -ctv"),
        ({"cache_type_v": "q8_0", "flash_attn": "off"}, "needs flash attention"),
    ],
)
def test_options_that_make_no_sense_are_refused(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        memory_of("qwen3-8b", **asked)


def test_short_names_are_spellings() -> None:
    assert plain({"ub": 256, "ctk": "q8_0", "fa": "on"}) == {
        "ubatch_size": 256,
        "cache_type_k": "q8_0",
        "flash_attn": "on",
    }


def test_the_command_line_has_llamas_options(quick_run: Run) -> None:
    asked = ("-c", "8k", "-ub", "2048", "-ctk", "q8_0", "-ctv", "q8_0", "-fa", "on", "-np", "2", "--swa-full")
    found = quick_run("show", "gpt-oss-20b", "--dtype", "mxfp4_moe", *asked)
    assert found.rc == 0
    assert "KV buffer (8,192 cells, 8,192 in windows x 2 sequences)" in found.stdout
    assert "compute buffer (2,048 tokens, flash attention)" in found.stdout
    assert "1,616.00 MiB" in found.stdout
    twice = quick_run("show", "gpt-oss-20b", "-c", "8k", "--context", "4k")
    assert (twice.rc, twice.stderr.count("\n")) == (2, 1)
    with_advice = quick_run("show", "qwen3-8b", "--dtype", "q4_k", "--gpu", "rtx-3060-12gb", "--engine", "llama.cpp")
    assert "llama-server -m qwen3-8b-Q4_K_M.gguf -ngl 99 -c 4096 -ub 512 -fa on" in with_advice.stdout
