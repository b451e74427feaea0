"""Where one model stops being cheaper than another, and where it is again: curves over one axis, and all crossings."""

from collections.abc import Callable
from itertools import pairwise
from math import log

from sparsecalc.core.errors import InputError
from sparsecalc.core.notes import Note
from sparsecalc.core.sign_changes import Middle, middle_of_integers, middle_within, sign_changes
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief
from sparsecalc.decide.crossover_side import CrossoverSide
from sparsecalc.decide.deploy import format_warnings, speedup_warnings
from sparsecalc.decide.question import LARGEST, Question, ask, hardware_of
from sparsecalc.documents.crossover import Axis, Cost, Crossing, CrossoverReport, Point
from sparsecalc.estimate.break_even import ClosedForms, closed_forms
from sparsecalc.estimate.costs import memory
from sparsecalc.estimate.engine_defaults import engine_default
from sparsecalc.estimate.fit import budget_bytes, gpus_needed
from sparsecalc.estimate.kernel import Setting
from sparsecalc.estimate.step import BAND

COSTS: dict[str, tuple[Cost, ...]] = {
    "time": ("seconds", "tpot_seconds"),
    "memory": ("bytes_read", "bytes_per_gpu"),
    "dollars": ("usd_per_million_output_tokens",),
}
"""The costs that `of` asks for."""
OF_A_LAYER = ("seconds", "bytes_read")
DEFAULT_GPU = "h100-sxm"
"""Taken, with a warning, where no accelerator is named."""
RANGES: dict[Axis, tuple[float, float]] = {
    "batch": (1, 1024),
    "context": (512, 131072),
    "tokens": (1, 16384),
    "skew": (0, 2),
    "sparsity": (0, 0.95),
}
LIMITS: dict[Axis, tuple[float, float]] = {
    "batch": (1, LARGEST),
    "context": (2, LARGEST),
    "tokens": (1, LARGEST),
    "skew": (0, 10),
    "sparsity": (0, 0.999),
}
PER_DOUBLING, EVEN_STEPS, FINEST = 2, 40, 1e-4
"""The grid: points per doubling of whole numbers, steps of the other axes, and how finely these are bisected."""
EQUAL = 1e-9
"""Costs whose ratio is nearer to 1 than this are equal."""


def crossover(
    first: str,
    second: str,
    over: str = "batch",
    of: str | None = None,
    between: tuple[float, ...] | None = None,
    question: Question | None = None,
) -> CrossoverReport:
    """Costs of two models along an axis, and every point at which the cheaper one changes.

    over  batch, context; tokens: one feed-forward layer against the other's; skew: zipf exponent of the routing;
          sparsity: the value of the first model's technique (unstructured, where its name has none)
    of    time (decode step, TPOT), memory (bytes read, bytes held per device), dollars; None: all of them

    Raises InputError for an unknown axis or cost, twice the same model, an axis that changes neither of them.
    """
    axis, costs = _axis(over), _costs_of(of, over)
    low, high = _range(axis, between)
    asked, warnings = _with_hardware(question or ask(), first, second, axis, low)
    gpu = asked.devices.accelerators[0]
    a = CrossoverSide(first, axis, asked, gpu, high if axis == "sparsity" else None)
    b = CrossoverSide(second, axis, asked, gpu)
    _check_pair(a, b, axis)
    if gpu.usd_per_hour is None:
        if of == "dollars":
            raise InputError(f"{gpu.id} has no price", hint="Take another accelerator, or --of time")
        costs = [cost for cost in costs if cost not in COSTS["dollars"]]
    points, crossings = _look(a, b, costs, *_grid(axis, low, high))
    requested = bool(asked.formats.dtype)
    report = CrossoverReport(
        command="crossover",
        inputs=asked.inputs([first, second]) | {"over": axis, "of": of, "between": [low, high]},
        warnings=[*warnings, *_warnings(a, requested), *_warnings(b, requested), *_unfit(points, a, b)],
        a=a.label,
        b=b.label,
        over=axis,
        costs=costs,
        accelerator=gpu.id,
        num_gpus=a.deployed.placement.num_gpus,
        placement_a=a.deployed.placement.name,
        placement_b=b.deployed.placement.name,
        points=points,
        crossings=crossings,
        closed_forms=_closed_forms(a, b) if axis in ("batch", "tokens") else None,
        text=[],
    )
    return report.but(text=[_sentence(report, cost) for cost in costs])


