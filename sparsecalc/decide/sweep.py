"""Sweep: tidy rows of every combination of models, layouts, formats, batch sizes and contexts, block by block."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.notes import Note
from sparsecalc.decide.counted import counted
from sparsecalc.decide.deploy import deploy, device_warnings, format_warnings, speedup_warnings
from sparsecalc.decide.model_name import Variant, load_variant
from sparsecalc.decide.multi_token_prediction import variant_of
from sparsecalc.decide.predict import MOST_REPLAYED
from sparsecalc.decide.question import Question, ask, hardware_of
from sparsecalc.decide.sweep_axes import AXES, INNER, Axes, axes_of, axis_name, pieces, shard_of
from sparsecalc.decide.sweep_columns import columns_of, groups_of
from sparsecalc.decide.swept_deployment import SweptDeployment
from sparsecalc.decide.swept_model import Columns, SweptModel, Tile
from sparsecalc.estimate.load import Requests

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

POINTS_AT_ONCE = 2**16
"""Points that are computed together: an array of them and its intermediate results stay in a core's caches."""
MOST_REASONS = 20
"""Reasons for which points are left out that are told one by one."""


class Block(Frozen):
    """Rows of points that follow one another: a plain value or an array that broadcasts to `shape` for each column."""

    columns: Columns
    shape: tuple[int, ...]

    def flat(self, name: str) -> "Array":
        """A column as one value for each row."""
        import numpy as np

        return np.broadcast_to(np.asarray(self.columns[name]), self.shape).ravel()

    @property
    def count(self) -> int:
        """Rows."""
        size = 1
        for each in self.shape:
            size *= each
        return size


