"""A device as rows of the user's own stack say that it serves one model: the anchor of a calibration, applied."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.device.anchor import LoadCurve, StackLoad, anchor_prior, load_curve
from sparsecalc.device.desk_anchor import PHASES, TestPlace, desk_widths, length_curve
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.estimate.placement import Placement
from sparsecalc.model.ledgers import Ledgers

Row = dict[str, Any]
QUANTIZED_BITS = 12
"""Bits per weight, scales included, below which a model's weights are taken for quantized ones."""


def anchored(
    device: DeviceModel,
    anchor: Row | None,
    model: Ledgers,
    precision: Precision,
    plan: Placement,
    prompt_len: float,
) -> DeviceModel:
    """The device with the anchor's curves for this placement, where it is of this very stack.

    The stack: accelerator, engine, the weights' format and the model's architecture (equal parameters; another model's
    errors say little of this one's: `between_models` in data/anchor.json). What was done, or why nothing was,
    is added to the device's `anchor_note`.
    """
    if anchor is None:
        return device
    if "tests" in anchor:
        return _anchored_by_tests(device, anchor, model, precision)
    rows = anchor["rows"]
    if reason := _foreign(anchor, rows, device, model, precision):
        return device.but(anchor_note=f"the anchor is not applied: {reason}")
    own = [row for row in rows if row["params"] == params_of(model)]
    place = StackLoad(sequences=1, tp=plan.tp, pp=plan.pp, dp=plan.dp, ep=plan.ep, prompt_len=prompt_len)
    kind = model.spec.kind
    curve = load_curve(*seen_of(own, "log_error"), place, anchor_prior("tpot").of(kind))
    first = seen_of([row for row in own if row.get("ttft_log_error") is not None], "ttft_log_error")
    first_token = load_curve(*first, place, anchor_prior("ttft").of(kind)) if first[0] else None
    engine = device.engine.but(anchor=curve, first_token_anchor=first_token)
    return device.but(engine=engine, anchor_note=_applied(own, plan))


def params_of(model: Ledgers) -> int:
    """Parameters of the model, which tell architectures apart."""
    return int(model.ops(Workload()).total("params"))


def seen_of(rows: Sequence[Row], error: str) -> tuple[list[StackLoad], list[float]]:
    """Where an anchor's rows lie, and their ln(measured / predicted) under the name `error`."""
    places = ("sequences", "tp", "pp", "dp", "ep", "prompt_len")
    return [StackLoad(**{name: row[name] for name in places}) for row in rows], [row[error] for row in rows]


def place_of(model: Ledgers, precision: Precision, length: float) -> TestPlace:
    """Where a test of a model at so many tokens of context lies among those of its machine."""
    rows = model.ops(Workload())
    quantized = 8 * rows.sum(precision.weight_bytes) < QUANTIZED_BITS * rows.total("params")
    dense = model.spec.kind == "dense"
    return TestPlace(dense=dense, params=params_of(model), quantized=quantized, length=length)


def places_of(tests: Sequence[Row]) -> tuple[list[TestPlace], list[float], float]:
    """Where an anchor's tests of one phase lie, their errors, and their mean predicted deviation."""
    names = ("dense", "params", "quantized", "length")
    places = [TestPlace(**{name: row[name] for name in names}) for row in tests]
    return places, [row["log_error"] for row in tests], fmean(row["predicted_spread"] for row in tests)


def _anchored_by_tests(device: DeviceModel, anchor: Row, model: Ledgers, precision: Precision) -> DeviceModel:
    """The device with what tests of this machine say of this model, where it is of this very machine and engine."""
    engine, tests = device.engine, anchor["tests"]
    other = ""
    if anchor["accelerator"] != device.accelerator:
        other = f"on {anchor['accelerator']}, not on {device.accelerator}"
    elif (anchor["backend"], anchor["engine"]) != (engine.backend, engine.id) and not (
        anchor["backend"] == engine.backend and engine.based_on and anchor["based_on"] == engine.based_on
    ):
        other = f"under --engine {':'.join(filter(None, (anchor['engine'], anchor['backend'])))}"
    if other:
        return device.but(anchor_note=f"the anchor is not applied: it was made {other}")
    place = place_of(model, precision, 1.0)
    curves: dict[str, LoadCurve] = {}
    for phase in PHASES:
        if own := [row for row in tests if row["phase"] == phase]:
            places, errors, spread = places_of(own)
            curves[f"{phase}_anchor"] = length_curve(places, errors, place, desk_widths(phase).unsure(spread))
    same = sum(row["params"] == place.params for row in tests)
    text = (
        f"anchored to {len(tests)} measured test{'s' if len(tests) > 1 else ''} of this machine, {same} of this model"
    )
    return device.but(engine=engine.but(**curves), anchor_note=text)


def _foreign(found: Row, rows: list[Row], device: DeviceModel, model: Ledgers, precision: Precision) -> str:
    """Why an anchor is not of this stack; empty where it is."""
    if found["accelerator"] != device.accelerator:
        return f"it was made on {found['accelerator']}, not on {device.accelerator}"
    if found["engine"] != device.engine.id:
        return f"it was made under --engine {found['engine']}, not {device.engine.id}"
    if found["dtype"] != precision.name:
        return f"it was made with weights in {found['dtype']}, not {precision.name}"
    if not any(row["params"] == params_of(model) for row in rows):
        known = ", ".join(sorted({row["model"] for row in rows}))
        return f"it was made with {known}, and what one model measures says little of another's error"
    return ""


def _applied(own: list[Row], plan: Placement) -> str:
    """Says what the prediction rests on."""
    count = len(own)
    same = sum((row["tp"], row["pp"], row["dp"], row["ep"]) == (plan.tp, plan.pp, plan.dp, plan.ep) for row in own)
    here = "all of them in this placement" if same == count else f"{same} of them in this placement"
    return f"anchored to {count} measured row{'s' if count > 1 else ''} of this stack, {here}"
