"""Seconds of a step as tables of the step model: exact at their nodes, linear between them."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np

from sparsecalc.core.workload import Workload
from sparsecalc.estimate.deployment import Deployment, Drafting

Array = np.ndarray[Any, Any]
FINE, COARSE = 1.03, 1.12
"""Ratio of neighbouring nodes: of a table along one axis, and along two."""
WHOLE = 64
"""Below this every whole number is a node."""


def nodes(largest: int, ratio: float, also: Sequence[int] = ()) -> list[int]:
    """Whole numbers from 0 to `largest`: all small ones, then a geometric row; powers of two and `also` among them."""
    dense = WHOLE if ratio <= FINE else WHOLE // 4
    found = {0, largest, *range(min(dense, largest) + 1), *(number for number in also if number <= largest)}
    found |= {1 << bit for bit in range(largest.bit_length())}
    value = float(dense)
    while value < largest:
        found.add(int(value))
        value *= ratio
    return sorted(found)


class Line:
    """A function of one whole number, as a list of its values."""

    def __init__(self, places: list[int], values: Array) -> None:
        every = np.arange(places[-1] + 1)
        self.values: list[float] = np.interp(every, places, np.broadcast_to(values, len(places))).tolist()

    def at(self, place: int) -> float:
        """The value there; beyond the last node that of the last."""
        return self.values[place] if place < len(self.values) else self.values[-1]


class Plane:
    """A function of two numbers, linear between its nodes along both."""

    def __init__(self, rows: list[int], columns: list[int], values: Array) -> None:
        self.rows, self.columns = rows, columns
        self.values: list[list[float]] = np.broadcast_to(values, (len(rows), len(columns))).tolist()
        self.row_of = _places(rows)

    def at(self, row: int, column: float) -> float:
        """The value there; beyond the last row that of the last, beyond the last column on the line through two."""
        rows, columns = self.rows, self.columns
        above = self.row_of[row] if row < len(self.row_of) else len(rows) - 1
        right = min(max(bisect_right(columns, column), 1), len(columns) - 1)
        left = columns[right - 1]
        share = (column - left) / (columns[right] - left)
        upper = self.values[above]
        high = upper[right - 1] + share * (upper[right] - upper[right - 1])
        if rows[above] <= row:
            return high
        lower = self.values[above - 1]
        low = lower[right - 1] + share * (lower[right] - lower[right - 1])
        return low + (high - low) * (row - rows[above - 1]) / (rows[above] - rows[above - 1])


def _places(rows: list[int]) -> list[int]:
    """For each whole number the index of the first node that is not below it."""
    found: list[int] = []
    for index, row in enumerate(rows):
        found += [index] * (row + 1 - len(found))
    return found


def _unanchored(deployed: Deployment) -> Deployment:
    """The deployment whose steps are not multiplied by an anchor's factor."""
    device = deployed.device
    return replace(deployed, device=device.but(engine=device.engine.but(anchor=None)))


