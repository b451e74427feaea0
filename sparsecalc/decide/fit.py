"""Least number of devices, best precision, largest batch and context, speed and price: models on accelerators."""

from sparsecalc.core import units
from sparsecalc.core.errors import InputError
from sparsecalc.core.notes import Note
from sparsecalc.core.units import duration
from sparsecalc.decide.commands import command_of, served_name
from sparsecalc.decide.deploy import device_warnings
from sparsecalc.decide.fit_question import FitAsked
from sparsecalc.decide.fit_search import Found, Tried, reason_of, search
from sparsecalc.decide.precisions import NamedModel, models_of
from sparsecalc.decide.remedies import remedies
from sparsecalc.documents.fit import FitReport, FitRow
from sparsecalc.estimate.fit import LARGEST_CONTEXT
from sparsecalc.estimate.prices import usd_per_hour, usd_per_million_tokens
from sparsecalc.library.models import model_ids

NEAR = 2
"""Models that are just too large for the device, which are shown with what would make them fit."""


def fit(names: list[str], asked: FitAsked) -> FitReport:
    """Each model on each accelerator, or all built-in models on one; best first.

    Raises InputError for an unknown model, device or format, and where no model is named.
    """
    every = asked.on is not None and not names
    models = [NamedModel(name, asked.question) for name in model_ids()] if every else models_of(names, asked.question)
    found, left = _largest_first(models, asked) if every else _all(models, asked)
    rows = [_row(each, asked) for each in found]
    held = [each for each in found if each.tried and (asked.tpot is None or each.is_fast_enough(asked.tpot))]
    return FitReport(
        command="fit",
        inputs=asked.inputs(names),
        warnings=[] if every else _warnings(models, found, asked),
        rows=rows,
        fits=bool(held) if every else {each.model.name for each in held} == {model.name for model in models},
        models_looked_at=len(models),
        rows_left_out=left,
        text=_answer(rows, asked),
    )


def _warnings(models: list[NamedModel], found: list[Found], asked: FitAsked) -> list[Note]:
    """What must be known of the models, and of the device where it is one."""
    notes = [note for model in models for note in model.own.loaded.warnings]
    if len(asked.question.devices.accelerators) == 1:
        notes += [note for each in found if each.tried for note in device_warnings(each.tried.deployed)]
    return list(dict.fromkeys(notes))


def _all(models: list[NamedModel], asked: FitAsked) -> tuple[list[Found], int]:
    """Each model on each accelerator, the best of each model first, and how many are left out."""
    seconds, size = asked.comfortable_seconds, asked.on is not None
    found = [search(model, gpu, asked) for model in models for gpu in asked.question.devices.accelerators]
    found.sort(key=lambda each: each.rank(seconds, by_size=size))
    first = list({each.model.name: each for each in reversed(found)}.values())[::-1]
    first.sort(key=found.index)
    found = [*first, *(each for each in found if each not in first)] if len(models) > 1 else found
    kept = found[: max(asked.rows, len(first))] if asked.rows else found
    return kept, len(found) - len(kept)


def _largest_first(models: list[NamedModel], asked: FitAsked) -> tuple[list[Found], int]:
    """The largest models that the device holds and serves fast enough, then slower ones, then those just too large.

    Models smaller than these are not looked at; the second part is how many they are.
    """
    seconds, gpu = asked.comfortable_seconds, asked.question.devices.accelerators[0]
    found, quick = [], 0
    models = sorted(models, key=lambda model: -model.params)
    for model in models:
        found.append(search(model, gpu, asked))
        quick += found[-1].is_fast_enough(seconds)
        if asked.rows and quick == asked.rows:
            break
    fitting = sorted((each for each in found if each.tried), key=lambda each: each.rank(seconds, by_size=True))
    large = [each for each in found if not each.tried]
    near = [each for each in reversed(large) if not each.out_of_context][:NEAR]
    return [*fitting, *(near if asked.rows else large)], len(models) - len(found)