def _look(
    a: CrossoverSide, b: CrossoverSide, costs: list[Cost], grid: list[float], middle: Middle
) -> tuple[list[Point], list[Crossing]]:
    """Every point that was looked at, in order, and every crossing of every cost."""
    seen: dict[float, Point] = {}

    def point(at: float) -> Point:
        if at not in seen:
            seen[at] = Point(at=at, a=a.costs(at), b=b.costs(at), refined=at not in grid)
        return seen[at]

    def ratio(cost: Cost) -> Callable[[float], float]:
        def value(at: float) -> float:
            ratio = log(getattr(point(at).a, cost) / getattr(point(at).b, cost))
            return ratio if abs(ratio) > EQUAL else 0.0

        return value

    changes = {cost: sign_changes(ratio(cost), grid, middle) for cost in costs}
    places, names = sorted(seen), (a.label, b.label)
    crossings = [_crossing(cost, pair, ratio(cost), places, names) for cost in costs for pair in changes[cost]]
    return [seen[at] for at in places], crossings


def _axis(over: str) -> Axis:
    for axis in RANGES:
        if axis == over:
            return axis
    raise InputError(f"unknown axis {brief(over)}", hint=f"Axes: {', '.join(RANGES)}" + did_you_mean(over, RANGES))


def _costs_of(of: str | None, over: str) -> list[Cost]:
    if of is not None and of not in COSTS:
        raise InputError(f"unknown cost {brief(of)}", hint=f"Costs: {', '.join(COSTS)}" + did_you_mean(of, COSTS))
    wanted = [cost for name in COSTS if of in (None, name) for cost in COSTS[name]]
    costs = [cost for cost in wanted if over != "tokens" or cost in OF_A_LAYER]
    if not costs:
        raise InputError("one feed-forward layer has no price per output token", hint="--of time, --of memory")
    return costs


def _range(axis: Axis, between: tuple[float, ...] | None) -> tuple[float, float]:
    least, most = LIMITS[axis]
    if between is None:
        return RANGES[axis]
    if len(between) != 2 or not least <= between[0] < between[1] <= most:
        ends = f"{least:,.10g} and {most:,.10g}"
        raise InputError(f"--between is {brief(between)}", hint=f"Two rising numbers, over {axis} between {ends}")
    if axis not in ("skew", "sparsity") and not all(float(value).is_integer() for value in between):
        raise InputError(f"--between is {brief(between)}", hint=f"Over {axis} they are whole numbers")
    return between[0], between[1]


def _grid(axis: Axis, low: float, high: float) -> tuple[list[float], Middle]:
    if axis in ("skew", "sparsity"):
        steps = [low + (high - low) * step / EVEN_STEPS for step in range(EVEN_STEPS + 1)]
        return steps, middle_within((high - low) * FINEST)
    count = int(log(high / low, 2) * PER_DOUBLING)
    inner = {round(low * 2 ** (step / PER_DOUBLING)) for step in range(count + 1)}
    return sorted(inner | {int(high)}), middle_of_integers


def _with_hardware(asked: Question, first: str, second: str, axis: Axis, low: float) -> tuple[Question, list[Note]]:
    """The question with one accelerator; where none is named, as many of the default as both models need."""
    if asked.hardware and len(asked.hardware.accelerators) > 1:
        text = f"--gpu names {len(asked.hardware.accelerators)} accelerators"
        raise InputError(text, hint="A crossover is on one: ask once for each")
    if len(asked.grid.batch_sizes) > 1 or len(asked.grid.context_lens) > 1:
        raise InputError("a crossover takes one batch size and context", hint="Move along one: --between 1,64")
    if asked.hardware:
        return asked, []
    asked = asked.but(hardware=hardware_of(DEFAULT_GPU))
    parallelism = asked.parallelism
    if not (parallelism.num_gpus or parallelism.tp or parallelism.pp or parallelism.dp):
        needed = max(_devices_needed(name, asked, axis, low) for name in (first, second))
        asked = asked.but(parallelism=parallelism.but(num_gpus=1 << (needed - 1).bit_length()))
    text = f"no --gpu: times are of {asked.parallelism.num_devices} x {DEFAULT_GPU}"
    return asked, [Note(code="default-accelerator", text=text)]


def _devices_needed(name: str, asked: Question, axis: Axis, low: float) -> int:
    """Devices that a model needs at the lower end of the axis."""
    side = CrossoverSide(name, axis, asked, asked.devices.accelerators[0])
    load = asked.load.but(batch_size=int(low)) if axis == "batch" else asked.load
    model, precision, gpu = side.deployed.model, side.deployed.precision, side.deployed.gpu
    return gpus_needed(memory(model, precision, load), budget_bytes(gpu, None)) or 1


