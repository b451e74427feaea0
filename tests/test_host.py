"""What lies in host memory, as llama.cpp places it, and what the host is."""

import json
import re
from collections.abc import Iterator

import pytest
from conftest import Run
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsecalc.core.errors import InputError
from sparsecalc.core.ops import Op, ledger
from sparsecalc.core.workload import Workload
from sparsecalc.decide.asked_host import HostAsked, host_asked
from sparsecalc.decide.host import host_words
from sparsecalc.decide.model_name import load_variant
from sparsecalc.estimate.fit import DeviceMemory
from sparsecalc.estimate.load import Load
from sparsecalc.estimate.offload import host_bytes, resident_cache_share, resident_share
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.places import LlamaLayers, places
from sparsecalc.model.spec import ModelSpec

MODELS = ["llama-3.1-8b", "qwen3-30b-a3b", "gpt-oss-20b", "deepseek-v2-lite", "gemma-3-4b", "qwen3-next-80b-a3b"]
LOAD = Load(batch_size=1, context_len=4096, max_num_batched_tokens=512)


def layers_of(spec: ModelSpec) -> Iterator[tuple[int, list[Op]]]:
    """Position and ops of every layer, one by one, as the checkpoint stores it."""
    for group in spec.layer_groups:
        for position in group.positions:
            yield position, list(ledger(group.layer.ops(Workload())).stored(group.formats))


def plan_of(name: str, asked: LlamaLayers, dtype: str = "q4_k") -> tuple[int, Placement]:
    """Bytes in host memory and the placement of a built-in model."""
    variant = load_variant(name, dtype)
    plan = Placement(pp=asked.cards, places=places(variant.loaded.spec, asked))
    return host_bytes(variant.model, variant.precision, plan), plan


# --- which layers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("layers", [0, 1, 2, 7, 15])
def test_the_last_layers_lie_on_the_device(name: str, layers: int) -> None:
    """-ngl N: the output, and the N - 1 last layers; the first ones, and the input embedding, stay with the host."""
    variant = load_variant(name, "q4_k_m")
    spec, weight_bytes = variant.loaded.spec, variant.precision.weight_bytes
    first = spec.num_hidden_layers + 1 - max(layers, 0)
    there = sum(weight_bytes(op) for at, ops in layers_of(spec) if at < first for op in ops)
    outside = [op for op in variant.model.ops(Workload()) if not op.group]
    inputs = [op for op in outside if op.kind == "lookup"]
    there += sum(weight_bytes(op) for op in (outside if layers == 0 else inputs))
    found, plan = plan_of(name, LlamaLayers(gpu_layers=layers), "q4_k_m")
    assert found == pytest.approx(there, rel=1e-9)
    assert plan.places
    assert (plan.places.gpu_layers, plan.places.layers) == (layers, spec.num_hidden_layers + 1)


@pytest.mark.parametrize("name", MODELS)
def test_more_layers_than_there_are_mean_all(name: str) -> None:
    spec = load_variant(name).loaded.spec
    every = places(spec, LlamaLayers(gpu_layers=spec.num_hidden_layers + 1))
    assert every == places(spec, LlamaLayers(gpu_layers=99)) == places(spec, LlamaLayers())
    assert every.visits == 0
    for op in spec.ops(Workload()):
        assert every.of(op)[1] == (0 if op.kind == "lookup" and not (spec.tie_word_embeddings and not op.tied) else 1)


def test_a_tied_table_lies_on_both_sides() -> None:
    """Gemma's table is the input, in host memory, and the output, of which llama.cpp loads a copy on the card."""
    found, plan = plan_of("gemma-3-4b", LlamaLayers())
    variant = load_variant("gemma-3-4b", "q4_k")
    table = next(op for op in variant.model.ops(Workload()) if op.kind == "lookup")
    assert found == variant.precision.weight_bytes(table)
    assert resident_share(plan, table) == 1
    held = DeviceMemory(variant.model, variant.precision, plan).at(LOAD)
    assert held.weights == variant.model.ops(Workload()).sum(variant.precision.weight_bytes)


def test_a_cache_lies_where_its_layer_does() -> None:
    variant = load_variant("llama-3.1-8b", "q4_k")
    whole = DeviceMemory(variant.model, variant.precision, Placement()).at(LOAD).caches
    _, plan = plan_of("llama-3.1-8b", LlamaLayers(gpu_layers=25))  # 24 of 32 layers and the output
    memory = DeviceMemory(variant.model, variant.precision, plan)
    assert memory.at(LOAD).caches == whole * 24 // 32
    assert memory.on_host(LOAD) == host_bytes(variant.model, variant.precision, plan) + whole * 8 // 32
    scores = next(op for op in variant.model.ops(Workload()) if op.kind == "attention")
    assert resident_cache_share(plan, scores) == pytest.approx(0.75)