def _row(found: Found, asked: FitAsked) -> FitRow:
    """Everything that is said of a model on a device."""
    model, tried, step, load = found.model, found.tried, found.step, asked.question.load
    price = usd_per_hour(found.gpu, found.num_gpus)
    speed = load.batch_size / step.seconds if step else None
    return FitRow(
        model=model.id,
        total_params=model.params,
        active_params=model.active,
        accelerator=found.gpu.id,
        num_gpus=found.num_gpus,
        placement=tried.deployed.placement.name if tried else "",
        engine=found.engine,
        dtype=tried.deployed.precision.name if tried else "",
        checkpoint=_checkpoint(tried) if tried else model.name,
        fits=tried is not None,
        is_fast_enough=found.is_fast_enough(asked.comfortable_seconds),
        reason=reason_of(found, asked.question),
        weights_bytes_per_gpu=tried.held.memory.at(load).weights if tried else None,
        batch_size=load.batch_size,
        context_len=load.context_len,
        largest_batch_size=tried.held.largest_batch(load) if tried else None,
        largest_context_len=_largest_context(tried) if tried else None,
        decode_seconds=step.seconds if step else None,
        decode_seconds_low=step.seconds_low if step else None,
        decode_seconds_high=step.seconds_high if step else None,
        output_tokens_per_second=speed,
        usd_per_hour=price,
        usd_per_million_output_tokens=usd_per_million_tokens(price, 1 / speed) if speed else None,
        command=_command(tried) if tried and asked.commands else "",
        would_fit=[] if tried else remedies(found, asked.question),
    )


def _command(tried: Tried) -> str:
    """What to type."""
    candidate = tried.candidate
    dtype = candidate.variant.dtype or candidate.dtype
    return command_of(candidate.name, candidate.variant, dtype, tried.deployed, tried.question)


def _checkpoint(tried: Tried) -> str:
    """What is loaded."""
    candidate = tried.candidate
    try:
        return served_name(candidate.name, candidate.variant, candidate.variant.dtype or candidate.dtype)[0]
    except InputError:  # a config alone, or sparse weights
        return candidate.name


def _largest_context(tried: Tried) -> int:
    """The longest context that fits and that the model allows."""
    most = tried.deployed.model.spec.max_position_embeddings or LARGEST_CONTEXT
    return tried.held.largest_context(tried.question.load, most)


def _answer(rows: list[FitRow], asked: FitAsked) -> list[str]:
    """The first line is the answer."""
    fitting = [row for row in rows if row.fits]
    if not fitting:
        best = rows[0] if rows else None
        text = f"{best.model} does not fit on {best.num_gpus} x {best.accelerator}: {best.reason}." if best else ""
        return [text or "No model fits.", *(_remedies(best) if best else [])]
    first = fitting[0]
    lines = [_first_line(first, asked, len(rows))]
    near = next((row for row in rows if not row.fits and row.would_fit), None)
    if near:
        lines += [f"{near.model} does not fit on {near.num_gpus} x {near.accelerator}: {near.reason}."]
        lines += _remedies(near)
    return lines


def _first_line(row: FitRow, asked: FitAsked, rows: int) -> str:
    """The best row in a sentence."""
    where = f"{row.num_gpus} x {row.accelerator}"
    found = (
        f"{row.output_tokens_per_second:,.1f} tokens/s with {row.batch_size:,} x {row.context_len:,} tokens, room for a"
        f" context of {row.largest_context_len:,} or {row.largest_batch_size:,} sequences{_price(row)}"
    )
    if asked.on is None or rows == 1:
        slow = "" if row.is_fast_enough else f", but a token takes more than {duration(asked.comfortable_seconds)}"
        return f"{row.model} fits {where} in {row.dtype}{slow}: {found}."
    quick = f"with a token in {duration(asked.comfortable_seconds)} or less"
    kind = f"The largest model on {where} {quick}"
    if not row.is_fast_enough:
        kind = f"No model on {where} has a token in {duration(asked.comfortable_seconds)}; the largest that fits"
    return f"{kind} is {row.model} in {row.dtype}: {found}."


def _price(row: FitRow) -> str:
    return f", ${row.usd_per_hour:,.2f}/h" if row.usd_per_hour is not None else ""


def _remedies(row: FitRow) -> list[str]:
    """What would make a model fit, a line each."""
    lines = []
    for way in row.would_fit:
        host = f", with {units.nbytes(way.host_memory_bytes)} of host memory" if way.host_memory_bytes else ""
        what = {
            "devices": f"{way.num_gpus} x {row.accelerator} in {way.dtype}",
            "format": f"weights in {way.dtype}",
            "context": f"a context of {way.context_len:,} tokens in {way.dtype}",
        }.get(way.change, f"layers or experts in host memory, in {way.dtype}")
        speed = f", {row.batch_size / way.decode_seconds:,.1f} tokens/s" if way.decode_seconds else ""
        lines.append(f"  Would fit: {what}{host} ({way.option}){speed}.")
    return lines
