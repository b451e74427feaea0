"""The measurements that ship with the package, each beside what the time model says of it."""

from collections.abc import Callable, Iterator
from functools import cache
from math import exp
from typing import Any

from sparsecalc.core.arrays import Number
from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.data_files import read_data
from sparsecalc.device.assemble import device_model
from sparsecalc.device.engines import engine_entry, engine_ids
from sparsecalc.device.find import load_accelerator
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.documents.validate import Check, Source
from sparsecalc.estimate.benchmarked_kernels import Operands, benchmarked_kernel
from sparsecalc.estimate.engine_defaults import whole_default
from sparsecalc.estimate.kernel import Kernel
from sparsecalc.estimate.load import Requests
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.serving import Copies, StepOf, chunks, prefill_step, tpot_seconds
from sparsecalc.estimate.step import BAND, Step, step_time
from sparsecalc.estimate.timing import kernel_time, transfer_time
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import load_model
from sparsecalc.model.ledgers import Ledgers
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.number_formats import number_format

Row = dict[str, Any]


DeviceOf = Callable[[str, str], DeviceModel]
"""Accelerator and engine to what the time model knows of them; other than the product's own for an ablation."""


@cache
def shipped_device(gpu: str, engine: str) -> DeviceModel:
    """The device model of an accelerator under an engine, or under the generic one where it has no profile."""
    return device_model(load_accelerator(gpu), engine if engine in engine_ids() else None)


@cache
def _spec(model: str) -> ModelSpec:
    return load_model(model).spec


@cache
def model_of(model: str) -> Ledgers:
    """A built-in model."""
    return Ledgers(_spec(model))


@cache
def precision_of(model: str, dtype: str | None, kv_cache: str) -> Precision:
    """Formats of a built-in model by their names; None: as its checkpoint stores it."""
    return precision_for(_spec(model), dtype, kv_cache)


def kernel_checks(device_of: DeviceOf = shipped_device, gpu: str | None = None) -> Iterator[Check]:
    """Single kernels that were not fitted, of every accelerator or of one, as their benchmark times them: alone."""
    for table in read_data("measurements/kernels.json")["tables"]:
        if gpu not in (None, table["gpu"]):
            continue
        for values in table["rows"]:
            row = dict(zip(table["columns"], values, strict=True))
            device = device_of(table["gpu"], row["engine"])
            if table["op"] in ("all_reduce", "all_to_all"):
                size = row["message_bytes"]
                time = transfer_time("", table["op"], 1, row["ranks"], size, device, alone=True)
            else:
                time = kernel_time(kernel_of(table, row), device, alone=True)
            hidden = ("engine", "version", "model", "seconds")
            yield Check(
                source="kernels",
                what=" ".join(part for part in (table["op"], table.get("form", "")) if part),
                model=row.get("model", ""),
                gpu=table["gpu"],
                engine=row["engine"],
                where=", ".join(f"{key} {value}" for key, value in row.items() if key not in hidden),
                measured_seconds=row["seconds"],
                predicted_seconds=time.seconds,
                seconds_low=time.seconds * exp(-BAND * time.spread),
                seconds_high=time.seconds * exp(BAND * time.spread),
            )


def kernel_of(table: Row, row: Row) -> Kernel:
    """The kernel that a row of data/measurements/kernels.json times."""
    operands = Operands(form=table["form"], dtype=table["dtype"], stored=number_format(table["weights"]))
    return benchmarked_kernel(table["op"], row, operands)


def fixed_batch_rows(*, desk: bool) -> list[Row]:
    """Published steps with a fixed batch, of llama.cpp and its like, or of the other engines."""
    rows: list[Row] = read_data("measurements/fixed_batch.json")["rows"]
    return [row for row in rows if bool(engine_entry(row["engine"]).get("backend")) == desk]


def step_rows() -> list[Row]:
    """Published steps with a fixed batch, but those of llama.cpp and its like."""
    return fixed_batch_rows(desk=False)


LARGEST_FITTED = 9e9
"""Parameters of the largest model whose steps engines' profiles are fitted to."""
FITTED_ENGINES = ("gpt-fast",)


def fits_engines(row: Row) -> bool:
    """Whether tools/fit_engines.py fits an engine's profile to the row: a small model with one sequence."""
    small = model_of(row["model"]).ops(Workload()).total("params") <= LARGEST_FITTED
    return small and row["batch_size"] == 1 and row["engine"] in FITTED_ENGINES


def step_checks(device_of: DeviceOf = shipped_device, gpu: str | None = None) -> Iterator[Check]:
    """Published steps with a fixed batch, of every accelerator or of one."""
    for row in step_rows():
        if gpu not in (None, row["gpu"]):
            continue
        step = predict_step(row, device_of(row["gpu"], row["engine"]))
        yield Check(
            source="steps",
            what=row["phase"],
            model=row["model"],
            gpu=row["gpu"],
            engine=row["engine"],
            where=_where(row["weights"], row, f"batch {row['batch_size']}, context {row['context_len']}"),
            measured_seconds=row["seconds_per_step"],
            predicted_seconds=step.seconds,
            seconds_low=step.seconds_low,
            seconds_high=step.seconds_high,
            fitted=fits_engines(row),
            quality=row["quality"],
            sparse=_spec(row["model"]).kind != "dense",
        )