# --- experts and single tensors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layers", "mixed"), [("qwen3-30b-a3b", 30, 30), ("deepseek-v2-lite", 17, 16), ("gpt-oss-20b", 99, 24)]
)
def test_experts_of_the_first_layers(name: str, layers: int, mixed: int) -> None:
    """-ncmoe counts all layers from the first, dense ones among them; shared experts stay on the device."""
    variant = load_variant(name, "q4_k_m")
    one_by_one = [
        variant.precision.weight_bytes(op)
        for at, ops in layers_of(variant.loaded.spec)
        if at < layers
        for op in ops
        if op.kind == "experts"
    ]
    without, _ = plan_of(name, LlamaLayers(), "q4_k_m")
    found, plan = plan_of(name, LlamaLayers(cpu_moe_layers=layers), "q4_k_m")
    assert found - without == pytest.approx(sum(one_by_one), rel=1e-9)
    assert plan.places
    assert plan.places.visits == mixed


def test_a_pattern_moves_the_tensors_that_it_is_found_in() -> None:
    """One of the three matrices of each expert; the first override that matches holds, before -ncmoe."""
    up = host_asked({"override_tensor": [r"ffn_up_exps=CPU"]}).placed(1)
    whole, _ = plan_of("qwen3-30b-a3b", LlamaLayers(cpu_moe_layers=99), "q8_0")
    none, _ = plan_of("qwen3-30b-a3b", LlamaLayers(), "q8_0")
    part, plan = plan_of("qwen3-30b-a3b", up, "q8_0")
    assert part - none == pytest.approx((whole - none) / 3)
    assert plan.places
    assert plan.places.unmatched == ()
    kept = host_asked({"override_tensor": [r"blk\.[0-3]\.ffn_.*=CUDA0,exps=CPU"]}).placed(1)
    found, _ = plan_of("qwen3-30b-a3b", kept, "q8_0")
    assert found - none == pytest.approx((whole - none) * 44 / 48)


def test_a_pattern_that_matches_nothing_is_said() -> None:
    asked = host_asked({"override_tensor": ["ffn_up_exps=CPU", "ffn_upp=CPU"]}).placed(1)
    assert places(load_variant("qwen3-30b-a3b").loaded.spec, asked).unmatched == ("ffn_upp=CPU",)


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+$",
        r"(.|.)*x",
        r".*.*.*.*.*.*x",
        r"((ab*)c)+d",
        r"(x+x+)+y",
        "(" * 300,
        "[",
        "a" * 401,
        ".?" * 30 + "x",
        "(a|.)" * 20 + "x",
    ],
)
def test_a_pattern_that_is_none_or_may_run_away_is_refused(pattern: str) -> None:
    with pytest.raises(InputError):
        host_asked({"override_tensor": [f"{pattern}=CPU"]})


@pytest.mark.parametrize(
    "pattern",
    [r"\.ffn_(up|down|gate)_exps\.", r"blk\.(1[0-9]|2[0-9])\.ffn_.*_exps\.weight", r"[0-9]+\.attn_.*", "exps"],
)
def test_patterns_that_people_type_are_read(pattern: str) -> None:
    (override,) = host_asked({"override_tensor": f"{pattern}=CPU"}).overrides
    assert override.pattern == re.compile(pattern)
    assert override.place == 0


# --- several cards ------------------------------------------------------------------------------------------------


def test_layers_are_split_by_proportion() -> None:
    """33 places, the output the last one: 3,1 puts those below three quarters, 25 of them, on the first card."""
    variant = load_variant("llama-3.1-8b", "q4_k")
    _, plan = plan_of("llama-3.1-8b", LlamaLayers(cards=2, tensor_split=(3.0, 1.0)))
    score = next(op for op in variant.model.ops(Workload()) if op.kind == "attention")
    assert [resident_cache_share(plan, score, card) * 32 for card in (0, 1)] == pytest.approx([25, 7])
    head = next(op for op in variant.model.ops(Workload()) if op.component == "lm_head")
    assert [resident_share(plan, head, card) for card in (0, 1)] == [0, 1]
    memory = DeviceMemory(variant.model, variant.precision, plan)
    whole = DeviceMemory(variant.model, variant.precision, Placement()).at(LOAD)
    assert memory.at(LOAD).caches == whole.caches * 25 // 32
    assert (plan.micro_batches, plan.num_gpus, plan.cards) == (1, 2, 2)


@given(
    name=st.sampled_from(MODELS),
    layers=st.integers(0, 60),
    more=st.integers(0, 60),
    experts=st.integers(0, 60),
    cards=st.integers(1, 3),
)
@settings(max_examples=40)
def test_nothing_is_lost_and_more_layers_leave_less_to_the_host(
    name: str, layers: int, more: int, experts: int, cards: int
) -> None:
    variant = load_variant(name, "q4_k")
    rows, weight_bytes = variant.model.ops(Workload()), variant.precision.weight_bytes
    asked = LlamaLayers(gpu_layers=layers, cpu_moe_layers=experts, cards=cards)
    found, plan = plan_of(name, asked)
    assert plan.places
    shares = [[resident_share(plan, op, card) for card in range(cards)] for op in rows]
    cards_hold = sum(weight_bytes(op) * op.layers * sum(share) for op, share in zip(rows, shares, strict=True))
    twice = weight_bytes(rows[0]) * (variant.loaded.spec.tie_word_embeddings and layers > 0)
    assert found + cards_hold == pytest.approx(rows.sum(weight_bytes) + twice, rel=1e-9)
    assert plan_of(name, asked.but(gpu_layers=layers + more))[0] <= found + 1
    assert plan_of(name, asked.but(cpu_moe_layers=experts + more))[0] >= found - 1


