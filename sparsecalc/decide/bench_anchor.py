"""`calibrate --from-llama-bench`: an anchor from tests that were measured on one machine."""

from datetime import UTC, datetime
from functools import cache
from math import exp, log
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.notes import Note
from sparsecalc.core.text import printable
from sparsecalc.decide.anchored import place_of, places_of
from sparsecalc.decide.bench_models import bench_dtype, bench_model
from sparsecalc.decide.bench_tests import timed_test
from sparsecalc.decide.capacity import HeldMemory
from sparsecalc.decide.deploy import deploy
from sparsecalc.decide.model_name import Variant, load_variant
from sparsecalc.decide.question import Question, ask
from sparsecalc.decide.serving_anchor import error_summary
from sparsecalc.device.calibration import Calibration
from sparsecalc.device.described import is_description
from sparsecalc.device.desk_anchor import PHASES, DeskWidths, Phase, TestPlace, anchored_tests, desk_widths
from sparsecalc.device.find import load_accelerator
from sparsecalc.estimate.deployment import Deployment
from sparsecalc.estimate.step import BAND
from sparsecalc.library.bench_files.read import read_bench_files
from sparsecalc.library.bench_files.rows import BenchRow
from sparsecalc.library.serving_files.read import LeftOut

MOST_ROWS = 500
FEWEST_TO_LEAVE_OUT = 2
FAR_OFF = log(2)

Entry = dict[str, Any]


class Told(Frozen):
    """What the user says where files say nothing, or otherwise."""

    models: dict[str, str]
    """By the files' own names; "" is for all others."""
    gpu: str | None = None
    num_gpus: int | None = None
    engine: str | None = None
    dtype: str | None = None
    kv_cache_dtype: str | None = None


def anchor_from_tests(names: list[str], told: Told) -> tuple[Calibration, list[Note]]:
    """The anchor that files of measured tests make, and what is to be known of it.

    Raises InputError in one line: what `read_bench_files` refuses, no row that can be used, rows of several machines.
    """
    files = read_bench_files(names)
    if len(files.rows) > MOST_ROWS:
        raise InputError(f"{len(files.rows)} rows", hint=f"A few are enough; at most {MOST_ROWS} are taken")
    left_out, entries = [*files.left_out], list[Entry]()
    for row in files.rows:
        try:
            entries.append(_entry(row, told))
        except InputError as error:
            left_out.append(LeftOut(where=row.where, why=str(error)))
    machine = _the_machine(entries, left_out)
    for phase in PHASES:
        _anchor([entry for entry in entries if entry["phase"] == phase], phase)
    gpu = load_accelerator(told.gpu if told.gpu and is_description(told.gpu) else machine["accelerator"])
    calibration = Calibration(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        device="tests",
        device_name=gpu.name,
        accelerator=gpu.id,
        prior={phase: vars(desk_widths(phase)) for phase in PHASES},
        residuals=_residuals(entries, len(left_out)),
        anchor={**machine, "tests": entries, "left_out": [vars(each) for each in left_out]},
    )
    return calibration, _notes(entries)


def _entry(row: BenchRow, told: Told) -> Entry:
    """A row beside its prediction. Raises InputError, which says why the row is of no use."""
    variant = _variant(bench_model(row, told.models), told.dtype or bench_dtype(row))
    question = _question(row, told)
    deployed = deploy(variant.model, variant.precision, question, question.devices.accelerators[0])
    found = timed_test(deployed, question, None, row.test, HeldMemory(deployed, question))
    spread = log(found.tokens_per_second_high / found.tokens_per_second_low) / 2 / BAND
    prompt = row.test.prompt_len and not row.test.output_len
    if row.test.prompt_len and row.test.output_len:
        raise InputError(f"{row.test.name}: prompts and answers together cannot be told apart")
    return {
        "where": row.where,
        "tool": row.tool,
        "phase": "prompt" if prompt else "decode",
        **_machine(deployed, row),
        **_place(variant, row),
        "test": row.test.name,
        "placement": deployed.placement.name,
        "measured_tokens_per_second": row.tokens_per_second,
        "predicted_tokens_per_second": found.tokens_per_second,
        "log_error": log(found.tokens_per_second / row.tokens_per_second),
        "predicted_spread": spread,
    }


@cache
def _variant(name: str, dtype: str) -> Variant:
    return load_variant(name, dtype)


def _machine(deployed: Deployment, row: BenchRow) -> Entry:
    engine = deployed.device.engine
    return {
        "accelerator": deployed.gpu.id,
        "engine": engine.id,
        "backend": engine.backend,
        "based_on": engine.based_on,
        "build": row.build,
    }


