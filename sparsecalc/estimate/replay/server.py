"""One server: copies of the attention that share every step, and what they are doing now."""

from collections.abc import Callable
from math import inf, sqrt

from sparsecalc.estimate.replay.rank import Rank
from sparsecalc.estimate.replay.step_costs import StepCosts


class ServerLog:
    """What a server did, step by step, as columns."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.seconds: list[float] = []
        """Of the step, or of the run of equal steps."""
        self.steps: list[int] = []
        self.decoding: list[int] = []
        """Sequences that get a token in each step."""
        self.stalled: list[int] = []
        """Sequences that wait for one while only prompts are computed."""
        self.used: list[float] = []
        """Share of the fullest rank's cache, at the end of the step or run."""


class Server:
    """Ranks that step together: the slowest one's seconds, and the experts of all their tokens.

    A run of equal decode steps is one event. Its seconds grow in a straight line with the context, so an arrival can
    end it at any step.
    """

    def __init__(self, ranks: list[Rank], costs: StepCosts, hands_over: bool = False) -> None:
        self.ranks, self.costs, self.hands_over = ranks, costs, hands_over
        self.until: float | None = None
        """Second at which what it does now is done; None: it is idle."""
        self.samples = ServerLog()
        self._decodes = False
        self._steps = 0
        self._begun, self._first, self._slope = 0.0, 0.0, 0.0
        self._gathers, self._gathered = False, 0

    def start(self, now: float) -> None:
        """Choose the next step, or run of steps, and when it is done."""
        left = self._still_gathering()
        self._gathers = left > 0
        parts = [[] if left else rank.schedule(now) for rank in self.ranks]
        self._begun, self._slope = now, 0.0
        if any(parts):
            self._decodes = all(rank.policy.mixes for rank in self.ranks)
            self._steps = 1
            self._first = self._seconds(0, parts, self._decodes)
        else:
            length = min(left or inf, *(rank.run_length() for rank in self.ranks))
            parts = [[] for _ in self.ranks]
            self._decodes = any(rank.decoding for rank in self.ranks)
            if not self._decodes:
                self.until = None
                return
            self._steps = int(length)
            self._first = self._seconds(0, parts, True)
            if self._steps > 1:
                last = self._seconds(self._steps - 1, parts, True)
                self._slope = max(0.0, last - self._first) / (self._steps - 1)
        self.until = now + self._after(self._steps)
        self._record(now)

    def _still_gathering(self) -> int:
        """Steps for which prompts may still be put off, until every copy has one; 0: they are computed now."""
        most = self.ranks[0].policy.gathering_steps
        if not most or len(self.ranks) == 1:
            return 0
        ready = sum(bool(rank.waiting) or rank.partial is not None for rank in self.ranks)
        if 0 < ready < len(self.ranks) and self._gathered < most and any(rank.decoding for rank in self.ranks):
            return most - self._gathered
        self._gathered = 0
        return 0

    def _seconds(self, ahead: int, parts: list[list[tuple[int, int]]], decodes: bool) -> float:
        """Seconds of the step that comes `ahead` steps from now."""
        if len(self.ranks) == 1:
            rank = self.ranks[0]
            decoding = rank.decoding if decodes else 0
            seconds, tokens = self.costs.local(decoding, rank.context + ahead * rank.yielded, parts[0])
            return (seconds + self.costs.experts.at(tokens)) * self.costs.factor(decoding, len(parts[0]))
        slowest, tokens, decoded = 0.0, 0, 0
        for rank, own in zip(self.ranks, parts, strict=True):
            decoding = rank.decoding if decodes else 0
            seconds, count = self.costs.local(decoding, rank.context + ahead * rank.yielded, own)
            slowest, tokens = max(slowest, seconds), tokens + count
            decoded += decoding
        return (slowest + self.costs.experts.at(tokens)) * self.costs.factor(decoded, sum(map(len, parts)))

    def _after(self, steps: int) -> float:
        """Seconds of the first `steps` steps of the run."""
        return steps * self._first + self._slope * steps * (steps - 1) / 2

    def interrupt(self, now: float) -> None:
        """End a run of decode steps at the first step that is done at `now` or later."""
        if self._steps <= 1 or self.until is None:
            return
        passed = max(0.0, now - self._begun)
        steps = passed / self._first
        if self._slope:
            half = self._first - self._slope / 2
            steps = (sqrt(half * half + 2 * self._slope * passed) - half) / self._slope
        kept = min(self._steps, max(1, int(steps) + (steps > int(steps) + 1e-9)))
        self._steps = kept
        self.until = self._begun + self._after(kept)
        self._amend()

    def finish(self, release: Callable[[int, float], None], hand_over: Callable[[int, float], None]) -> None:
        """The step or run is done: tokens are counted, requests end or begin to decode."""
        assert self.until is not None
        now = self.until
        self._gathered += self._steps if self._gathers else 0
        for rank in self.ranks:
            going, ended = rank.begin(now)
            if self._decodes and rank.decoding:
                ended += rank.advance(self._steps)
            if self.hands_over:
                for request in going:
                    rank.forget(request)
                    hand_over(request, now)
            else:
                rank.decode(going)
            for request in ended:
                release(request, now)
        self.until = None

    def _record(self, now: float) -> None:
        samples, ranks = self.samples, self.ranks
        decoding = sum(rank.decoding for rank in ranks)
        samples.at.append(now)
        samples.seconds.append(0.0)
        samples.steps.append(0)
        samples.decoding.append(decoding if self._decodes else 0)
        samples.stalled.append(0 if self._decodes else decoding)
        samples.used.append(0.0)
        self._amend()

    def _amend(self) -> None:
        """What the last sample says of the run as it is now."""
        samples, steps = self.samples, self._steps
        grows = steps if self._decodes else 0
        samples.seconds[-1], samples.steps[-1] = self._after(steps), steps
        samples.used[-1] = max([rank.used_after(grows) for rank in self.ranks])
