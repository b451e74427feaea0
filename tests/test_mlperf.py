"""MLPerf results beside the time model: benchmarks, the saturated step, layouts."""

from statistics import median

import numpy as np
import pytest

from sparsecalc.core.workload import Workload
from sparsecalc.data_files import read_data
from sparsecalc.decide.mlperf import best_layout, layouts, mlperf_rows, offline_checks, reach
from sparsecalc.decide.mlperf_server import best_server, lognormal_sigma, traffic_of
from sparsecalc.decide.published import shipped_device
from sparsecalc.decide.published_traces import trace_checks, trace_runs
from sparsecalc.device.find import load_accelerator
from sparsecalc.estimate.deployment import Deployment
from sparsecalc.estimate.load import Requests
from sparsecalc.estimate.replay.policy import Limits, policy_of
from sparsecalc.estimate.replay.served import Scene, Served, costs_of
from sparsecalc.estimate.replay.traffic import Traffic
from sparsecalc.estimate.saturated import mean_step, output_tokens_per_second, plausible_placements
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import load_model
from sparsecalc.model.ledgers import Ledgers

BENCHMARKS = read_data("mlperf_benchmarks.json")["benchmarks"]


def deployment(model: str = "llama-3.1-8b", gpu: str = "h100-sxm") -> Deployment:
    spec = load_model(model).spec
    return Deployment(Ledgers(spec), precision_for(spec), load_accelerator(gpu), shipped_device(gpu, "vllm"))


def test_limits_are_those_of_the_rules() -> None:
    """inference_rules.adoc of mlcommons/inference_policies, in milliseconds."""
    published = {
        "llama2-70b": {"server": (2000, 200), "interactive": (450, 40)},
        "mixtral-8x7b": {"server": (2000, 200)},
        "llama3.1-405b": {"server": (6000, 175), "interactive": (4500, 80)},
        "llama3.1-8b": {"server": (2000, 100), "interactive": (500, 30)},
        "deepseek-r1": {"server": (2000, 80), "interactive": (1500, 15)},
    }
    for name, scenarios in published.items():
        for scenario, limits in scenarios.items():
            told = BENCHMARKS[name]["limits"][scenario]
            assert (told["ttft_seconds"] * 1000, told["tpot_seconds"] * 1000) == pytest.approx(limits)


def test_servers_kept_their_limits() -> None:
    """p99 of what was measured lies within the limits, as the rules demand: the columns are what they say."""
    kept = [row for row in mlperf_rows() if row["ttft_p99_seconds"]]
    assert len(kept) > 50
    for row in kept:
        limits = BENCHMARKS[row["benchmark"]]["limits"][row["scenario"]]
        assert row["ttft_p99_seconds"] <= limits["ttft_seconds"] * 1.001, row
        assert row["tpot_p99_seconds"] <= limits["tpot_seconds"] * 1.001, row


def test_each_result_is_kept_once() -> None:
    rows = [
        tuple(row[name] for name in ("round", "system", "submitter", "benchmark", "scenario")) for row in mlperf_rows()
    ]
    assert len(set(rows)) >= 0.95 * len(rows)  # some systems were measured under two engines or on one and two nodes


def test_mean_step_is_decode_beside_the_prompts_that_keep_it_full() -> None:
    deployed = deployment()
    requests = Requests(prompt_len=200, output_len=100, concurrency=400)
    prompts = Workload(batch_size=4, new_tokens=200, context_len=200, logits="last")
    expected = deployed.step([deployed.decode(250, 400).but(logits="last"), prompts])
    assert mean_step(deployed, requests).seconds == pytest.approx(expected.seconds)


def test_less_than_one_prompt_a_step_is_its_share() -> None:
    """A quarter of a prompt's tokens, with as many query-key pairs as a quarter of the prompt has."""
    deployed = deployment()
    requests = Requests(prompt_len=4000, output_len=400, concurrency=100)
    quarter = Workload(batch_size=1, new_tokens=1000, context_len=2500, logits="last")
    whole = Workload.prefill(4000)
    assert quarter.pairs() == pytest.approx(whole.pairs() / 4, rel=1e-3)
    expected = deployed.step([deployed.decode(4200, 100).but(logits="last"), quarter])
    assert mean_step(deployed, requests).seconds == pytest.approx(expected.seconds)


def test_rates_of_arrays_are_those_of_each() -> None:
    deployed, running = deployment(), np.array([1.0, 60.0, 1000.0])
    requests = Requests(prompt_len=300, output_len=100, concurrency=running)
    together = output_tokens_per_second(requests, mean_step(deployed, requests))
    for index, count in enumerate(running):
        one = requests.but(concurrency=float(count))
        assert together[index] == pytest.approx(output_tokens_per_second(one, mean_step(deployed, one)))
    assert (np.diff(together) > 0).all()