def _check_pair(a: CrossoverSide, b: CrossoverSide, axis: Axis) -> None:
    if axis != "sparsity" and a.spec == b.spec and a.variant.precision == b.variant.precision:
        raise InputError(
            f"{a.label} and {b.label} are the same model", hint="Name two, or add a technique: +int4, +2:4"
        )
    if axis == "skew" and not (a.has_experts or b.has_experts):
        raise InputError(f"neither {a.label} nor {b.label} has experts to route to", hint="Try --over batch")


def _warnings(side: CrossoverSide, requested: bool) -> list[Note]:
    """Those of the model and of its prediction, but for the load that does not fit."""
    notes = side.variant.loaded.warnings
    asked = bool(side.variant.dtype) or requested
    return notes + format_warnings(side.deployed, asked) + speedup_warnings(side.deployed, side.question)


def _unfit(points: list[Point], a: CrossoverSide, b: CrossoverSide) -> list[Note]:
    notes = []
    for side, name in ((a, "a"), (b, "b")):
        over = [point.at for point in points if getattr(point, name).fits is False]
        if over:
            where = f"at {side.over} {over[0]:,g}" + (f" to {over[-1]:,g}" if len(over) > 1 else "")
            text = f"does not fit {where}; its figures there are those of devices large enough"
            notes.append(Note(code="does-not-fit", text=text, model=side.label))
    return notes


def _crossing(
    cost: Cost, pair: tuple[float, float], value: Callable[[float], float], places: list[float], names: tuple[str, str]
) -> Crossing:
    low, high = pair
    below, above = value(low), value(high)
    unsure: tuple[float | None, float | None] = (None, None)
    if cost in (*COSTS["time"], *COSTS["dollars"]):
        band = BAND * engine_default("ratio_spread")
        left, right = [at for at in reversed(places) if at <= low], [at for at in places if at >= high]
        unsure = (_last_within(left, value, band, low), _last_within(right, value, band, high))
    return Crossing(
        cost=cost,
        at=low + (high - low) * below / (below - above),
        low=low,
        high=high,
        cheaper_below=names[below > 0],
        cheaper_above=names[above > 0],
        unsure_low=unsure[0],
        unsure_high=unsure[1],
    )


def _last_within(places: list[float], value: Callable[[float], float], band: float, start: float) -> float:
    """How far from the crossing the logarithm of the ratio stays within the band."""
    reached = start
    for at in places:
        if abs(value(at)) > band:
            break
        reached = at
    return reached


def _closed_forms(a: CrossoverSide, b: CrossoverSide) -> ClosedForms | None:
    """For a mixture of experts against a dense model, both of them decoders."""
    if a.has_experts == b.has_experts or a.spec.encoder_decoder or b.spec.encoder_decoder:
        return None
    moe, dense = (a, b) if a.has_experts else (b, a)
    device, precision = dense.deployed.device, dense.variant.precision
    setting = Setting.of(precision, dense.deployed.placement, device)
    return closed_forms(
        (moe.label, moe.ledger(), moe.variant.precision),
        (dense.label, dense.ledger(), setting),
        device.memory_bytes_per_second,
    )


def _sentence(report: CrossoverReport, cost: Cost) -> str:
    """Who is cheaper where, in words."""
    label = report.label(cost)
    own = [crossing for crossing in report.crossings if crossing.cost == cost]
    ratios = [getattr(point.a, cost) / getattr(point.b, cost) for point in report.points]
    if not own:
        span = f"{min(ratios):.2f}x to {max(ratios):.2f}x" if max(ratios) - min(ratios) > 0.005 else f"{ratios[0]:.2f}x"
        if all(abs(ratio - 1) <= EQUAL for ratio in ratios):
            return f"{label}: both cost the same everywhere."
        cheaper = report.a if min(ratios) < 1 else report.b
        return f"{label}: {cheaper} is cheaper everywhere; {report.a} costs {span} of {report.b}."
    parts = [f"{own[0].cheaper_below} is cheaper up to {report.over} {_number(own[0].at)}"]
    parts += [f"{one.cheaper_above} from there to {_number(following.at)}" for one, following in pairwise(own)]
    return f"{label}: {', '.join(parts)}, {own[-1].cheaper_above} beyond."


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
