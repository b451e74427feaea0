"""`calibrate --from-serving`: an anchor from a few measured loads of one serving stack."""

from datetime import UTC, datetime
from math import exp, log
from statistics import median
from typing import Any, Literal

import numpy as np

from sparsecalc.core.errors import InputError
from sparsecalc.core.notes import Note
from sparsecalc.decide.anchored import seen_of
from sparsecalc.decide.serving_rows import Measured, Stack, measured_rows
from sparsecalc.device.anchor import AnchorPrior, StackLoad, anchor_prior, left_out_errors, load_curve, posterior
from sparsecalc.device.calibration import Calibration
from sparsecalc.device.find import load_accelerator
from sparsecalc.library.serving_files.read import LeftOut, read_serving_files
from sparsecalc.library.serving_files.rows import ServingRow

MOST_ROWS = 1_000
FEWEST_TO_LEAVE_OUT = 3
"""Rows from which on each is also held against what the others say of it."""
SHOWN_SEQUENCES = (1, 4, 16, 64, 256)
FAR_OFF = log(2)
QUANTITIES: tuple[Literal["tpot", "ttft"], ...] = ("tpot", "ttft")

Entry = dict[str, Any]


def anchor_from_serving(names: list[str], given: ServingRow) -> tuple[Calibration, list[Note]]:
    """The anchor that files of measured loads make, and what is to be known of it.

    `given`: what the user says where the files say nothing. Raises InputError in one line: what `read_serving_files`
    refuses, no row that can be used, rows of several stacks.
    """
    files = read_serving_files(names)
    rows, unusable = measured_rows(files.rows, given)
    left_out = [*files.left_out, *unusable]
    stack = _the_stack(rows, left_out)
    gpu, prior = load_accelerator(stack.accelerator), anchor_prior("tpot")
    entries = [_entry(row) for row in rows]
    curves = [curve for own in _by_model(entries) for curve in _anchor(own, prior)]
    for entry, row in zip(entries, rows, strict=True):
        entry |= _first_token(row, {**vars(stack), "rows": entries})
    calibration = Calibration(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        device="serving",
        device_name=gpu.name,
        accelerator=gpu.id,
        prior={name: vars(anchor_prior(name)) for name in QUANTITIES},
        residuals=_residuals(entries, len(left_out)),
        anchor={
            **vars(stack),
            "rows": entries,
            "left_out": [vars(each) for each in left_out],
            "curves": curves,
        },
    )
    return calibration, _notes(entries)


def _the_stack(rows: list[Measured], left_out: list[LeftOut]) -> Stack:
    """The one stack of all rows. Raises InputError where there is none, or several."""
    if not rows:
        first = f": {left_out[0].where}: {left_out[0].why}" if left_out else ""
        raise InputError(f"no row can be used{first}", hint="" if left_out else "The files hold none")
    if len(rows) > MOST_ROWS:
        raise InputError(f"{len(rows)} rows", hint=f"A few are enough; at most {MOST_ROWS} are taken")
    stacks = {row.stack.name: row.stack for row in rows}
    if len(stacks) > 1:
        known = "; ".join(f"{name} ({sum(row.stack.name == name for row in rows)} rows)" for name in stacks)
        raise InputError(f"rows of {len(stacks)} stacks: {known}", hint="Name one: --gpu, --engine, --dtype")
    return rows[0].stack


def _entry(measured: Measured) -> Entry:
    row = measured.row
    return {
        "where": row.where,
        "tool": row.tool,
        "model": measured.model,
        "params": measured.params,
        "kind": measured.kind,
        "placement": measured.placement,
        **vars(measured.load),
        **{name: getattr(row, name) for name in ("concurrency", "output_len")},
        "measured_seconds": measured.measured_seconds,
        "predicted_seconds": measured.predicted_seconds,
        "log_error": log(measured.measured_seconds / measured.predicted_seconds),
    }


