"""A deployment under a traffic: servers are set up, the replay is run, and its figures are taken."""

from functools import cached_property
from typing import Any

import numpy as np

from sparsecalc.core.frozen import Frozen
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.deployment import Deployment, Drafting
from sparsecalc.estimate.replay.policy import Limits, Policy
from sparsecalc.estimate.replay.rank import ROUNDING, Rank
from sparsecalc.estimate.replay.results import LoadAt, Quantiles, RequestTimes
from sparsecalc.estimate.replay.run import Fleet, Replay
from sparsecalc.estimate.replay.server import Server
from sparsecalc.estimate.replay.step_costs import StepCosts
from sparsecalc.estimate.replay.traffic import Lives, Traffic

Array = np.ndarray[Any, Any]
MOST_PROMPT_NODES = 64
TIMELINE_POINTS = 60


class Scene(Frozen):
    """What serves the requests."""

    deployed: Deployment
    limits: Limits
    policy: Policy
    drafting: Drafting | None = None
    replicas: int = 1
    """Servers beside each other, each with the deployment's devices."""
    prefill_replicas: int = 0
    """Servers that only compute prompts and hand their caches over to the `replicas`; 0: every server does both."""
    router: str = "least-loaded"
    prefix_hit_share: float = 0.0
    """Share of each prompt that a prefix cache holds."""

    @property
    def num_gpus(self) -> int:
        """Devices in all."""
        return self.deployed.placement.num_gpus * (self.replicas + self.prefill_replicas)


def costs_of(scene: Scene, traffic: Traffic) -> StepCosts:
    """The tables that a replay of the traffic reads; they serve any traffic with no longer requests."""
    limits, prompts, answers = scene.limits, traffic.prompt_tokens, traffic.output_tokens
    longest = traffic.longest
    sequences = min(limits.max_num_seqs, traffic.concurrency or traffic.requests)
    guesses = 1 + (scene.drafting.draft_tokens if scene.drafting else 0)
    chunk = limits.max_num_batched_tokens if scene.policy.splits_prompts else int(prompts.max() + answers.max())
    tokens = min(max(limits.max_num_batched_tokens, chunk), longest * sequences)
    distinct = np.unique(prompts)
    return StepCosts(
        scene.deployed,
        scene.drafting,
        most_tokens=max(tokens, sequences * guesses) + sequences * guesses,
        most_sequences=sequences,
        longest=longest,
        prompts=distinct.tolist() if len(distinct) <= MOST_PROMPT_NODES else (),
    )


