"""Profile and bench: the whole path on tiny real models of many families, exact forced routing, input that is refused.

No test judges a time.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sparsecalc.cli.main import build
from sparsecalc.core.errors import InputError, SparsecalcError
from sparsecalc.core.routing import Routing
from sparsecalc.core.workload import Workload
from sparsecalc.decide.measured_run import MeasuredRun, ProfileQuestion, ask_bench, ask_profile
from sparsecalc.device.assemble import device_model
from sparsecalc.device.find import load_accelerator
from sparsecalc.documents.profile import Measurement
from sparsecalc.estimate.costs import params
from sparsecalc.estimate.step import step_time
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import LoadedModel, load_model
from sparsecalc.measure.architecture.filled_cache import empty_cache, filled_cache
from sparsecalc.measure.architecture.model_inputs import cache_argument, model_inputs
from sparsecalc.measure.machine.conditions import doubts
from sparsecalc.measure.machine.device import find_device, is_out_of_memory
from sparsecalc.measure.machine.samples import Samples, quantile
from sparsecalc.measure.machine.stopwatch import FEWEST, take_samples
from sparsecalc.measure.timing import profile as profiling
from sparsecalc.measure.timing import sampled_steps
from sparsecalc.measure.timing.forced_routing import ForcedRouting, drawn_choice
from sparsecalc.measure.timing.generation import bench
from sparsecalc.measure.timing.layer_kinds import REST, StepPart, layer_kinds
from sparsecalc.measure.timing.layer_slice import MemoryNeededError, build_slice
from sparsecalc.measure.timing.predicted_step import PredictedStep
from sparsecalc.measure.timing.prepared_run import prepare
from sparsecalc.measure.timing.profile import profile
from sparsecalc.read.config import read_config

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_probe")]

CPU = torch.device("cpu")
SMALL = Path(__file__).parent / "small_configs"
FAMILIES = ["llama", "mixtral", "deepseek_v3", "gpt_oss", "gemma3_text", "gemma3n_text", "qwen3_next", "mamba2"]
FORCED = ["mixtral", "qwen3_moe", "olmoe", "qwen2_moe", "deepseek_v2", "deepseek_v3", "gpt_oss", "glm4_moe", "dbrx"]
LIMIT = 2**30


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(family: str) -> LoadedModel:
    """The first small config of a family."""
    found = json.loads((SMALL / f"{family}.json").read_text())
    config = found[0] if isinstance(found, list) else found if "model_type" in found else next(iter(found.values()))
    return LoadedModel(spec=read_config(config, model_id=family), config=config)


def run(**changes: Any) -> MeasuredRun:
    return MeasuredRun(
        **{"device": "cpu", "layers": 1, "time_budget_seconds": 4.0, "memory_limit_bytes": LIMIT} | changes
    )


def asked(**changes: Any) -> ProfileQuestion:
    """Two sequences of 12 tokens and one layer of each kind, unless changed."""
    of_run = {name: changes.pop(name) for name in list(changes) if name in MeasuredRun.__annotations__}
    return ask_profile(**{"batch_sizes": (2,), "context_lens": (12,)} | changes, run=run(**of_run))


@pytest.mark.parametrize("family", FAMILIES)
def test_whole_path(family: str) -> None:
    report = profile(small(family), asked())
    assert report.environment["torch"] == torch.__version__
    model = next(row for row in report.measurements if row.component == "model")
    assert model.layers == small(family).spec.num_hidden_layers
    assert {row.phase for row in report.measurements} == {"prefill", "decode"}
    for row in report.measurements:
        assert len(row.samples_seconds) >= FEWEST
        assert row.p10_seconds <= row.median_seconds <= row.p90_seconds
        assert row.median_seconds > 0 or row.component == "rest"
        assert row.predicted_seconds is not None, row.component
        assert 0 < row.predicted_low < row.predicted_seconds < row.predicted_high
    for label, layers in report.layers_measured.items():
        assert 1 <= layers["measured"] <= layers["count"]
        assert any(row.component == "layer" and row.kind == label for row in report.measurements)


@pytest.mark.parametrize(
    "family", ["afmoe", "bloom", "deepseek_v4", "falcon_h1", "jamba", "kimi_linear", "rwkv", "zamba2"]
)
def test_layers_run_with_and_without_a_cache(family: str) -> None:
    loaded = small(family)
    found = build_slice(loaded.config, loaded.spec, CPU, torch.bfloat16, LIMIT, 1)
    with torch.inference_mode():
        assert found.model(**model_inputs(found.model, 2, 12, CPU)).logits.isfinite().all()
        cache, reset = filled_cache(found.model, 2, 20, CPU)
        if cache is not None:
            given = model_inputs(found.model, 2, 1, CPU, cache)
            for _ in range(3):
                reset()
                assert found.model(**given).logits.isfinite().all()


@pytest.mark.parametrize(
    ("family", "codes"),
    [
        ("llama", set()),
        ("recurrent_gemma", {"no-fused-scan"}),
        ("mamba2", {"no-fused-scan"}),
        ("qwen3_next", {"no-fused-scan"}),
        ("deepseek_v32", {"expanded-latents"}),
    ],
)
def test_mixers_that_engines_run_otherwise_are_told(family: str, codes: set[str]) -> None:
    told = {warn.code for warn in prepare(small(family), run()).warnings}
    assert told & {"no-fused-scan", "expanded-latents"} == codes


def test_predictions_add_up_to_the_step() -> None:
    spec = load_model("deepseek-v3").spec
    device = device_model(load_accelerator("h100-sxm"))
    work = Workload.decode(512, 8, latent_attention="expanded")
    precision = precision_for(spec, "bf16")
    kinds = list(layer_kinds(spec, {group.positions[0] for group in spec.layer_groups}))
    predicted = PredictedStep(spec, kinds, work, precision, device)
    whole = predicted.seconds({REST: 1.0, **{StepPart(kind): float(kind.count) for kind in kinds}})
    step = step_time(spec, work, precision, device)
    assert whole == pytest.approx((step.seconds, step.seconds_low, step.seconds_high))

    def seconds(part: StepPart) -> float:
        return predicted.seconds({part: 1.0}).seconds

    assert seconds(REST) + sum(kind.count * seconds(StepPart(kind)) for kind in kinds) == pytest.approx(step.seconds)
    assert predicted.seconds({StepPart(kinds[0], "routed_experts"): 1.0}) is None, "the first layers are dense"


def test_weights_are_random_and_of_the_ledgers_size() -> None:
    loaded = small("qwen3_moe")
    found = build_slice(loaded.config, loaded.spec, CPU, torch.float32, LIMIT, loaded.spec.num_hidden_layers)
    tensors = list(found.model.parameters())
    assert sum(tensor.numel() for tensor in tensors) == params(loaded.spec).total
    assert found.weight_bytes == 4 * params(loaded.spec).total
    assert all((tensor != 0).all() for tensor in tensors)
    assert all(tensor.std() > 0 for tensor in tensors)


def test_rotary_frequencies_are_those_of_transformers() -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    loaded = small("llama")
    found = build_slice(loaded.config, loaded.spec, CPU, torch.float32, LIMIT, 1)
    real = AutoModelForCausalLM.from_config(AutoConfig.for_model(**loaded.config))
    ours, theirs = dict(found.model.named_buffers()), dict(real.named_buffers())
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_filled_cache_is_what_a_prompt_leaves() -> None:
    """The same keys and values as a real prompt's give the same logits, at the right position."""
    loaded = small("gemma2")
    found = build_slice(loaded.config, loaded.spec, CPU, torch.float32, LIMIT, 1)
    with torch.inference_mode():
        prompt = model_inputs(found.model, 2, 20, CPU)
        real = found.model(**prompt).past_key_values
        cache, reset = filled_cache(found.model, 2, 20, CPU)
        for ours, theirs in zip(cache.layers, real.layers, strict=True):
            if theirs.is_initialized:
                ours.keys[..., :-1, :] = theirs.keys
                ours.values[..., :-1, :] = theirs.values
        given = model_inputs(found.model, 2, 1, CPU, cache)
        first = found.model(**given).logits
        reset()
        again = found.model(**given).logits
        expected = found.model(**{**given, "past_key_values": real}).logits
    assert torch.equal(first, again)
    assert torch.allclose(first, expected, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gemma2", "qwen3_next", "falcon_h1", "mamba2", "glm_moe_dsa"])
def test_an_emptied_cache_is_like_a_new_one(family: str) -> None:
    loaded = small(family)
    found = build_slice(loaded.config, loaded.spec, CPU, torch.float32, LIMIT, 1)
    with torch.inference_mode():
        given = model_inputs(found.model, 2, 12, CPU)
        expected = found.model(**given).logits
        cache, reset = empty_cache(found.model, 2, CPU)
        for _ in range(2):
            reset()
            assert torch.allclose(found.model(**given | cache_argument(found.model, cache)).logits, expected)


@pytest.mark.parametrize("family", FORCED)
def test_forced_routing_reaches_the_experts_that_were_drawn(family: str) -> None:
    """Rows that each expert multiplies, seen by the experts' own loop, are those of the draw."""
    loaded = small(family)
    found = build_slice(loaded.config, loaded.spec, CPU, torch.float32, LIMIT, 1)
    forced = ForcedRouting(found.model, Routing(kind="zipf", exponent=1.5), CPU)
    forced.prepare(6)
    seen: list[torch.Tensor] = []
    for place in forced.experts:
        place.module.register_forward_pre_hook(lambda module, args: seen.append(args[1].clone()))
    with torch.inference_mode():
        for _ in range(3):
            forced.advance()
            seen.clear()
            found.model(**model_inputs(found.model, 2, 3, CPU))
            wanted = [place.choices[6] for place in forced.experts]
            assert [used.tolist() for used in seen] == [choice.tolist() for choice in wanted]
            distinct = sum(used.unique().numel() for used in seen) / len(seen)
            assert forced.distinct(6) == distinct
    assert forced.forced


def test_only_the_drawn_experts_compute() -> None:
    """All tokens go to the first two experts: weights of the others that are not numbers change nothing."""
    loaded = small("mixtral")
    found = build_slice(loaded.config, loaded.spec, CPU, torch.float32, LIMIT, 1, "eager")
    forced = ForcedRouting(found.model, Routing(kind="measured", shares=((1.0, 1.0, 0.0, 0.0, 0.0),)), CPU)
    forced.prepare(8)
    assert forced.distinct(8) == forced.experts[0].num_experts_per_tok == 2
    weights = forced.experts[0].module.gate_up_proj
    with torch.inference_mode():
        weights[2:] = math.nan
        assert found.model(**model_inputs(found.model, 2, 4, CPU)).logits.isfinite().all()
        weights[1] = math.nan
        assert not found.model(**model_inputs(found.model, 2, 4, CPU)).logits.isfinite().all()


def test_draws_follow_the_inclusion_probabilities() -> None:
    wanted = Routing(kind="zipf", exponent=1.0)
    probabilities = wanted.inclusion(16, 4)
    found = drawn_choice(probabilities, 4, 8000, np.random.default_rng(1))
    assert found.shape == (8000, 4)
    assert all(len(set(row)) == 4 for row in found[:500].tolist())
    share = found.flatten().bincount(minlength=16) / 8000
    assert share.tolist() == pytest.approx(probabilities, abs=0.02)


def test_distinct_experts_are_near_the_expected() -> None:
    random = np.random.default_rng(2)
    for wanted in (Routing(), Routing(kind="zipf", exponent=1.0)):
        draws = [drawn_choice(wanted.inclusion(64, 8), 8, 16, random).unique().numel() for _ in range(200)]
        assert sum(draws) / 200 == pytest.approx(wanted.expected_distinct(64, 8, 16), rel=0.02)


def test_a_large_batch_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    real = sampled_steps.sample_step

    def short_of_memory(prepared: Any, work: Workload, budget: float) -> Any:
        if work.batch_size > 1:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 bytes")
        return real(prepared, work, budget)

    monkeypatch.setattr(sampled_steps, "sample_step", short_of_memory)
    report = profile(small("llama"), asked(batch_sizes=(4,), phases=("prefill",)))
    assert {row.batch_size for row in report.measurements} == {1}
    assert any(warn.code == "smaller-batch" for warn in report.warnings)


def test_interrupted_keeps_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    real = sampled_steps.sample_step

    def impatient(prepared: Any, work: Workload, budget: float) -> Any:
        if work.phase == "prefill":
            raise KeyboardInterrupt
        return real(prepared, work, budget)

    monkeypatch.setattr(sampled_steps, "sample_step", impatient)
    report = profile(small("llama"), asked())
    assert report.interrupted
    assert {row.phase for row in report.measurements} == {"decode"}


def test_too_little_memory_is_told() -> None:
    with pytest.raises(MemoryNeededError, match="may be used"):
        prepare(small("llama"), run(memory_limit_bytes=1000))
    assert is_out_of_memory(RuntimeError("CUDA out of memory."))
    assert not is_out_of_memory(RuntimeError("shapes differ"))


def test_bench_generates() -> None:
    report = bench(small("mixtral"), ask_bench(prompt_len=6, output_len=4, run=run(layers=None)))
    assert report.layers == report.num_hidden_layers
    prefill, decode = report.measurements
    assert (prefill.phase, prefill.new_tokens, len(prefill.samples_seconds)) == ("prefill", 6, FEWEST)
    assert (decode.phase, decode.new_tokens, len(decode.samples_seconds)) == ("decode", 1, 3 * FEWEST)
    assert decode.tokens_per_second


def test_bench_with_fewer_layers_says_so() -> None:
    report = bench(small("llama"), ask_bench(prompt_len=6, output_len=2, run=run()))
    assert report.layers == 1
    assert {row.component for row in report.measurements} == {"step"}
    assert any(warn.code == "fewer-layers" for warn in report.warnings)


def test_samples() -> None:
    found = Samples([1.0, 1.0, 1.1, 1.2, 1.0, 9.0])
    assert found.median == pytest.approx(1.05)
    assert found.outliers == [9.0]
    assert quantile([1.0, 2.0], 0.25) == pytest.approx(1.25)
    calls: list[str] = []
    taken = take_samples(
        lambda: calls.append("run"), CPU, before=lambda: calls.append("before"), min_samples=6, warm_up=1, cold=True
    )
    assert len(taken.seconds) >= FEWEST
    assert calls[:4] == ["before", "run", "before", "run"]


def test_conditions_that_weaken_a_measurement_are_told() -> None:
    calm = {"device": "cuda", "load_average": 9.0, "processors": 1}
    assert doubts(calm, 0.01) == []
    codes = [warn.code for warn in doubts(calm | {"other_processes": 2, "throttling": ["power cap"]}, 0.5)]
    assert codes == ["noisy-machine", "shared-gpu", "throttling"]
    assert [warn.code for warn in doubts(calm | {"device": "cpu"})] == ["busy-machine"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"device": "cudda"}, "unknown device"),
        ({"device": "cpu:7"}, "sees no device"),
        ({"phases": ("prefil",)}, "Did you mean 'prefill'"),
        ({"batch_sizes": (0,)}, "batch size is 0"),
        ({"context_lens": ()}, "no context is given"),
        ({"layers": 0}, "number of layers is 0"),
        ({"dtype": "fp4"}, "unknown dtype"),
        ({"experts_implementation": "grouped"}, "unknown experts implementation"),
        ({"routing": "zipff:1"}, "unknown routing"),
        ({"time_budget_seconds": 0.0}, "time budget"),
    ],
)
def test_bad_questions_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text) as error:
        profile(small("llama"), asked(**changes))
    assert "\n" not in str(error.value)


