"""What llama-bench would measure: tokens per second of prompts and of decoding, from any depth of the context."""

from sparsecalc.core.bench_tests import BenchTest
from sparsecalc.core.precision import Precision
from sparsecalc.decide.capacity import HeldMemory, prompt_chunks
from sparsecalc.decide.deploy import deploy, drafting
from sparsecalc.decide.llama import is_llama
from sparsecalc.decide.question import Question
from sparsecalc.documents.show import TestTime
from sparsecalc.estimate.deployment import Deployment, Drafting
from sparsecalc.estimate.serving import prefill_step, together
from sparsecalc.estimate.step import Step
from sparsecalc.model.ledgers import Ledgers

SLICES = 8
"""Equal parts of an answer, at whose middle contexts its steps are taken: they grow nearly linearly with it."""


def test_times(model: Ledgers, precision: Precision, question: Question) -> list[TestTime]:
    """Every test that a question asks for, on each of its accelerators."""
    found: list[TestTime] = []
    for gpu in question.devices.accelerators:
        deployed = deploy(model, precision, question, gpu)
        capacity, draft = HeldMemory(deployed, question), drafting(question, deployed)
        found += [timed_test(deployed, question, draft, test, capacity) for test in question.tests]
    return found


def timed_test(
    deployed: Deployment, question: Question, draft: Drafting | None, test: BenchTest, capacity: HeldMemory
) -> TestTime:
    """Prompts come one after another, as engines compute them; answers grow together."""
    batch: int = question.load.batch_size
    parts: list[tuple[int, Step]] = []
    if test.prompt_len:
        chunks = prompt_chunks(deployed, question, test.prompt_len, test.depth)
        parts.append((batch, prefill_step(chunks, deployed.step)))
    if test.output_len:
        steps, first = -(-test.output_len // SLICES), test.depth + test.prompt_len
        for start in range(0, test.output_len, steps):
            count = min(steps, test.output_len - start)
            step = _decoded(deployed, draft, first + start + (count + 1) // 2, batch)
            parts.append((count, step))
    whole = together(parts)
    tokens = batch * (test.prompt_len + test.output_len)
    return TestTime(
        accelerator=deployed.gpu.id,
        num_gpus=deployed.placement.num_gpus,
        engine=deployed.device.engine.id,
        backend=deployed.device.engine.backend,
        gpu_layers=_gpu_layers(deployed),
        batch_size=batch,
        test=test.name,
        **vars(test),
        fits=capacity.fits(question.load.but(context_len=test.context_len)),
        seconds=whole.seconds,
        tokens_per_second=tokens / whole.seconds,
        tokens_per_second_low=tokens / whole.seconds_high,
        tokens_per_second_high=tokens / whole.seconds_low,
        bound=whole.bound,
    )


def _gpu_layers(deployed: Deployment) -> int | None:
    """Layers on devices as llama.cpp counts them."""
    if not is_llama(deployed) or deployed.gpu.kind == "cpu":
        return None
    places = deployed.placement.places
    return places.gpu_layers if places else deployed.model.spec.num_hidden_layers + 1


def _decoded(deployed: Deployment, draft: Drafting | None, context_len: int, batch: int) -> Step:
    """A step per token of each sequence: with speculation what a step and its drafts take for each accepted token."""
    if draft is None:
        return deployed.step([deployed.decode(context_len, batch)])
    step = deployed.step([deployed.decode(context_len, batch, draft.draft_tokens)])
    seconds = step.seconds + draft.seconds(context_len, batch)
    return Step(step.times, seconds / draft.accepted_tokens, step.spread)
