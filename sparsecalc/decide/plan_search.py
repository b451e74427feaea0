"""The search of a plan by the closed formula: what fits, and how fast it is at every number of replicas."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from sparsecalc.core.arrays import Number
from sparsecalc.core.errors import InputError
from sparsecalc.core.units import duration
from sparsecalc.core.workload import Workload
from sparsecalc.decide.capacity import engine_device, prompt_chunks
from sparsecalc.decide.deploy import deploy, lacking_formats
from sparsecalc.decide.engine_words import engine_release
from sparsecalc.decide.plan_layouts import layouts, powers, replica_counts
from sparsecalc.decide.plan_models import PublishedModel
from sparsecalc.decide.plan_question import PlanAsked
from sparsecalc.decide.run_commands import run_command
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.estimate.engine_memory.memory import EngineDevice
from sparsecalc.estimate.engine_memory.rules import engine_rules
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.prices import usd_per_hour, usd_per_million_tokens
from sparsecalc.estimate.serving import Copies, tpot_seconds
from sparsecalc.estimate.step import Step

LARGEST_SHARE = 4096
"""Requests in flight on one replica up to which a rate is tried."""

SLACK = 1.5
"""How far the closed formula may be over a target for a layout that the replay may still bring under it."""
SHORT_ANSWER = 64
"""Tokens of an answer below which the first one counts, so that its seconds are computed for themselves."""
ROOM = 1.05
"""Requests in flight over those that a rate makes by the formula, since its start and end are not counted there."""
MOST_BEYOND = 4
"""Devices of one replica over the least that hold the model with its requests, beyond the fast links."""


@dataclass(slots=True)
class PlanOption:
    """A layout with a number of replicas, and what the closed formula says of it."""

    checkpoint: PublishedModel
    gpu: Accelerator
    plan: Placement
    """The layout of one replica."""
    replicas: int
    concurrency: int
    """On one replica."""
    tpot_seconds: float
    idle_seconds: float
    """To the first token on an idle server."""
    tokens_per_second: float
    """Output tokens of all replicas."""
    num_gpus: int = field(init=False)
    """Accelerators of all replicas."""
    usd_per_hour: float | None = field(init=False)
    """Of all accelerators."""
    usd_per_million: float | None = field(init=False)
    """US dollars per million output tokens."""

    def __post_init__(self) -> None:
        self.num_gpus = self.plan.num_gpus * self.replicas
        self.usd_per_hour = usd_per_hour(self.gpu, self.num_gpus)
        self.usd_per_million = usd_per_million_tokens(self.usd_per_hour, 1 / self.tokens_per_second)

    @property
    def label(self) -> str:
        """`2 x 8 h200-sxm (tp 8)`: replicas, devices of each, accelerator, layout."""
        count = f"{self.replicas} x {self.plan.num_gpus}" if self.replicas > 1 else f"{self.plan.num_gpus}"
        return f"{count} {self.gpu.id}" + (f" ({self.plan.name})" if self.plan.num_gpus > 1 else "")


@dataclass(slots=True)
class NotHeld:
    """Layouts that hold no load: of which accelerator, why, how many, and what to say of it."""

    checkpoint: PublishedModel
    gpu: Accelerator
    reason: str
    count: int
    text: str


class Search:
    """All options of one published checkpoint on one accelerator.

    Layouts whose weights are too large are skipped first; then the engine's memory says how many requests each holds;
    then one evaluation of `tpot_seconds` serves every number of replicas of a layout at once.
    """

    def __init__(
        self, asked: PlanAsked, checkpoint: PublishedModel, gpu: Accelerator, other: "Search | None" = None
    ) -> None:
        """`other`: of another checkpoint on the same accelerator, which knows it already."""
        self.asked, self.checkpoint, self.gpu = asked, checkpoint, gpu
        self.left_out: list[NotHeld] = []
        variant = checkpoint.variant
        if other is None:
            self.base = deploy(variant.model, variant.precision, asked.question, gpu)
        else:
            self.base = replace(other.base, model=variant.model, precision=variant.precision)

        self.lacking = lacking_formats(self.base)
        """Formats that the accelerator has no units to multiply in."""

    def options(self, *, may_widen: bool) -> list[PlanOption]:
        """What fits; `left_out` has the rest.

        `may_widen`: weights that are stored in less than 16 bits may be multiplied in 16, as engines do; for a model
        that is published in nothing that the accelerator multiplies.
        """
        if self.lacking and (self.checkpoint.is_asked or not may_widen):
            self._leave("format", 1, f"{self.gpu.id} does not multiply {self.lacking[0].id}")
            return []
        plans = layouts(
            self.base.model.spec,
            self.asked.max_gpus,
            self.base.device.domain_size,
            fast_links=self.gpu.scale_up is not None,
        )
        plans = [plan for plan in plans if _has_options(self.asked.engine, plan)]
        found: list[PlanOption] = []
        for plan in sorted(plans, key=lambda plan: plan.num_gpus):
            if found and plan.num_gpus > max(self.base.device.domain_size, MOST_BEYOND * found[0].plan.num_gpus):
                break
            found += self._of(plan)
        if not found and not self.left_out:
            text = f"{self.gpu.id} does not hold {self.checkpoint.name} in {self.asked.max_gpus} devices or fewer"
            self._leave("memory", len(plans), text)
        return found

    def _leave(self, reason: str, count: int, text: str) -> None:
        self.left_out.append(NotHeld(self.checkpoint, self.gpu, reason, count, text))

    def _of(self, plan: Placement) -> list[PlanOption]:
        """The options of one layout: each number of replicas whose share of the requests it holds."""
        if self._known(plan).weights >= self.gpu.capacity_bytes:
            self._leave_memory(1)
            return []
        if self._is_hopeless(plan):
            return []
        device = self._device(plan)
        most, asked = self.asked.max_gpus // plan.num_gpus, self.asked
        if asked.rate:
            return list(self._at_rate(plan, device, replica_counts(most)))
        counts = [count for count in replica_counts(asked.max_gpus) if count <= (asked.concurrency or 1)]
        shares = {count: asked.share(count) for count in counts}
        held = [count for count in counts if count <= most and self._holds(device, shares[count])]
        self._leave_memory(sum(count <= most for count in counts) - len(held))
        if not held:
            return []
        tpots, idle = self._times(plan, list(shares.values()))  # of all: so layouts have their ledgers in common
        known, in_flight = dict(zip(counts, tpots, strict=True)), asked.concurrency or 1
        return [self._option(plan, count, shares[count], (known[count], idle), in_flight) for count in held]

    def _is_hopeless(self, plan: Placement) -> bool:
        """Whether weights alone, read at the data sheet's bandwidth, take far longer than the target of TPOT allows.

        Of the fewest requests that a replica can have; a step passes all stages, each with its part of the batch.
        """
        asked, most = self.asked, self.asked.max_gpus // plan.num_gpus
        if asked.tpot is None:
            return False
        fewest = 1 if asked.rate else asked.share(min(most, asked.concurrency or 1))
        read = self.checkpoint.read_bytes(-(-fewest // plan.pp)) / (plan.tp * plan.dp)
        least = read / self.gpu.memory_bytes_per_second
        if least <= SLACK * asked.tpot:
            return False
        text = (
            f"{plan.num_gpus} {self.gpu.id} ({plan.name}): reading the weights alone takes {duration(least)} per token"
        )
        self._leave("tpot", 1, text)
        return True

    def _leave_memory(self, count: int) -> None:
        if count:
            text = f"{self.gpu.id}: {self.checkpoint.name} with its requests does not fit"
            self._leave("memory", count, text)

    def _known(self, plan: Placement) -> EngineDevice:
        """The layout's memory on some accelerator: weights and caches are the same on all."""
        known = self.checkpoint.devices
        if plan not in known:
            found = engine_device(replace(self.base, placement=plan), self.asked.question)
            assert found is not None  # plans are for engines whose memory is modelled
            known[plan] = found
        return known[plan]

    def _device(self, plan: Placement) -> EngineDevice:
        """The layout's memory on this accelerator."""
        asked = self.asked.question
        share, options, release = asked.devices.device_memory_share, asked.engine_options, engine_release(asked.engine)
        return self._known(plan).under(engine_rules(self.asked.engine, self.gpu, plan, options, share, release))

    def _holds(self, device: EngineDevice, share: int) -> bool:
        return device.fits(self.asked.question.load.but(batch_size=share))

    def _times(self, plan: Placement, shares: list[int]) -> tuple[list[float], float]:
        """TPOT at each number of requests in flight, and the TTFT of an idle server, by the closed formula."""
        deployed, question = replace(self.base, placement=plan), self.asked.question
        requests, engine = question.requests, deployed.device.engine
        prompt = prompt_chunks(deployed, question, requests.prompt_len)
        at = np.array(shares, dtype=float) if len(shares) > 1 else shares[0]
        copies, seen = Copies.of(plan, deployed.model.spec, engine.id), list[Number]()

        def step(works: Sequence[Workload]) -> Step:
            found = deployed.step(works)
            seen.append(found.seconds)
            return found

        tpot = tpot_seconds(requests.but(concurrency=at), prompt, step, deployed.decode, copies=copies)
        if self.asked.ttft is not None or requests.output_len < SHORT_ANSWER:
            idle = deployed.prompt(prompt).seconds
        else:  # the steps with a chunk of the prompt that were just looked at, those of the fewest others
            idle = sum(np.min(each) for each in seen[1 :: 2 if copies.in_lockstep and plan.dp > 1 else 1])
        ttft = idle + engine.first_token_seconds(requests.prompt_len)
        return np.atleast_1d(tpot.seconds).tolist(), float(np.squeeze(ttft))

    def _option(
        self, plan: Placement, replicas: int, share: int, times: tuple[float, float], in_flight: float
    ) -> PlanOption:
        (tpot, idle), answer = times, self.asked.question.requests.output_len
        rate = in_flight * answer / (idle + (answer - 1) * tpot)
        return PlanOption(self.checkpoint, self.gpu, plan, replicas, share, tpot, idle, rate)

    def _at_rate(self, plan: Placement, device: EngineDevice, counts: list[int]) -> Iterator[PlanOption]:
        """The same under a rate: as many in flight on a replica as its share of the rate makes (Little's law)."""
        tried = powers(LARGEST_SHARE)
        shares = [share for share in tried if self._holds(device, share)]
        if not shares:
            self._leave_memory(len(counts))
            return
        tpots, idle = self._times(plan, tried)  # of all, as above
        tpots = tpots[: len(shares)]
        answer, rate = self.asked.question.requests.output_len, self.asked.rate or 0.0
        taken = np.maximum.accumulate(np.array(shares) / (idle + (answer - 1) * np.array(tpots)))
        for count in counts:
            if rate / count > taken[-1]:
                reached = count * float(taken[-1])
                text = f"{count} x {plan.num_gpus} {self.gpu.id} ({plan.name}) takes {reached:.3g} requests/s"
                self._leave("rate", 1, text)
                continue
            share = int(np.ceil(ROOM * np.interp(rate / count, taken, shares)))
            if not self._holds(device, share):
                self._leave_memory(1)
                continue
            tpot = float(np.interp(share, shares, tpots))
            yield self._option(plan, count, share, (tpot, idle), count * share)


@cache
def _has_options(engine: str, plan: Placement) -> bool:
    """Whether an engine has options for a layout."""
    try:
        run_command(engine, "model", tp=plan.tp, pp=plan.pp, dp=plan.dp, ep=plan.ep, is_moe=plan.ep > 1)
    except InputError:
        return False
    return True
