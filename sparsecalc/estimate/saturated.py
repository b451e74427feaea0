"""A server that is never idle: as many sequences as it holds, a new one beside the others for each that ends."""

from collections.abc import Iterator

from sparsecalc.core.arrays import Number, least, most
from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.deployment import Deployment
from sparsecalc.estimate.load import Requests
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.step import Step
from sparsecalc.model.spec import ModelSpec


def mean_step(deployed: Deployment, requests: Requests) -> Step:
    """The mean step of `concurrency` (c) running sequences of P prompt and N output tokens whose ends are spread out.

        c sequences with one more token each, at their mean context P + N / 2,
        beside the prompts of c / N new ones; of less than one prompt its share, at its mean context

    Lengths and concurrency may be arrays that broadcast.
    """
    prompt, output, running = requests.prompt_len, requests.output_len, requests.concurrency
    started = running / output
    share = least(started, 1.0)
    prompts = Workload(
        batch_size=most(started, 1.0),
        new_tokens=share * prompt,
        context_len=prompt * (1 + share * (started < 1)) / (1 + (started < 1)),
        logits="last",
        routing=deployed.routing,
    )
    decode = deployed.decode(prompt + output // 2, running).but(logits="last")
    return deployed.step([decode, prompts])


def output_tokens_per_second(requests: Requests, step: Step) -> Number:
    """Tokens that all devices of the placement yield: every running sequence has one for each step."""
    return requests.concurrency / step.seconds


def plausible_placements(spec: ModelSpec, devices: int) -> Iterator[Placement]:
    """Ways to split a model over 1, 2, 4,... of the devices: tensor, pipeline, both, experts with copied attention."""
    for plan in _placements(spec, devices):
        try:
            plan.check_against(spec)
        except InputError:  # so many ways do not divide its heads, layers or experts
            continue
        yield plan


def _placements(spec: ModelSpec, devices: int) -> Iterator[Placement]:
    yield Placement()
    group = 2
    while group <= devices:
        yield Placement(tp=group)
        yield Placement(tp=group // 2, pp=2)
        if spec.mixtures:
            yield Placement(tp=group, ep=group)
            yield Placement(dp=group, ep=group)
        group *= 2
