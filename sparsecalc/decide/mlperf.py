"""MLPerf Inference results beside what the time model makes of the same systems."""

from collections.abc import Iterator
from functools import cache
from math import exp
from typing import Any

import numpy as np

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.data_files import read_data
from sparsecalc.decide.capacity import HeldMemory
from sparsecalc.decide.question import ask
from sparsecalc.device.assemble import device_model
from sparsecalc.device.find import load_accelerator
from sparsecalc.documents.validate import Check
from sparsecalc.estimate.deployment import Deployment
from sparsecalc.estimate.load import Load, Requests
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.saturated import mean_step, output_tokens_per_second, plausible_placements
from sparsecalc.estimate.step import BAND
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import load_model
from sparsecalc.model.ledgers import Ledgers

Row = dict[str, Any]
BATCHES = 24
"""Numbers of running sequences that are tried, up to what memory holds."""


class BestLayout(Frozen):
    """What one device of the best layout yields."""

    tokens_per_second: float
    """Per device."""
    spread: float
    placement: str
    running: int
    """Sequences that run at once on one copy of the model."""


def mlperf_rows() -> list[Row]:
    """Results whose accelerator is known here."""
    table = read_data("measurements/mlperf.json")
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    return [row | {"gpu": gpu} for row in rows if (gpu := accelerator_id(row["accelerator"]))]


@cache
def accelerator_id(name: str) -> str:
    """The accelerator's id; empty where it is not known."""
    (entry,) = [each for each in read_data("mlperf_benchmarks.json")["accelerators"] if each["name"] == name]
    for wanted in entry["ids"]:
        try:
            return load_accelerator(wanted).id
        except InputError:
            continue
    return ""


def offline_checks() -> Iterator[Check]:
    """Offline results: seconds per output token of one device, of the best layout that fits."""
    for row in mlperf_rows():
        if row["scenario"] == "offline":
            served = best_layout(
                *(row[name] for name in ("benchmark", "dtype", "kv_cache", "gpu", "engine")), reach(row)
            )
            if served:
                yield mlperf_check(row, served)


def reach(row: Row) -> int:
    """Devices that fast links or one node join: over how many of them a copy of the model may be split."""
    devices = row["devices_per_node"] * row["nodes"]
    scale_up = load_accelerator(row["gpu"]).scale_up
    return int(min(devices, max(row["devices_per_node"], scale_up.domain_size if scale_up else 1), MOST_DEVICES))


MOST_DEVICES = 8
"""Devices that one copy of a model is split over at most: what submissions do, and enough for the largest of them."""


@cache
def best_layout(benchmark: str, dtype: str, kv_cache: str, gpu: str, engine: str, devices: int) -> BestLayout | None:
    """The layout and the number of running sequences that yield most per device; None where nothing fits."""
    entry = read_data("mlperf_benchmarks.json")["benchmarks"][benchmark]
    lengths = Requests(prompt_len=entry["prompt_len"], output_len=entry["output_len"], concurrency=1)
    found = []
    for deployed, running in layouts(entry["model"], dtype, kv_cache, gpu, engine, devices, lengths):
        served = best_batch(deployed, lengths, running)
        if served:
            found.append(served)
    return max(found, key=lambda served: served.tokens_per_second, default=None)


def layouts(
    name: str, dtype: str, kv_cache: str, gpu: str, engine: str, devices: int, lengths: Requests
) -> Iterator[tuple[Deployment, int]]:
    """Each plausible placement, and how many sequences of the mean context its memory holds."""
    model = Ledgers(load_model(name).spec)
    precision, accelerator = precision_for(model.spec, dtype, kv_cache), load_accelerator(gpu)
    share = read_data("mlperf_benchmarks.json")["device_memory_share"]["value"]
    context = lengths.prompt_len + lengths.output_len // 2
    question = ask(gpu=gpu, engine=engine, device_memory_share=share, context_len=context)
    device = device_model(accelerator, engine)
    for plan in plausible_placements(model.spec, devices):
        deployed = Deployment(model, precision, accelerator, device, plan)
        held = most_running(HeldMemory(deployed, question), question.load)
        if held:
            yield deployed, held


def most_running(memory: HeldMemory, load: Load) -> int:
    """Sequences in the midst of their answers that fit at once: layers with a window hold no more than it."""
    copies, device = memory.deployed.placement.dp, memory.memory
    one = device.at(load.but(batch_size=MANY * copies)).caches / MANY
    room = memory.engine.room if memory.engine else memory.budget - device.at(load).weights - device.at(load).working
    return max(0, int(room / one)) * copies


MANY = 1024
"""Sequences whose cache is counted, so that what is rounded up to whole bytes does not matter."""


def running_sequences(plan: Placement, most: int) -> Any:
    """Numbers of running sequences to try, as an array: from one for each copy and stage up to `most`."""
    least = plan.dp * plan.pp
    return np.unique(np.round(np.geomspace(least, most, BATCHES))) if most >= least else np.array([])


def best_batch(deployed: Deployment, lengths: Requests, most: int) -> BestLayout | None:
    """The number of running sequences, up to `most`, that yields most tokens."""
    plan = deployed.placement
    running = running_sequences(plan, most)
    if not len(running):
        return None
    step = mean_step(deployed, lengths.but(concurrency=running))
    rates = output_tokens_per_second(lengths.but(concurrency=running), step)
    best = int(np.argmax(rates))
    return BestLayout(
        tokens_per_second=float(rates[best]) / plan.num_gpus,
        spread=float(np.broadcast_to(step.spread, rates.shape)[best]),
        placement=plan.name,
        running=int(running[best]),
    )


def mlperf_check(row: Row, served: BestLayout) -> Check:
    """A result beside the prediction, both as seconds per output token of one device."""
    devices = row["devices_per_node"] * row["nodes"]
    measured = devices / row["tokens_per_second"]
    predicted = 1 / served.tokens_per_second
    entry = read_data("mlperf_benchmarks.json")["benchmarks"][row["benchmark"]]
    return Check(
        source="mlperf",
        what=row["scenario"],
        model=entry["model"],
        gpu=row["gpu"],
        engine=row["engine"],
        where=f"{row['dtype']}, {row['benchmark']} {row['round']}, {row['submitter']}, {devices} devices;"
        f" predicted: {served.placement}, {served.running:,} sequences",
        measured_seconds=measured,
        predicted_seconds=predicted,
        seconds_low=predicted * exp(-BAND * served.spread),
        seconds_high=predicted * exp(BAND * served.spread),
        sparse=load_model(entry["model"]).spec.kind != "dense",
        quality="B" if "estimated" in entry else "A",
    )
