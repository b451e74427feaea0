"""The replay itself: arrivals, servers and a router under one clock."""

from heapq import heappop, heappush

from sparsecalc.core.frozen import Frozen
from sparsecalc.estimate.replay.rank import Rank
from sparsecalc.estimate.replay.server import Server
from sparsecalc.estimate.replay.traffic import Lives, Traffic

WAITING_WEIGHT, HALF_FULL = 6.0, 0.5
"""A waiting request counts the more, the fuller the cache is. Source: vLLM 0.33.0 v1/engine/core_client.py."""


class Fleet(Frozen):
    """Servers that take requests, and those that prompts are handed over to once they are computed."""

    servers: list[Server]
    decoders: list[Server]
    transfer_seconds_per_token: float = 0.0
    """Of a prompt's cache on its way from one to the other."""
    router: str = "least-loaded"


class Replay:
    """One run of a fleet under a traffic. `run` fills `lives`."""

    def __init__(self, fleet: Fleet, traffic: Traffic, lives: Lives) -> None:
        self.fleet, self.traffic, self.lives = fleet, traffic, lives
        self.events: list[tuple[float, int, int]] = []
        self.all = [*fleet.servers, *fleet.decoders]
        self._targets = [(server, rank) for server in fleet.servers for rank in server.ranks]
        self._decode_targets = [(server, rank) for server in fleet.decoders for rank in server.ranks]
        self._routed = 0
        self._arrivals: list[tuple[float, int, bool]] = []
        self._issued = 0
        self._idle: set[int] = set()
        self._index = {id(server): index for index, server in enumerate(self.all)}

    def run(self) -> None:
        """Until every request is answered."""
        self._open()
        while self._arrivals or self.events:
            if not self.events or (self._arrivals and self._arrivals[0][0] <= self.events[0][0]):
                self._arrive()
            else:
                self._finish()
            if self._idle and not (self._arrivals and self._arrivals[0][0] <= self.now):
                self._start_idle()

    def _open(self) -> None:
        """The requests of an open loop come one by one; those of a closed loop's burst at once."""
        self.now = 0.0
        closed = self.traffic.concurrency
        first = 1 if closed is None else min(closed, self.traffic.requests)
        for _ in range(first):
            self._issue(0.0)

    def _issue(self, now: float) -> None:
        """The next request: at its own second, or now in a closed loop."""
        request = self._issued
        if request == self.traffic.requests:
            return
        self._issued += 1
        if self.traffic.concurrency is not None:
            self.lives.arrival[request] = now
        at = self.lives.arrival[request] + self.lives.front[request]
        heappush(self._arrivals, (max(now, at), request, False))  # none overtakes another on its way in

    def _arrive(self) -> None:
        now, request, handed = heappop(self._arrivals)
        self.now = now
        if not handed and self.traffic.concurrency is None:
            self._issue(now)
        server, rank = self._route(self._decode_targets if handed else self._targets)
        was_full = rank.is_full
        rank.waiting.append(request)
        if server.until is None:
            self._idle.add(self._index[id(server)])
        elif not was_full:
            before = server.until
            server.interrupt(now)
            if server.until != before:
                heappush(self.events, (server.until, self._index[id(server)], len(server.samples.at)))

    def _route(self, targets: list[tuple[Server, Rank]]) -> tuple[Server, Rank]:
        """Requests go to the least loaded copy, or to each in turn."""
        count = len(targets)
        if count == 1:
            return targets[0]
        self._routed += 1
        if self.fleet.router == "round-robin":
            return targets[self._routed % count]
        turn = self._routed % count
        order = targets[turn:] + targets[:turn]
        return min(order, key=lambda target: _load(target[1]))

    def _finish(self) -> None:
        at, index, sample = heappop(self.events)
        server = self.all[index]
        if server.until != at or sample != len(server.samples.at):
            return
        self.now = at
        server.finish(self._release, self._hand_over)
        self._idle.add(index)

    def _release(self, request: int, now: float) -> None:
        self.lives.last[request] = now
        if self.traffic.concurrency is not None:
            self._issue(now)

    def _hand_over(self, request: int, now: float) -> None:
        """The cache of a prompt goes to a server that decodes."""
        self.lives.ready[request] = True
        seconds = self.fleet.transfer_seconds_per_token * self.lives.prompt[request]
        heappush(self._arrivals, (now + seconds, request, True))

    def _start_idle(self) -> None:
        for index in sorted(self._idle):
            server = self.all[index]
            if server.until is None:
                server.start(self.now)
                if server.until is not None:
                    heappush(self.events, (server.until, index, len(server.samples.at)))
        self._idle.clear()


def _load(rank: Rank) -> float:
    """How loaded a copy looks to a router: waiting + running + 6 waiting max(0, share of the cache in use - 1/2)."""
    waiting = len(rank.waiting)
    return waiting + rank.running + WAITING_WEIGHT * waiting * max(0.0, rank.used - HALF_FULL)