# --- as it is typed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({"n_gpu_layers": "-7"}, "--n-gpu-layers is '-7'"),
        ({"n_gpu_layers": "many"}, "--n-gpu-layers is 'many'"),
        ({"n_cpu_moe": -1}, "--n-cpu-moe is -1"),
        ({"split_mode": "column"}, "--split-mode is 'column'"),
        ({"tensor_split": "3,x"}, "--tensor-split is '3,x'"),
        ({"tensor_split": "0,0"}, "--tensor-split is '0,0'"),
        ({"tensor_split": "nan,1"}, "--tensor-split is 'nan,1'"),
        ({"threads": 0}, "--threads is 0"),
        ({"override_tensor": ["exps"]}, "-ot is 'exps'"),
        ({"override_tensor": ["exps=GPU7"]}, "-ot is 'exps=GPU7'"),
        ({"override_tensor": ["=CPU"]}, "-ot is '=CPU'"),
    ],
)
def test_what_makes_no_sense_is_refused(told: dict[str, object], error: str) -> None:
    with pytest.raises(InputError, match=re.escape(error)):
        host_asked(dict(told))


def test_what_is_not_said_is_nothing() -> None:
    nothing = host_asked({"n_gpu_layers": None, "cpu_moe": False, "override_tensor": []})
    assert nothing == HostAsked()
    assert not nothing.places_layers
    assert (
        host_asked({"n_gpu_layers": "-1"}).placed(1) == host_asked({"n_gpu_layers": "all"}).placed(1) == LlamaLayers()
    )


@pytest.mark.parametrize(
    ("text", "rate", "gib"),
    [
        ("ddr5-6000x2", 96e9, None),
        ("DDR4-3200x8:256G", 204.8e9, 256),
        ("lpddr5x-8533x4:64g", 273.056e9, 64),
        ("i9-14900k,ddr5-6000x2:64g,pcie4x16", 96e9, 64),
        ("ryzen-7950x", None, None),
        ("pcie3x8", None, None),
        ("ryzen-7950x,128g", None, 128),
    ],
)
def test_a_host_is_described(text: str, rate: float | None, gib: int | None) -> None:
    words = host_words(text)
    assert words.memory_bytes_per_second == rate
    assert words.capacity_bytes == (gib and gib * 2**30)


@pytest.mark.parametrize(
    "text", ["", "ddr5", "ddr5-6000", "ddr5-0000x2", "ddr5-6000x2,ddr4-3200x2", "pcie9x16", "a,,b"]
)
def test_a_host_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--host is"):
        host_words(text)


def shown(run: Run, *options: str) -> dict[str, object]:
    found = run("show", "qwen3-30b-a3b", "--dtype", "q4_k", "--gpu", "rtx-4090", "--json", *options)
    assert found.rc == 0, found.stderr
    prediction: dict[str, object] = json.loads(found.stdout)["prediction"]
    return prediction


def test_options_are_spelled_as_llama_cpp_does(run: Run) -> None:
    engine = ("--engine", "llama.cpp")
    ngl = [shown(run, *engine, name, "30")["host_memory_bytes"] for name in ("-ngl", "--gpu-layers", "--n-gpu-layers")]
    assert ngl[0] == ngl[1] == ngl[2]
    every = shown(run, *engine, "-cmoe")
    for other in (("-ncmoe", "48"), ("-ot", "exps=CPU"), ("--offload", "experts=1@ryzen-7950x")):
        assert shown(run, *engine, *other)["host_memory_bytes"] == every["host_memory_bytes"]


@pytest.mark.parametrize(
    "options",
    [
        ("--engine", "vllm", "-ngl", "3"),
        ("-ngl", "3", "--offload", "experts=0.5"),
        ("-ot", "exps=CUDA3"),
        ("-ts", "1,1,1", "--num-gpus", "2"),
        ("-ngl", "3", "--dp", "2"),
        ("-ngl", "3", "--tp", "2", "--pp", "2"),
        ("-ngl", "3", "--tp", "2", "--num-gpus", "3"),
        ("--host", "h100-sxm", "-cmoe"),
        ("--host", "nonsense", "-cmoe"),
        ("-ngl", "3", "--num-gpus", "99"),
    ],
)
def test_the_command_line_refuses_in_one_line(run: Run, options: tuple[str, ...]) -> None:
    found = run("show", "qwen3-30b-a3b", "--gpu", "rtx-4090", *options)
    assert (found.rc, found.stdout, len(found.stderr.splitlines())) == (2, "", 1), found
