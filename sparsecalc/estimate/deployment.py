"""A model on devices: everything that stays the same from step to step, and the steps."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sparsecalc.core.arrays import Number
from sparsecalc.core.precision import Precision
from sparsecalc.core.routing import Routing
from sparsecalc.core.workload import Workload
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.estimate.host import host_default
from sparsecalc.estimate.load import Load
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.serving import accepted_tokens, prefill_step
from sparsecalc.estimate.step import Step, step_time
from sparsecalc.model.ledgers import Ledgers


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model in its formats on the devices of a placement, under an engine."""

    model: Ledgers
    precision: Precision
    gpu: Accelerator
    device: DeviceModel
    placement: Placement = field(default_factory=Placement)
    routing: Routing = field(default_factory=Routing)

    def step(self, works: Sequence[Workload], *, mixed: bool = False) -> Step:
        """Seconds of one step that computes these workloads together; `mixed`: and prompts beside them."""
        return step_time(self.model, works, self.precision, self.device, self.placement, mixed=mixed)

    def prompt(self, chunks: Sequence[Workload]) -> Step:
        """One prompt on an idle server: its chunks one after another.

        Where a model lies on llama.cpp's cards altogether, they work on chunks one behind the other: n chunks take
        (1 + (n - 1) s f) / n of the seconds, s the share of the layers on the busiest card, f stage_factor.
        """
        step, plan = prefill_step(chunks, self.step), self.placement
        if plan.cards == 1 or plan.tp > 1 or plan.places is None or plan.places.computes_on_host:
            return step
        count = sum(chunk.steps for chunk in chunks if chunk.new_tokens)
        slowest = min(1.0, plan.places.busiest_share * host_default("stage_factor"))
        return step.times_shorter(count / (1 + (count - 1) * slowest))

    def decode(self, context_len: Number, batch_size: Number, draft_tokens: int = 0) -> Workload:
        """One more token of each sequence, and `draft_tokens` guesses that are verified beside it."""
        return Workload(
            phase="decode",
            batch_size=batch_size,
            new_tokens=1 + draft_tokens,
            context_len=context_len + draft_tokens,
            routing=self.routing,
        )

    def decode_of(self, load: Load) -> Workload:
        """One more token of each sequence of a load."""
        return self.decode(load.context_len, load.batch_size)

    def joules_per_token_at_most(self, tokens_per_second: float) -> float | None:
        """Energy of a token with all devices at their TDP; None without a TDP."""
        watts = self.device.tdp_watts
        return watts * self.placement.num_gpus / tokens_per_second if watts else None


@dataclass(frozen=True, slots=True)
class Drafting:
    """Speculative decoding: guesses per step, the chance that each is accepted, and the model that makes them."""

    draft_tokens: int
    acceptance: float
    draft: Deployment | None = None
    """None: guesses cost nothing."""

    @property
    def accepted_tokens(self) -> float:
        """Expected tokens of one step."""
        return accepted_tokens(self.draft_tokens, self.acceptance)

    def draft_seconds(self, load: Load) -> float:
        """Seconds of the draft model's steps for one step of the model: one for each guess."""
        if self.draft is None:
            return 0.0
        return float(self.seconds(load.context_len, load.batch_size))

    def seconds(self, context_len: Number, batch_size: Number) -> Number:
        """The same of so many sequences at a context."""
        if self.draft is None:
            return 0.0
        return self.draft_tokens * self.draft.step([self.draft.decode(context_len, batch_size)]).seconds