class StepCosts:
    """Seconds of any step of one deployment. Sizes are those of one copy of the attention (dp) and micro-batch (pp).

        step = tokens(T) + experts(T of all copies) + sequences(n) + decode(B, context) + sum of chunk(new, past)

    A step that decodes is multiplied by the engine's `factor` of all its sequences, which is 1 without an anchor.
    T = tokens of the decoding sequences and chunks, n = B + chunks. A chunk's own part has what its products cost
    beside those of as many decoded tokens (an MLA prompt expands its latents). Chunks of one step share their launches.
    With a draft model each decoded token brings `draft_tokens` guesses, and the draft's steps come on top.
    """

    def __init__(
        self,
        deployed: Deployment,
        drafting: Drafting | None,
        *,
        most_tokens: int,
        most_sequences: int,
        longest: int,
        prompts: Sequence[int] = (),
    ) -> None:
        engine = deployed.device.engine
        self.deployed, self.drafting = _unanchored(deployed), drafting
        self.guesses = drafting.draft_tokens if drafting else 0
        self.yielded = drafting.accepted_tokens if drafting else 1.0
        plan = deployed.placement
        self.ways, self.dp, self.pp = plan.dp * plan.pp, plan.dp, plan.pp
        places = nodes(most_sequences * self.ways, FINE)
        self._factors = Line(places, engine.factor(np.array(places, float)))
        self._by_tokens(most_tokens)
        self._by_sequences(most_sequences)
        self._decode(most_sequences, longest)
        self._prefill(most_tokens, longest, prompts)

    def factor(self, decoding: int, chunks: int) -> float:
        """What a step of so many decoding sequences, and chunks of others, is multiplied by: the engine's `factor`."""
        return self._factors.at(decoding + chunks) if decoding else 1.0

    def _by_tokens(self, most: int) -> None:
        places, routing = nodes(most, FINE), self.deployed.routing
        parts = self._parts(lambda tokens: Workload.decode(1, tokens * self.ways, routing=routing), places)
        self.tokens = Line(places, parts["tokens"])
        copies = [place * self.dp for place in places]
        self.experts = Line(copies, parts["experts"])

    def _by_sequences(self, most: int) -> None:
        places = nodes(most, FINE)
        parts = self._parts(lambda sequences: self.deployed.decode(1, sequences * self.ways, self.guesses), places)
        self.sequences = Line(places, parts["sequences"] + parts["engine"])

    def _decode(self, most: int, longest: int) -> None:
        rows, columns = nodes(most, COARSE), nodes(longest + 1, COARSE)[1:]
        batch, context = np.array(rows, float)[:, None], np.array(columns, float)[None, :]
        work = self.deployed.decode(context, np.maximum(batch, 1) * self.ways, self.guesses)
        drafts = self.drafting.seconds(context, np.maximum(batch, 1) * self.ways) if self.drafting else 0.0
        self.decode = Plane(rows, columns, (self._scopes(work)["work"] + drafts) * (batch > 0))
        self.decode_beside = self.decode
        if self.deployed.device.engine.mixed_tile_rows:
            own = self._scopes(work, mixed=True)["work"]
            self.decode_beside = Plane(rows, columns, (own + drafts) * (batch > 0))

    def _prefill(self, most: int, longest: int, prompts: Sequence[int]) -> None:
        """The chunk's own part, and what its products cost beside those of as many decoded tokens."""
        rows = nodes(most, COARSE, prompts)
        whole = [most * times for times in range(1, min(longest // most, WHOLE) + 1)]
        columns = nodes(longest, COARSE, whole) if longest > most else [0, max(longest, 1)]
        new, past = np.array(rows, float)[:, None], np.array(columns, float)[None, :]
        one = np.maximum(new, 1)
        chunk = Workload.prefill(past + one, self.ways, logits="last", routing=self.deployed.routing)
        found = self._scopes(chunk.but(new_tokens=one))
        same = self._scopes(Workload.decode(1, one * self.ways, routing=self.deployed.routing))
        own = found["work"] + sum(found[name] - same[name] for name in ("tokens", "experts"))
        self._chunk = Plane(rows, columns, own * np.ones_like(new + past))
        self._known: dict[tuple[int, int], float] = {}
        self._launches = float(np.broadcast_to(found["work"], (len(rows), len(columns)))[0, 0])

    def _parts(self, work: Callable[[Array], Workload], places: list[int]) -> dict[str, Any]:
        """Seconds by scope at each place; nothing at 0."""
        sizes = np.array(places, float)
        found = self._scopes(work(np.maximum(sizes, 1.0)))
        return {name: seconds * (sizes > 0) if name != "engine" else seconds for name, seconds in found.items()}

    def _scopes(self, work: Workload, *, mixed: bool = False) -> dict[str, Any]:
        names = ("tokens", "experts", "sequences", "work", "engine")
        return dict.fromkeys(names, 0.0) | self.deployed.step([work], mixed=mixed).by_scope()

    def chunks(self, parts: Sequence[tuple[int, int]]) -> float:
        """The own part of the chunks of a step, each (new tokens, tokens before them)."""
        known, seconds = self._known, 0.0
        for part in parts:
            if part not in known:
                known[part] = self._chunk.at(*part)
            seconds += known[part]
        return max(0.0, seconds - (len(parts) - 1) * self._launches)

    def local(self, decoding: int, context: float, parts: Sequence[tuple[int, int]]) -> tuple[float, int]:
        """Seconds of one copy's step without its experts, and its tokens; `context` with the new tokens, mean."""
        own = -(-decoding // self.pp)
        tokens, sequences = own * (1 + self.guesses), own
        if parts:
            new = [new for new, _ in parts]
            tokens += max(ceil(sum(new) / self.pp), *new)
            sequences = -(-(decoding + len(parts)) // self.pp)
        seconds = self.tokens.at(tokens) + self.sequences.at(sequences)
        if decoding:
            seconds += (self.decode_beside if parts else self.decode).at(own, context)
        if parts:
            seconds += self.chunks(parts)
        return seconds, tokens