def _place(variant: Variant, row: BenchRow) -> Entry:
    test = row.test
    place = place_of(variant.model, variant.precision, float(test.depth + test.prompt_len + test.output_len / 2))
    return {"model": variant.loaded.spec.id, "dtype": variant.precision.name, **vars(place)}


def _question(row: BenchRow, told: Told) -> Question:
    """The question that a row answers."""
    gpu = told.gpu or row.gpu
    if not gpu:
        raise InputError("the accelerator is not told", hint="Say it: --gpu rtx-4090, or --gpu local on that machine")
    engine = told.engine or row.engine or "llama.cpp"
    if row.backend and ":" not in engine and engine in ("llama.cpp", "ik_llama.cpp"):
        engine += f":{row.backend}"
    engine += f"@b{row.build}" if row.build and "@" not in engine else ""
    placed: Entry = {"n_cpu_moe": row.cpu_moe} if row.cpu_moe else {}
    placed |= {"ubatch_size": row.micro_batch} if row.micro_batch and row.backend else {}
    placed |= {"n_gpu_layers": row.gpu_layers} if row.gpu_layers is not None and row.backend != "cpu" else {}
    placed |= {"threads": row.threads} if row.threads and row.backend == "cpu" and placed else {}
    return ask(
        gpu=gpu,
        num_gpus=told.num_gpus or row.num_gpus,
        engine=engine,
        kv_cache_dtype=told.kv_cache_dtype or row.kv_cache_dtype,
        batch_size=row.batch_size,
        test=row.test.name,
        **placed,
    )


def _the_machine(entries: list[Entry], left_out: list[LeftOut]) -> Entry:
    """The one machine of all rows. Raises InputError where there is none, or several."""
    if not entries:
        first = f": {left_out[0].where}: {left_out[0].why}" if left_out else ""
        raise InputError(f"no row can be used{first}", hint="" if left_out else "The files hold none")
    names = ("accelerator", "engine", "backend", "based_on")
    found = {tuple(row[name] for name in names) for row in entries}
    if len(found) > 1:
        known = "; ".join(", ".join(filter(None, each)) for each in sorted(each[:3] for each in found))
        raise InputError(f"rows of {len(found)} machines: {known}", hint="Give the rows of one, or name it: --gpu")
    return dict(zip(names, found.pop(), strict=True))


def _anchor(own: list[Entry], phase: Phase) -> None:
    """Adds to a phase's rows what the anchor makes of them, and each as the others say."""
    if not own:
        return
    places, errors, spread = places_of(own)
    widths = desk_widths(phase).unsure(spread)
    means, _ = anchored_tests(places, errors, places, widths)
    for place, (row, mean) in enumerate(zip(own, means, strict=True)):
        row["anchored_tokens_per_second"] = row["predicted_tokens_per_second"] * exp(-mean)
        row["left_out_log_error"] = _by_others(place, places, errors, widths)


def _by_others(place: int, places: list[TestPlace], errors: list[float], widths: DeskWidths) -> float | None:
    """ln(measured / predicted) of a row, anchored by the others; None where there are too few."""
    if len(places) < FEWEST_TO_LEAVE_OUT:
        return None
    rest = [index for index in range(len(places)) if index != place]
    (mean,), _ = anchored_tests([places[i] for i in rest], [errors[i] for i in rest], [places[place]], widths)
    return errors[place] - mean


def _residuals(entries: list[Entry], left_out: int) -> dict[str, Any]:
    """Errors |predicted / measured - 1| of the rows by phase: with the anchor, and each anchored by the others."""
    found = {}
    for phase in PHASES:
        own = [row for row in entries if row["phase"] == phase]
        if not own:
            continue
        before = [abs(exp(row["log_error"]) - 1) for row in own]
        after = [abs(row["anchored_tokens_per_second"] / row["measured_tokens_per_second"] - 1) for row in own]
        found[f"{phase} rows"] = error_summary(after, before, left_out)
        held = [row for row in own if row["left_out_log_error"] is not None]
        if held:
            alone = [abs(exp(row["left_out_log_error"]) - 1) for row in held]
            found[f"each {phase} row by the others"] = error_summary(alone, before, left_out)
    return found


def _notes(entries: list[Entry]) -> list[Note]:
    """Rows that are so far off that something else than what was told may have run."""
    return [
        Note(
            code="far-off",
            text=f"{row['where']}: {row['test']} measured is {exp(-row['log_error']):.2f} of predicted: are device,"
            f" backend, format ({printable(row['dtype'], 40)}) and placement as told, and was nothing else running?",
            model=row["model"],
        )
        for row in entries
        if abs(row["log_error"]) > FAR_OFF
    ]