def test_placements_divide_the_model() -> None:
    spec = load_model("llama-2-70b").spec
    plans = list(plausible_placements(spec, 8))
    assert {plan.num_gpus for plan in plans} == {1, 2, 4, 8}
    assert all(plan.ep == 1 for plan in plans)
    mixture = load_model("deepseek-v3").spec
    assert any(plan.dp == 8 and plan.ep == 8 for plan in plausible_placements(mixture, 8))


def test_a_window_frees_what_lies_behind_it() -> None:
    """gpt-oss: half of its layers keep 128 tokens, so far more sequences fit than full caches would let in."""
    lengths = Requests(prompt_len=8000, output_len=1278, concurrency=1)
    _, held = next(layouts("gpt-oss-120b", "experts=mxfp4", "fp8", "b200-sxm", "vllm", 1, lengths))
    full = 36 * 2 * 8 * 64 * 8639
    assert 1.6 < held * full / (load_accelerator("b200-sxm").capacity_bytes * 0.95 - 64e9) < 2.0


def test_copies_of_the_model_stay_within_fast_links() -> None:
    rows = {(row["accelerator"], row["nodes"]): row for row in mlperf_rows()}
    assert reach(rows["NVIDIA GB200", 18]) == 8
    assert reach(rows["NVIDIA GB200", 1]) == 4


def test_offline_results() -> None:
    """Nothing was fitted to them."""
    checks = list(offline_checks())
    errors = [abs(check.measured_seconds / check.predicted_seconds - 1) for check in checks]
    assert len(errors) >= 80
    assert median(errors) <= 0.15
    assert all(check.seconds_low < check.predicted_seconds < check.seconds_high for check in checks)


def test_a_burst_replayed_takes_what_the_mean_step_says() -> None:
    """Offline, request by request: once the server is full its throughput is that of the mean step."""
    deployed = deployment()
    scene = Scene(
        deployed=deployed,
        limits=Limits(max_num_batched_tokens=8192, max_num_seqs=200),
        policy=policy_of("vllm"),
    )
    traffic = Traffic(
        prompt_tokens=np.full(4000, 300),
        output_tokens=np.random.default_rng(0).integers(50, 151, 4000),
        arrival_seconds=np.zeros(4000),
    )
    served = Served(scene, traffic, costs_of(scene, traffic))
    rate = traffic.output_tokens.sum() / served.duration
    requests = Requests(prompt_len=300, output_len=100, concurrency=200.0)
    assert rate == pytest.approx(output_tokens_per_second(requests, mean_step(deployed, requests)), rel=0.08)


def test_the_longest_is_the_far_end_of_lognormal_lengths() -> None:
    sigma = lognormal_sigma(294, 1024)
    lengths = np.random.default_rng(0).lognormal(np.log(294) - sigma**2 / 2, sigma, 400_000)
    assert lengths.mean() == pytest.approx(294, rel=0.01)
    assert np.quantile(lengths, 0.999) == pytest.approx(1024, rel=0.03)
    assert lognormal_sigma(128, 128) == 0
    assert lognormal_sigma(10, 100_000) == 1


def test_traffic_has_the_lengths_of_the_benchmark() -> None:
    entry = BENCHMARKS["llama2-70b"]
    traffic = traffic_of(entry, 5000)
    assert traffic.output_tokens.mean() == pytest.approx(entry["output_len"], rel=0.01)
    assert traffic.prompt_tokens.max() <= entry["longest_prompt"]
    assert traffic.arrival_seconds is not None
    assert traffic.arrival_seconds[-1] == pytest.approx(5000, rel=0.05)


def test_tighter_limits_allow_a_lower_rate() -> None:
    """Llama-3.1-405B on B200: 156 and 94 tokens per second and device were submitted."""
    offline = best_layout("llama3.1-405b", "nvfp4", "fp8", "b200-sxm", "trtllm", 8)
    server = best_server("llama3.1-405b", "server", "nvfp4", "fp8", "b200-sxm", "trtllm", 8)
    interactive = best_server("llama3.1-405b", "interactive", "nvfp4", "fp8", "b200-sxm", "trtllm", 8)
    assert offline
    assert server
    assert interactive
    assert offline.tokens_per_second > server.tokens_per_second > interactive.tokens_per_second
    assert 156 / server.tokens_per_second == pytest.approx(1, abs=0.35)
    assert 94 / interactive.tokens_per_second == pytest.approx(1, abs=0.3)


def test_whole_runs_are_replayed() -> None:
    checks = list(trace_checks())
    assert len(checks) == 6 * len(trace_runs())
    for check in checks:
        assert abs(check.error) < 0.6, check
    for run in trace_runs():
        assert len({len(run[name]) for name in ("arrival_s", "first_token_s", "prompt_tokens", "output_tokens")}) == 1
        assert np.all(np.array(run["first_token_s"]) >= np.array(run["arrival_s"]))