def predict_step(row: Row, device: DeviceModel) -> Step:
    """What the time model says of a row of data/measurements/fixed_batch.json."""
    model, precision = model_of(row["model"]), precision_of(row["model"], row["weights"], row["kv_cache"])
    if "weights_bytes" in row:  # mixed formats are larger than their name says
        share = row["weights_bytes"] / model.ops(Workload()).sum(precision.weight_bytes)
        device = device.but(engine=device.engine.but(bandwidth_factor=device.engine.bandwidth_factor / share))
    plan = Placement(tp=row.get("tp", 1), pp=row.get("pp", 1))
    batch, prompt = row["batch_size"], row["prompt_len"]

    def step(*works: Workload) -> Step:
        return step_time(model, works, precision, device, plan)

    if row["phase"] == "decode":
        return step(Workload.decode(row["context_len"], batch))
    if row["phase"] == "prefill":
        work = Workload.prefill(row["context_len"], batch, logits="last")
        return step(work.but(new_tokens=prompt))
    chunk = whole_default("max_num_batched_tokens")
    together = min(max(1, chunk // prompt), batch)
    seconds = sum(part.steps * step(part.but(batch_size=together)).seconds for part in chunks(prompt, chunk))
    decode = step(Workload.decode(row["context_len"], batch, logits="last"))
    total = batch / together * seconds + (row["output_len"] - 1) * decode.seconds
    return Step(decode.times, total / row["output_len"], decode.spread)


def serving_rows() -> list[Row]:
    """Serving runs in closed loop."""
    table = read_data("measurements/serving.json")
    return [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]


def is_measure(row: Row) -> bool:
    """Whether a serving run measures a step with so many sequences: nothing contradicts it or sets it apart."""
    return not (row["contradicted"] or row["apart"])


def serving_report_rows() -> list[Row]:
    """What users report of their servers; a TPOT that is not reported is concurrency / throughput."""
    table = read_data("measurements/serving_reports.json")
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    for row in rows:
        row["tpot_seconds"] = row["tpot_seconds"] or row["concurrency"] / row["output_tokens_per_second"]
    return rows


def model_kind(model: str) -> str:
    """`ModelSpec.kind` of a built-in model."""
    return _spec(model).kind


def serving_checks(rows: list[Row], device_of: DeviceOf = shipped_device) -> Iterator[Check]:
    """TPOT of serving runs by the formula of a closed loop, which tools/fit_serving.py fits to them."""
    for row in rows:
        requests, prompt, step = _run(row, device_of)
        copies = Copies.of(_placement(row), _spec(row["model"]), row["engine"])
        tpot = tpot_seconds(requests, prompt, step, _decode, copies=copies)
        yield served_check("serving", row, row["tpot_seconds"], (tpot.seconds, tpot.seconds_low, tpot.seconds_high))


def idle_ttft_seconds(row: Row) -> float:
    """Seconds of a run's prompt alone, by kernels."""
    _, prompt, step = _run(row, shipped_device)
    return float(prefill_step(prompt, step).seconds)


def served_model(row: Row) -> tuple[Ledgers, Precision]:
    """The model of a serving run and its formats: those of the checkpoint that is served, where it is known."""
    name, dtype = (row["checkpoint"], None) if row.get("checkpoint") else (row["model"], row["dtype"])
    return model_of(name), precision_of(name, dtype, row["kv_cache"])


def _run(row: Row, device_of: DeviceOf) -> tuple[Requests, list[Workload], StepOf]:
    """The requests of a serving run, the chunks of a prompt, and what a step takes."""
    model, precision = served_model(row)
    device, plan = device_of(row["gpu"], row["engine"]), _placement(row)
    if row.get("eager"):
        device = device.but(engine=device.engine.in_eager_mode())
    requests = Requests(**{name: row[name] for name in ("prompt_len", "output_len", "concurrency")})
    prompt = chunks(requests.prompt_len, whole_default("max_num_batched_tokens"))
    return requests, prompt, lambda works: step_time(model, works, precision, device, plan)


def _decode(context_len: Number, batch_size: Number) -> Workload:
    return Workload.decode(context_len, batch_size, logits="last")


def served_check(source: Source, row: Row, measured: float, predicted: tuple[float, float, float]) -> Check:
    """A run beside its prediction: seconds, and the ends of their band."""
    load = f"{row['prompt_len']} + {row['output_len']} tokens, concurrency {row['concurrency']}"
    return Check(
        source=source,
        what="TPOT" if source == "serving" else "TTFT",
        model=row["model"],
        gpu=row["gpu"],
        engine=row["engine"],
        where=_where(row["dtype"], row, load),
        measured_seconds=measured,
        predicted_seconds=predicted[0],
        seconds_low=predicted[1],
        seconds_high=predicted[2],
        sparse=_spec(row["model"]).kind != "dense",
        contradicted=row.get("contradicted", False),
        apart=row.get("apart", ""),
    )


def _where(dtype: str, row: Row, load: str) -> str:
    return f"{dtype}, {_placement(row).name}, {load}"


def _placement(row: Row) -> Placement:
    return Placement(**{name: row.get(name, 1) for name in ("tp", "pp", "dp", "ep")})