class Served:
    """One replay that has been run. Raises nothing: a request that no cache could hold must be refused before."""

    def __init__(self, scene: Scene, traffic: Traffic, costs: StepCosts) -> None:
        self.scene, self.traffic, self.costs = scene, traffic, costs
        deployed = scene.deployed
        front = deployed.device.engine.first_token_seconds(traffic.prompt_tokens) * np.ones(traffic.requests)
        self.lives = Lives.of(traffic, scene.prefix_hit_share, front)
        copies = deployed.placement.dp
        together = copies if deployed.model.spec.mixtures else 1
        servers = scene.replicas * copies // together
        prefills = scene.prefill_replicas * copies // together
        workers = [self._server(together, False) for _ in range(servers)]
        heads = [self._server(together, True) for _ in range(prefills)]
        fleet = Fleet(
            servers=heads or workers,
            decoders=workers if heads else [],
            transfer_seconds_per_token=_transfer_seconds(deployed) if heads else 0.0,
            router=scene.router,
        )
        Replay(fleet, traffic, self.lives).run()
        self.servers = [*heads, *workers]

    def _server(self, ranks: int, hands_over: bool) -> Server:
        scene, costs = self.scene, self.costs
        own = [Rank(self.lives, scene.limits, scene.policy, costs.yielded, costs.guesses) for _ in range(ranks)]
        return Server(own, costs, hands_over)

    @cached_property
    def _columns(self) -> dict[str, Array]:
        lives = self.lives
        names = ("arrival", "front", "scheduled", "first", "last")
        return {name: np.array(getattr(lives, name)) for name in names}

    @cached_property
    def tpot(self) -> Array:
        """Seconds per output token after the first, of requests with more than one."""
        several = self.traffic.output_tokens > 1
        spans = (self._columns["last"] - self._columns["first"])[several]
        found: Array = spans / (self.traffic.output_tokens[several] - 1)
        return found

    @property
    def front(self) -> Array:
        """Seconds of each request before the engine has it."""
        return self._columns["front"]

    @cached_property
    def busy(self) -> Array:
        """For each request whether others are running when it arrives."""
        columns = self._columns
        came = columns["arrival"] + columns["front"]
        let_in, left = (np.searchsorted(np.sort(columns[name]), came, "right") for name in ("scheduled", "last"))
        found: Array = let_in - (columns["scheduled"] <= came) - left > 0
        return found

    @cached_property
    def to_client(self) -> Array:
        """Seconds that each first token waits for a busy server besides.

        An anchor multiplies the whole TTFT; what that adds is counted here.
        """
        engine, columns = self.scene.deployed.device.engine, self._columns
        wait, factor = engine.first_token_steps * self.itl.mean * self.busy, engine.first_token_factor(self.running)
        found: Array = factor * wait + (factor - 1) * (columns["first"] - columns["arrival"])
        return found

    @cached_property
    def running(self) -> float:
        """Requests that one server has in flight: the most of a closed loop, the mean of an open one; at least 1."""
        columns, replicas = self._columns, self.scene.replicas
        if self.traffic.concurrency:
            return max(1.0, min(self.traffic.concurrency, self.most_running) / replicas)
        return max(1.0, float((columns["last"] - columns["scheduled"]).sum()) / self.duration / replicas)

    @cached_property
    def ttft(self) -> Array:
        """Seconds to the first token of each request."""
        found: Array = self._columns["first"] - self._columns["arrival"] + self.to_client
        return found

    @cached_property
    def e2e(self) -> Array:
        """Seconds to the last token of each request."""
        found: Array = self._columns["last"] - self._columns["arrival"] + self.to_client
        return found

    @cached_property
    def queue(self) -> Array:
        """Seconds that each request waits until it is let in."""
        found: Array = self._columns["scheduled"] - self._columns["arrival"] - self._columns["front"]
        return np.where(found > ROUNDING, found, 0.0)

    @cached_property
    def inside(self) -> Array:
        """Seconds of each request from when it is let in to its last token."""
        found: Array = self._columns["last"] - self._columns["scheduled"]
        return found

    @property
    def duration(self) -> float:
        """Seconds from the start to the last token."""
        return float(self._columns["last"].max())

    @property
    def preemptions(self) -> int:
        """Requests that were put back into the queue, each time counted."""
        return sum(rank.preemptions for server in self.servers for rank in server.ranks)

    @property
    def peak(self) -> float:
        """Largest share of a cache in use."""
        return max(min(1.0, max(server.samples.used, default=0.0)) for server in self.servers)

    @property
    def most_running(self) -> int:
        """Most requests that decode, or wait for others' prompts, at once."""
        samples = (server.samples for server in self.servers)
        return sum(max(map(sum, zip(each.decoding, each.stalled, strict=True)), default=0) for each in samples)

    @cached_property
    def itl(self) -> Quantiles:
        """Seconds between two tokens of a request, over all tokens; a stall counts for the token that it delays."""
        gaps: list[Array] = []
        counts: list[Array] = []
        for server in self.servers:
            samples = server.samples
            seconds, steps = np.array(samples.seconds), np.array(samples.steps)
            decoding, stalled = np.array(samples.decoding), np.array(samples.stalled)
            if not decoding.any():
                continue
            waited = np.cumsum(np.where(stalled > 0, seconds, 0.0))
            at = np.flatnonzero(decoding)
            delay = np.diff(waited[at], prepend=0.0)
            each = seconds[at] / steps[at] / self.costs.yielded
            gaps += [each, each + delay / self.costs.yielded]
            delayed = np.minimum(np.concatenate(([0], stalled[:-1]))[at], decoding[at])
            counts += [decoding[at] * steps[at] - delayed, delayed]
        if not gaps:
            return Quantiles.of(np.array([]))
        return Quantiles.of(np.concatenate(gaps), np.concatenate(counts))

    def timeline(self) -> list[LoadAt]:
        """The servers at equally spaced moments."""
        moments = np.linspace(0, self.duration, TIMELINE_POINTS)
        came, let_in, left = (
            np.searchsorted(np.sort(self._columns[name]), moments, "right") for name in ("arrival", "scheduled", "last")
        )
        used = np.max([_used(server, moments) for server in self.servers], axis=0)
        return [
            LoadAt(
                seconds=float(moments[at]),
                running=int(let_in[at] - left[at]),
                waiting=int(came[at] - let_in[at]),
                kv_cache_usage=float(used[at]),
            )
            for at in range(TIMELINE_POINTS)
        ]

    def rows(self) -> list[RequestTimes]:
        """What became of each request."""
        tokens = self.traffic.output_tokens
        spans = (self._columns["last"] - self._columns["first"]) / np.maximum(tokens - 1, 1)
        return [
            RequestTimes(
                request=index,
                arrival_seconds=float(self._columns["arrival"][index]),
                prompt_tokens=int(self.traffic.prompt_tokens[index]),
                output_tokens=int(tokens[index]),
                queue_seconds=float(self.queue[index]),
                ttft_seconds=float(self.ttft[index]),
                tpot_seconds=float(spans[index]) if tokens[index] > 1 else None,
                e2e_seconds=float(self.e2e[index]),
            )
            for index in range(self.traffic.requests)
        ]


def _used(server: Server, moments: Array) -> Array:
    """Share of the fullest rank's cache at each moment."""
    samples = server.samples
    if not samples.at:
        return np.zeros(len(moments))
    place = np.searchsorted(samples.at, moments, "right") - 1
    busy = moments <= np.array(samples.at)[place] + np.array(samples.seconds)[place]
    found: Array = np.where((place >= 0) & busy, np.minimum(np.array(samples.used)[place], 1.0), 0.0)
    return found


def _transfer_seconds(deployed: Deployment) -> float:
    """Seconds of one token's cache over the network between nodes, each device sending its share."""
    ops = deployed.model.ops(Workload())
    held = ops.sum(lambda op: op.kv_elements_per_token * deployed.precision.kv_cache.bits_per_weight / 8)
    return held / deployed.placement.num_gpus / deployed.device.node_bytes_per_second