def test_encoder_decoders_are_refused() -> None:
    with pytest.raises(SparsecalcError, match="encoder-decoder"):
        profile(small("switch_transformers"), asked())


def test_devices_by_name() -> None:
    assert find_device("CPU").type == "cpu"
    with pytest.raises(InputError, match="names no device"):
        find_device("cpu:x")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    real, reports = profiling.profile, []
    monkeypatch.setattr(profiling, "profile", lambda *args: reports.append(real(*args)) or reports[-1])
    config = tmp_path / "config.json"
    config.write_text(json.dumps(small("qwen3_moe").config))
    options = ["--device", "cpu", "--layers", "1", "--batch-size", "1,2", "--context", "8", "--memory-limit", "1"]
    build([])(["profile", str(config), *options, "--phase", "decode", "--format", "json"], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert found["command"] == "profile"
    assert {row["batch_size"] for row in found["measurements"]} == {1, 2}
    assert set(found["measurements"][0]) == set(Measurement.__annotations__)
    experts = load_model(str(config)).spec.layer_groups[0].layer.feed_forwards[0]
    layer = next(row for row in found["measurements"] if row["component"] == "layer")
    assert layer["distinct_experts"] == experts.num_experts_per_tok
    assert layer["expected_distinct_experts"] == pytest.approx(experts.num_experts_per_tok)
    monkeypatch.setattr(profiling, "profile", lambda *args: reports[0])
    for name in ("table", "markdown", "csv"):
        build([])(["profile", str(config), *options, "--phase", "decode", "--format", name], standalone_mode=False)
        assert "routed_experts" in capsys.readouterr().out
    build([])(
        ["bench", str(config), "--device", "cpu", "--prompt-len", "4", "--output-len", "2"], standalone_mode=False
    )
    assert "tokens/s" in capsys.readouterr().out
    for wrong in (["--batch-size", "1,x"], ["--layers", "many"], ["--memory-limit", "-1"]):
        with pytest.raises(InputError):
            build([])(["profile", str(config), *wrong], standalone_mode=False)
