"""Explain a step: every kernel with its bytes, FLOPs, seconds, and what binds it."""

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import printable
from sparsecalc.decide.capacity import prompt_chunks
from sparsecalc.decide.deploy import deploy, device_warnings
from sparsecalc.decide.model_name import load_variant
from sparsecalc.decide.predict import refuse_what_does_not_fit
from sparsecalc.decide.question import Question
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.documents.explain_step import StepLine, StepReport
from sparsecalc.estimate.step import Step
from sparsecalc.estimate.timing import KernelTime


def explain_step(name: str, topic: str, question: Question) -> StepReport:
    """The kernels of one decode step, or of the prefill of one prompt, on the first accelerator.

    Raises InputError without an accelerator, or where the weights do not fit on it.
    """
    if not question.hardware:
        raise InputError(f"explain {topic} needs --gpu", hint="Example: explain mixtral-8x7b decode --gpu h100-sxm")
    variant = load_variant(name, question.formats.dtype, question.formats.kv_cache_dtype)
    load, requests = question.load, question.requests
    deployed = deploy(variant.model, variant.precision, question, question.hardware.accelerators[0])
    refuse_what_does_not_fit(deployed, question)
    if topic == "decode":
        step = deployed.step([deployed.decode_of(load)])
        what = f"one step of {load.batch_size} sequences at a context of {load.context_len:,}"
    else:
        step = deployed.prompt(prompt_chunks(deployed, question, requests.prompt_len))
        what = f"one prompt of {requests.prompt_len:,} tokens, idle server"
    plan = deployed.placement
    device = f"{plan.num_gpus} x {deployed.gpu.id} ({plan.name}), engine {deployed.device.engine.id}"
    return StepReport(
        command="explain",
        inputs={**question.inputs([name]), "model": printable(name, 1000), "topic": topic},
        warnings=[*variant.loaded.warnings, *device_warnings(deployed)],
        model=variant.loaded.spec.id,
        topic=topic,
        text=[
            f"{what} on {device}; counts are of the busiest device, for all its layers.",
            "seconds = layers * (t0 + ||(FLOPs / (ec * peak), bytes / (em * bandwidth))||_p); ec, em, t0 in the JSON.",
        ],
        lines=[_line(time, deployed.device, step) for time in step.times],
        seconds=step.seconds,
        seconds_low=step.seconds_low,
        seconds_high=step.seconds_high,
        by_bound=step.by_bound(),
    )


def _line(time: KernelTime, device: DeviceModel, step: Step) -> StepLine:
    kernel = time.kernel
    collective = device.collectives.get(kernel.family)
    constants = collective or device.of(kernel.family, kernel.form)
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
