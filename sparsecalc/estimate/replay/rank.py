"""One copy of the attention under a scheduler: who waits, whose prompt is computed, who decodes, what is held."""

from collections import deque
from heapq import heappop, heappush
from math import ceil, inf

from sparsecalc.estimate.replay.policy import Limits, Policy
from sparsecalc.estimate.replay.traffic import Lives

ROUNDING = 1e-9
"""Shares of the cache that add up to it may be this far above."""


class Rank:
    """The requests of one copy. Each step of decoding makes `yielded` tokens of every sequence that decodes."""

    def __init__(self, lives: Lives, limits: Limits, policy: Policy, yielded: float, guesses: int) -> None:
        self.lives, self.limits, self.policy = lives, limits, policy
        self.yielded, self.rows = yielded, 1 + guesses
        self.waiting: deque[int] = deque()
        self.partial: int | None = None
        self.starting: list[int] = []
        self.decoding, self.tokens, self.to_come = 0, 0.0, 0.0
        self.clock, self.steps, self.preemptions = 0, 0, 0
        self.used, self.growth = 0.0, 0.0
        self._ends: list[tuple[int, int, int]] = []
        self._order: list[tuple[int, int]] = []
        self._admissions = 0
        self._epoch: dict[int, int] = {}
        self._begun: dict[int, int] = {}

    @property
    def running(self) -> int:
        """Requests that have been let in."""
        return self.decoding + (self.partial is not None) + len(self.starting)

    @property
    def context(self) -> float:
        """Mean tokens that a decoding sequence sees in the next step."""
        return self.tokens / self.decoding + 1 if self.decoding else 0.0

    @property
    def is_full(self) -> bool:
        """Whether a request that comes now has to wait for another to end."""
        return bool(self.waiting) or self.running >= self.limits.max_num_seqs

    def schedule(self, now: float) -> list[tuple[int, int]]:
        """Let requests in and choose the chunks of the next step: (new tokens, tokens before them) each."""
        self.steps += 1
        if self.partial is None and not self.waiting:
            return []
        mixed = self.policy.mixes and self.decoding > 0
        if mixed:
            self._make_room()
        self.growth = self._per_step if mixed else 0.0
        budget = self.limits.max_num_batched_tokens - (self.decoding * self.rows if mixed else 0)
        parts: list[tuple[int, int]] = []
        if self.partial is not None:
            budget = self._compute(self.partial, budget, parts)
        while budget > 0 and self.waiting and self.partial is None and self.running < self.limits.max_num_seqs:
            request = self.waiting[0]
            if (parts and self._must_wait(request, budget)) or not self._has_room(request):
                break
            self.waiting.popleft()
            self._let_in(request, now)
            if self.lives.ready[request]:
                self._decode(request)
                continue
            budget = self._compute(request, budget, parts)
        return parts

    def _must_wait(self, request: int, budget: int) -> bool:
        """Whether a prompt that is not split exceeds what is left of a step; one that is alone enters anyway."""
        lives = self.lives
        return not self.policy.splits_prompts and self._whole(request) - lives.hits[request] > budget

    def _whole(self, request: int) -> int:
        """Tokens to compute before a request decodes: its prompt, and what it had made when it was put back."""
        return self.lives.prompt[request] + ceil(self.lives.made[request])

    def _has_room(self, request: int) -> bool:
        """Whether the cache holds the prompt, and what the policy reserves of the answers to come."""
        lives, pool = self.lives, self.limits.pool
        made, answer = ceil(lives.made[request]), lives.output[request]
        needed = pool.token_share * (lives.prompt[request] - lives.hits[request] + made)
        needed += pool.at_admission(lives.prompt[request] + answer)
        if share := self.policy.reserved(self.steps):
            needed += share * pool.token_share * (self.to_come + answer - made)
        return self.used + self.growth + needed <= 1 + ROUNDING or not self.running

    def _let_in(self, request: int, now: float) -> None:
        lives, pool = self.lives, self.limits.pool
        if lives.scheduled[request] < 0:
            lives.scheduled[request] = now
        held = self._whole(request) - lives.ready[request]
        self.used += pool.at_admission(lives.prompt[request] + lives.output[request])
        self.used += pool.token_share * (held - lives.hits[request])
        self.to_come += lives.output[request] - lives.made[request]
        self._admissions += 1
        self._epoch[request] = self._admissions
        self._order.append((request, self._epoch[request]))
        lives.computed[request] = held if lives.ready[request] else lives.hits[request]

    def _compute(self, request: int, budget: int, parts: list[tuple[int, int]]) -> int:
        """The next chunk of a request; what is left of the budget."""
        lives = self.lives
        past = lives.computed[request]
        left = self._whole(request) - past
        new = min(left, budget) if self.policy.splits_prompts else left
        if new <= 0:
            return 0
        parts.append((new, past))
        lives.computed[request] = past + new
        if new == left:
            self.starting.append(request)
            self.partial = None
        else:
            self.partial = request
        return budget - new

    def advance(self, steps: int) -> list[int]:
        """So many steps of decoding are done; the requests that have ended."""
        self.clock += steps
        made = steps * self.yielded * self.decoding
        self.tokens += made
        self.to_come -= made
        self.used += self.limits.pool.token_share * made
        ended = []
        while self._ends and self._ends[0][0] <= self.clock:
            _, epoch, request = heappop(self._ends)
            if self._epoch.get(request) == epoch:
                self._leave(request)
                ended.append(request)
        return ended

    def begin(self, now: float) -> tuple[list[int], list[int]]:
        """Requests whose prompts are done make their first tokens: those that decode on, and those that have ended."""
        going, ended = [], []
        for request in self.starting:
            if self.lives.first[request] < 0:
                self.lives.first[request] = now
            self.lives.made[request] += 1
            self.to_come -= 1
            if self.lives.output[request] <= self.lives.made[request]:
                self.forget(request)
                ended.append(request)
            else:
                going.append(request)
        self.starting = []
        return going, ended

    def decode(self, requests: list[int]) -> None:
        """Requests with whole prompts decode from the next step on."""
        for request in requests:
            self._decode(request)

    def _decode(self, request: int) -> None:
        lives = self.lives
        self._begun[request] = self.clock
        self.decoding += 1
        self.tokens += lives.computed[request]
        steps = max(1, ceil((lives.output[request] - lives.made[request]) / self.yielded - ROUNDING))
        heappush(self._ends, (self.clock + steps, self._epoch[request], request))

    def _decoded(self, request: int) -> float:
        """Tokens that a decoding request has made since it was let in."""
        return (self.clock - self._begun[request]) * self.yielded

    def _leave(self, request: int) -> None:
        """Take a decoding request out of the batch."""
        decoded = self._decoded(request)
        held = self.lives.computed[request] + decoded
        self.decoding -= 1
        self.tokens = self.tokens - held if self.decoding else 0.0
        self._release(request, held, decoded)

    def forget(self, request: int) -> None:
        """Take a request out that has only its prompt: it has ended, or decodes elsewhere."""
        self._release(request, self.lives.computed[request])

    def _release(self, request: int, held: float, decoded: float = 0.0) -> None:
        """Free the cache of a request that holds so many tokens; with nobody left, what rounding has left goes too."""
        lives, pool = self.lives, self.limits.pool
        self.to_come -= lives.output[request] - lives.made[request] - decoded
        self.used -= pool.token_share * (held - lives.hits[request])
        self.used -= pool.at_admission(lives.prompt[request] + lives.output[request])
        del self._epoch[request]
        if not self._epoch:
            self.used = self.to_come = 0.0

    def run_length(self) -> float:
        """Steps of decoding before anything changes: an end, a full cache, a context twice as long."""
        self._make_room()
        if not self.decoding:
            return inf
        while self._ends and self._epoch.get(self._ends[0][2]) != self._ends[0][1]:
            heappop(self._ends)
        longest = self._ends[0][0] - self.clock
        if self._per_step and self.running > 1:
            longest = min(longest, int((1 + ROUNDING - self.used) / self._per_step))
        return max(1, min(longest, int(self.context / self.yielded) + 64))

    @property
    def _per_step(self) -> float:
        """Share of the cache that one step of decoding fills."""
        return self.limits.pool.token_share * self.yielded * self.decoding

    def used_after(self, steps: int) -> float:
        """Share of the cache that is in use once so many steps of decoding are done."""
        return self.used + steps * self._per_step

    def _make_room(self) -> None:
        """Preempt until the next step of decoding fits, as long as another request is left."""
        while self.decoding and self.used + self._per_step > 1 + ROUNDING and self.running > 1:
            self._preempt()

    def _preempt(self) -> None:
        """The request that was let in last goes back to the head of the queue; all its tokens are computed anew."""
        while self._order:
            request, epoch = self._order.pop()
            if self._epoch.get(request) == epoch:
                break
        self.preemptions += 1
        if request == self.partial:
            self.partial = None
            self._release(request, self._whole(request))
        else:
            decoded = self._decoded(request)
            self._leave(request)
            self.lives.made[request] += decoded
        self.lives.ready[request] = False
        self.waiting.appendleft(request)
