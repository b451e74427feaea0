"""Whole runs of servers, replayed request by request."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from sparsecalc.data_files import read_data
from sparsecalc.decide.capacity import HeldMemory
from sparsecalc.decide.deploy import deploy
from sparsecalc.decide.published import model_of, precision_of
from sparsecalc.decide.question import ask
from sparsecalc.decide.scene import scene_of
from sparsecalc.documents.validate import Check
from sparsecalc.estimate.replay.served import Served, costs_of
from sparsecalc.estimate.replay.traffic import Traffic
from sparsecalc.estimate.step import BAND

Run = dict[str, Any]


def trace_runs() -> list[Run]:
    """The runs of data/measurements/serving_traces.json."""
    runs: list[Run] = read_data("measurements/serving_traces.json")["runs"]
    return runs


def replayed_trace(run: Run) -> Served:
    """The requests of a run at the seconds at which they came, through the engine's scheduler."""
    traffic = Traffic(
        prompt_tokens=np.array(run["prompt_tokens"]),
        output_tokens=np.array(run["output_tokens"]),
        arrival_seconds=np.array(run["arrival_s"]),
    )
    names = ("gpu", "engine", "tp", "dp", "max_num_seqs", "max_num_batched_tokens")
    question = ask(
        **{name: run[name] for name in names},
        enable_expert_parallel=run["expert_parallel"],
        context_len=traffic.longest,
    )
    model, precision = model_of(run["model"]), precision_of(run["model"], run["dtype"], "bf16")
    deployed = deploy(model, precision, question, question.devices.accelerators[0])
    scene = scene_of(deployed, question, HeldMemory(deployed, question), None, traffic.longest)
    return Served(scene, traffic, costs_of(scene, traffic))


def trace_checks() -> Iterator[Check]:
    """Mean and tail of each run's latencies, and seconds per output token of the whole server."""
    for run in trace_runs():
        served = replayed_trace(run)
        measured = _figures(run)
        tokens = sum(run["output_tokens"])
        predicted = {
            "TTFT, mean": served.ttft.mean(),
            "TTFT, p99": np.quantile(served.ttft, 0.99),
            "TPOT, mean": served.tpot.mean(),
            "TPOT, p99": np.quantile(served.tpot, 0.99),
            "end to end, mean": served.e2e.mean(),
            "seconds per token of the server": served.duration / tokens,
        }
        spread = served.scene.deployed.device.engine.spread
        for what, seconds in predicted.items():
            yield Check(
                source="replay",
                what=what,
                model=run["model"],
                gpu=run["gpu"],
                engine=run["engine"],
                where=f"{run['dtype']}, {served.scene.deployed.placement.name}, {len(run['arrival_s'])} requests",
                measured_seconds=measured[what],
                predicted_seconds=float(seconds),
                seconds_low=float(seconds * np.exp(-BAND * spread)),
                seconds_high=float(seconds * np.exp(BAND * spread)),
                sparse=bool(model_of(run["model"]).spec.mixtures),
            )


def _figures(run: Run) -> dict[str, float]:
    """The same figures, measured."""
    arrival, first, last = (np.array(run[name]) for name in ("arrival_s", "first_token_s", "last_token_s"))
    tokens = np.array(run["output_tokens"])
    several = tokens > 1
    tpot = ((last - first) / np.maximum(tokens - 1, 1))[several]
    return {
        "TTFT, mean": float((first - arrival).mean()),
        "TTFT, p99": float(np.quantile(first - arrival, 0.99)),
        "TPOT, mean": float(tpot.mean()),
        "TPOT, p99": float(np.quantile(tpot, 0.99)),
        "end to end, mean": float((last - arrival).mean()),
        "seconds per token of the server": float(last.max() / tokens.sum()),
    }