def _first_token(measured: Measured, anchor: Entry) -> Entry:
    """A row's TTFT beside that of the anchored server; nothing where it was not measured."""
    ttft = measured.row.ttft_seconds
    if not ttft:
        return {}
    predicted = measured.again(anchor).ttft_seconds
    return {"ttft_seconds": ttft, "predicted_ttft_seconds": predicted, "ttft_log_error": log(ttft / predicted)}


def _by_model(entries: list[Entry]) -> list[list[Entry]]:
    """The rows of each model: what one measures says little of another."""
    found: dict[int, list[Entry]] = {}
    for entry in entries:
        found.setdefault(entry["params"], []).append(entry)
    return list(found.values())


def _anchor(own: list[Entry], prior: AnchorPrior) -> list[Entry]:
    """Adds to a model's rows what the anchor makes of them; the curve of each of its placements."""
    prior = prior.of(own[0]["kind"])
    loads, errors = seen_of(own, "log_error")
    means, spreads = posterior(loads, errors, loads, prior)
    others: list[float | None] = [None] * len(own)
    if len(own) >= FEWEST_TO_LEAVE_OUT:
        others = [*left_out_errors(loads, errors, prior)]
    for row, mean, spread, off in zip(own, means, spreads, others, strict=True):
        row |= {"anchored_seconds": row["predicted_seconds"] * exp(mean), "spread": spread, "left_out_log_error": off}
    places = {row["placement"]: load for row, load in zip(own, loads, strict=True)}
    return [_curve(own[0]["model"], name, place, (loads, errors), prior) for name, place in places.items()]


def _curve(
    model: str, name: str, place: StackLoad, seen: tuple[list[StackLoad], list[float]], prior: AnchorPrior
) -> Entry:
    """Factor and spread of a placement at a few loads, for people to read."""
    curve = load_curve(*seen, place, prior)
    at = {"factor": curve.factor, "spread": curve.spread_at}
    shown = {key: [float(of(count)) for count in SHOWN_SEQUENCES] for key, of in at.items()}
    return {"model": model, "placement": name, "sequences": list(SHOWN_SEQUENCES), **shown}


def _residuals(entries: list[Entry], left_out: int) -> dict[str, Any]:
    """Errors |predicted / measured - 1| of the rows: with the anchor, and each anchored by the others alone."""
    before = [abs(exp(-row["log_error"]) - 1) for row in entries]
    after = [abs(row["anchored_seconds"] / row["measured_seconds"] - 1) for row in entries]
    found = {"TPOT of the rows": error_summary(after, before, left_out)}
    held = [row for row in entries if row["left_out_log_error"] is not None]
    if held:
        alone = [abs(exp(-row["left_out_log_error"]) - 1) for row in held]
        base = [abs(exp(-row["log_error"]) - 1) for row in held]
        found["TPOT of each row by the others"] = error_summary(alone, base, left_out)
    first = [row for row in entries if "ttft_log_error" in row]
    if len(first) >= FEWEST_TO_LEAVE_OUT and len(_by_model(first)) == 1:
        off = [abs(exp(-each) - 1) for each in left_out_errors(*seen_of(first, "ttft_log_error"), anchor_prior("ttft"))]
        base = [abs(exp(-row["ttft_log_error"]) - 1) for row in first]
        found["TTFT of each row by the others"] = error_summary(off, base, left_out)
    return found


def error_summary(after: list[float], before: list[float], left_out: int) -> dict[str, Any]:
    """Errors of rows with an anchor, and their median without."""
    return {
        "rows": len(after),
        "left_out": left_out,
        "median_error": median(after),
        "p90_error": float(np.percentile(after, 90)),
        "prior_median_error": median(before),
    }


def _notes(entries: list[Entry]) -> list[Note]:
    """Rows that are so far off that something else than what was told may have run."""
    far = [row for row in entries if abs(row["log_error"]) > FAR_OFF]
    return [
        Note(
            code="far-off",
            text=f"{row['where']}: measured is {exp(row['log_error']):.2f} of predicted: are placement, formats and "
            "load as told, and did no speculative decoding or prefix cache help?",
            model=row["model"],
        )
        for row in far
    ]
