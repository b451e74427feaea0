"""Explain a step: every kernel with its bytes, FLOPs, seconds, and what binds it."""

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import printable
from sparsecalc.decide.model_name import load_variant
from sparsecalc.decide.predict import Case, accelerators, refuse_what_does_not_fit
from sparsecalc.decide.question import Question
from sparsecalc.documents.explain import StepLine, StepReport
from sparsecalc.estimate.serving import prefill_step
from sparsecalc.estimate.step import Step
from sparsecalc.estimate.timing import KernelTime


def explain_step(name: str, topic: str, question: Question) -> StepReport:
    """The kernels of one decode step, or of the prefill of one prompt, on the first accelerator.

    Raises InputError without an accelerator, or where the weights do not fit on it.
    """
    if not question.gpu:
        raise InputError(f"explain {topic} needs --gpu", hint="Example: explain mixtral-8x7b decode --gpu h100-sxm")
    variant = load_variant(name, question.dtype, question.kv_cache_dtype)
    spec, load = variant.loaded.spec, question.load()
    case = Case(spec, variant.precision, question, accelerators(question)[0])
    refuse_what_does_not_fit(case, load)
    loop = case.loop(load, question)
    step = case.step([case.plain(load)]) if topic == "decode" else prefill_step(loop, case.step)
    device = f"{case.plan.num_gpus} x {case.gpu.id} ({case.plan.name}), engine {case.device.engine.id}"
    what = f"one step of {load.batch_size} sequences at a context of {load.context_len:,}"
    if topic == "prefill":
        what = f"one prompt of {loop.prompt_len:,} tokens, idle server"
    return StepReport(
        command="explain",
        inputs={**question.inputs([name]), "model": printable(name, 1000), "topic": topic},
        warnings=variant.loaded.warnings,
        model=spec.id,
        topic=topic,
        text=[
            f"{what} on {device}; counts are of the busiest device, for all its layers.",
            "seconds = layers * (t0 + ||(FLOPs / (ec * peak), bytes / (em * bandwidth))||_p); ec, em, t0 in the JSON.",
        ],
        lines=[_line(time, case, step) for time in step.times],
        seconds=step.seconds,
        seconds_low=step.seconds_low,
        seconds_high=step.seconds_high,
        by_bound=step.by_bound(),
    )


def _line(time: KernelTime, case: Case, step: Step) -> StepLine:
    kernel = time.kernel
    collective = case.device.collectives.get(kernel.family)
    constants = collective or case.device.of(kernel.family, kernel.form)
    return StepLine(
        name=kernel.name,
        component=kernel.component,
        group=kernel.group,
        layers=kernel.layers,
        flops=kernel.flops * kernel.layers,
        weight_bytes=kernel.weight_bytes * kernel.layers,
        cache_bytes=kernel.cache_bytes * kernel.layers,
        activation_bytes=(kernel.activation_bytes + kernel.vector_bytes) * kernel.layers,
        seconds=time.seconds,
        share=time.seconds / step.seconds,
        bound=max(time.parts, key=lambda name: time.parts[name]),
        compute_share=getattr(constants, "compute", 1.0),
        bandwidth_share=constants.bandwidth,
        overhead_seconds=constants.overhead_seconds,
        origin=constants.origin,
    )