@dataclass(slots=True)
class SweepPlan:
    """What a sweep computes, checked; `blocks` computes it. `notes` are complete once all blocks are there."""

    models: list[str]
    axes: Axes
    fixed: dict[str, Any]
    columns: list[str]
    part: int
    parts: int
    notes: dict[Note, None] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    """Points that cannot be, by the reason."""

    @property
    def size(self) -> int:
        """Points of the whole sweep."""
        return len(self.models) * self.axes.size

    @property
    def own_size(self) -> int:
        """Points of this shard."""
        return len(range(self.part, self.size, self.parts))

    @property
    def replays(self) -> bool:
        """Whether the figures of requests are replayed: where there are as few as `show` replays in a grid."""
        batches = self.axes.values.get("batch_size", (1,))
        return int(self.axes.size // len(batches) * sum(batches)) <= MOST_REPLAYED

    def blocks(self) -> Iterator[Block]:
        """The rows of this shard, in order. Raises InputError where no point can be."""
        start, found, replays = 0, 0, self.replays
        for model in self.models:
            variants: dict[tuple[Any, ...], Variant] = {}
            for options in self.axes.outer():
                inner = [len(self.axes.values.get(name, (1,))) for name in INNER]
                try:
                    layout = _Layout(self, model, options, variants)
                except InputError as error:
                    lost = len(range((self.part - start) % self.parts, inner[0] * inner[1], self.parts))
                    self.left_out[str(error)] = self.left_out.get(str(error), 0) + lost
                else:
                    for block in layout.blocks(start, replays):
                        found += block.count
                        yield block
                start += inner[0] * inner[1]
        if not found and self.left_out and self.own_size:
            raise InputError(next(iter(self.left_out)))

    def warnings(self) -> list[Note]:
        """What a reader must know of the rows that were computed, and which points are left out."""
        found, lost = list(self.notes), list(self.left_out.items())
        found += [Note(code="left-out", text=f"{count:,} points: {reason}") for reason, count in lost[:MOST_REASONS]]
        if more := sum(count for _, count in lost[MOST_REASONS:]):
            found.append(Note(code="left-out", text=f"{more:,} more points, for other reasons"))
        if groups_of(self.columns)["serving"] and not self.replays:
            text = f"more than {MOST_REPLAYED:,} requests in all: TPOT, TTFT, prices are by formula, not replayed"
            found.append(Note(code="not-replayed", text=text))
        return found


class _Layout:
    """One model in one format on one layout, and its part of the points."""

    def __init__(self, plan: SweepPlan, model: str, options: dict[str, Any], variants: dict[Any, Variant]) -> None:
        contexts = plan.axes.values.get("context_len")
        asked = options | {"context_len": contexts[0]} if contexts else options
        self.plan, self.model = plan, model
        self.question = ask(**plan.fixed, **asked)
        self.fills = not (asked.get("prompt_len") or asked.get("output_len"))
        formats = self.question.formats
        key = formats.dtype, formats.kv_cache_dtype
        if key not in variants:
            variants[key] = variant_of(model, self.question)
        self.variant = variants[key]
        self.hardware = self.question.hardware
        if self.hardware:
            self.side: SweptModel = self._deployed(self.question)
        else:
            self.side = SweptModel(self.variant, self.question)
        plan.notes |= dict.fromkeys(self.variant.loaded.warnings)

    def _deployed(self, question: Question) -> SweptDeployment:
        variant, plan = self.variant, self.plan
        deployed = deploy(variant.model, variant.precision, question, question.devices.accelerators[0])
        notes = format_warnings(deployed, bool(variant.dtype or question.formats.dtype))
        notes += [*device_warnings(deployed), *speedup_warnings(deployed, question)]
        plan.notes |= dict.fromkeys(notes)
        return SweptDeployment(variant, question, deployed, plan.replays)

    @property
    def _is_of_a_load(self) -> bool:
        """Whether the deployment itself depends on the load: pages from host memory, and anchors."""
        side = self.side
        if not isinstance(side, SweptDeployment) or not self.hardware:
            return False
        return side.deployed.placement.host is not None or self.hardware.anchor is not None

    def blocks(self, start: int, replays: bool) -> Iterator[Block]:
        """Rows; `start`: the number of the first point."""
        import numpy as np

        alone = self._is_of_a_load
        most = 1 if alone or (replays and "serving" in self._wanted) else POINTS_AT_ONCE
        axes, load = self.plan.axes.values, self.question.load
        batches = np.asarray(axes.get("batch_size", (load.batch_size,)), float)
        contexts = np.asarray(axes.get("context_len", (load.context_len,)), float)
        for first, own_batches, own_contexts in self._pieces(start, batches, contexts, most):
            tile = Tile(batches=own_batches, contexts=own_contexts, requests=self._requests(own_batches, own_contexts))
            side = self._at(tile) if alone else self.side
            yield self._block(side, tile, first)

    def _pieces(
        self, start: int, batches: "Array", contexts: "Array", most: int
    ) -> "Iterator[tuple[Array, Array, Array]]":
        """Numbers of points, batch sizes and contexts of each part: a grid, or the points of a shard one by one."""
        import numpy as np

        part, parts = self.plan.part, self.plan.parts
        if parts == 1:
            for rows, columns in pieces(batches.size, contexts.size, most):
                own = batches[rows, None], contexts[None, columns]
                first = start + rows.start * contexts.size + columns.start
                yield np.arange(first, first + own[0].size * own[1].size), *own
            return
        size = batches.size * contexts.size
        for left in range((part - start) % parts, size, parts * most):
            places = np.arange(left, min(size, left + parts * most), parts)
            yield start + places, batches[places // contexts.size], contexts[places % contexts.size]

    def _requests(self, batches: "Array", contexts: "Array") -> Requests:
        """Those that fill each context, or those that are asked for; as many in flight as the batch holds."""
        import numpy as np

        asked = self.question.requests
        if not self.fills:
            same = [np.full(contexts.shape, float(each)) for each in (asked.prompt_len, asked.output_len)]
            return Requests(prompt_len=same[0], output_len=same[1], concurrency=batches)
        wanted, back = np.unique(contexts, return_inverse=True)
        filling = [Requests.filling(int(context), 1) for context in wanted]
        prompts, outputs = (
            np.array([getattr(each, name) for each in filling], float)[back].reshape(contexts.shape)
            for name in ("prompt_len", "output_len")
        )
        return Requests(prompt_len=prompts, output_len=outputs, concurrency=batches)

    def _at(self, tile: Tile) -> SweptModel:
        """The deployment of a tile of one point."""
        ((load, requests),) = tile.loads(self.question)
        return self._deployed(self.question.but(load=load, requests=requests))

    @property
    def _wanted(self) -> dict[str, list[str]]:
        return {name: own for name, own in groups_of(self.plan.columns).items() if own}

    def _block(self, side: SweptModel, tile: Tile, points: "Array") -> Block:
        requests = tile.requests
        found = side.place() | {"model": self.model, "point": points.reshape(tile.shape)}
        found |= {"batch_size": tile.batches.astype(int), "context_len": tile.contexts.astype(int)}
        found |= {"prompt_len": requests.prompt_len.astype(int), "output_len": requests.output_len.astype(int)}
        known = side.groups()
        for group in self._wanted:
            found |= known[group](tile)
        return Block(columns={name: found[name] for name in self.plan.columns}, shape=tile.shape)


def sweep_plan(
    models: Sequence[str],
    varied: Sequence[tuple[str, Any]],
    asked: Mapping[str, Any],
    columns: Sequence[str] | None = None,
    shard: str | None = None,
) -> SweepPlan:
    """What is to be computed. `varied`: axes by name, as typed or as lists; `asked`: options as `ask` has them.

    Raises InputError for what is unknown, empty, or too much, before anything is computed.
    """
    if not models:
        raise InputError("a sweep needs a model", hint="Example: sweep mixtral-8x7b --vary batch=1:64:x2")
    named = {axis_name(name) for name, _ in varied}
    given = {name: value for name, value in asked.items() if value is not None}
    twice = [name for name in given if name in named]
    if twice:
        option = twice[0].replace("_", "-")
        raise InputError(f"{option} is given as an option and varied too", hint="Leave one of them out")
    axes = axes_of([*((name, value) for name, value in given.items() if name in AXES), *varied])
    fixed = {name: value for name, value in given.items() if name not in AXES}
    has_devices = "gpu" in axes.values or "calibration" in fixed
    lengths = {"prompt_len", "output_len"} & set(axes.values)
    if lengths and len(axes.values.get("context_len", ())) > 1:
        text = f"{min(lengths)} is given and the context is varied, which requests fill"
        raise InputError(text, hint="Vary one of them: --vary prompt_len=1k,4k")
    found = columns_of(columns, tuple(axes.varied()), has_devices)
    _check(models, axes, fixed)
    part, parts = shard_of(shard)
    return SweepPlan(models=list(models), axes=axes, fixed=fixed, columns=found, part=part, parts=parts)


def _check(models: Sequence[str], axes: Axes, fixed: Mapping[str, Any]) -> None:
    """Raise InputError for a model, accelerator or format that is unknown, whatever it is combined with."""
    for name in models:
        load_variant(name)
    for gpu in axes.values.get("gpu", ()):
        hardware_of(counted(str(gpu), None)[0], None, fixed.get("calibration"))
    for axis in ("dtype", "kv_cache_dtype"):
        for fmt in axes.values.get(axis, ()):
            _check_format(models, axis, fmt)


def _check_format(models: Sequence[str], axis: str, fmt: str) -> None:
    """Raise InputError where no model takes a format."""
    given: dict[str, Any] = {axis: fmt}
    errors = []
    for name in models:
        try:
            variant_of(name, ask(**given))
        except InputError as error:
            errors.append(error)
    if len(errors) == len(models):
        raise errors[0]


@dataclass(frozen=True, slots=True)
class Swept:
    """Columns of a sweep, each an array with one value for each point that can be, in the order of the points."""

    columns: "dict[str, ndarray[Any, Any]]"
    notes: tuple[Note, ...]
    """What must be known of the figures, and which points are left out."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def sweep(plan: SweepPlan) -> Swept:
    """All rows of a plan as arrays."""
    import numpy as np

    blocks = list(plan.blocks())
    found = {
        name: np.concatenate([block.flat(name) for block in blocks]) if blocks else np.empty(0) for name in plan.columns
    }
    return Swept(columns=found, notes=tuple(plan.warnings()))
