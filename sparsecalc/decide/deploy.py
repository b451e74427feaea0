"""A model on the accelerators of a question, and what must be known about it there."""

from dataclasses import replace

from sparsecalc.core.errors import InputError
from sparsecalc.core.notes import Note
from sparsecalc.core.number_format import NumberFormat
from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.decide.anchored import anchored
from sparsecalc.decide.asked_host import HostAsked
from sparsecalc.decide.asked_parts import Offload
from sparsecalc.decide.host import on_threads
from sparsecalc.decide.host_report import with_paging
from sparsecalc.decide.model_name import load_variant
from sparsecalc.decide.multi_token_prediction import prediction_drafts
from sparsecalc.decide.placement import placement_on
from sparsecalc.decide.question import Question, routing_of
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.device.assemble import device_model
from sparsecalc.estimate.deployment import Deployment, Drafting
from sparsecalc.estimate.kernel import Setting
from sparsecalc.model.ledgers import Ledgers


def deploy(model: Ledgers, precision: Precision, question: Question, gpu: Accelerator) -> Deployment:
    """A model on one of the question's accelerators. Raises InputError where it cannot be split as is asked."""
    device = device_model(gpu, question.engine)
    if question.engine_options.enforce_eager:
        device = device.but(engine=device.engine.in_eager_mode())
    if gpu.kind == "cpu" and question.parallelism.host.threads:
        device = on_threads(device, gpu.sm_count, gpu.sm_count, question.parallelism.host.threads)
    plan = placement_on(model.spec, question.parallelism, gpu, device)
    device = anchored(device, question.devices.anchor, model, precision, plan, question.requests.prompt_len)
    deployed = Deployment(model, precision, gpu, device, plan, routing_of(model.spec, question))
    return replace(deployed, placement=with_paging(deployed, question.load)) if plan.host else deployed


def drafting(question: Question, deployed: Deployment) -> Drafting | None:
    """The speculation that is asked for, the draft model on the same devices; None where there is none."""
    asked = question.speculative
    if asked.mtp:
        return prediction_drafts(deployed, asked)
    if not asked.draft_tokens:
        return None
    draft = None
    if asked.draft_model:
        variant = load_variant(asked.draft_model)
        parallelism = question.parallelism.but(ep=None, offload=Offload(), host=HostAsked())
        alone = question.but(parallelism=parallelism, routing="uniform")
        draft = deploy(variant.model, variant.precision, alone, deployed.gpu)
    return Drafting(asked.draft_tokens, asked.acceptance or 0.0, draft)


def lacking_formats(deployed: Deployment) -> list[NumberFormat]:
    """Formats of the weights that the device has no units to multiply in."""
    if deployed.device.engine.quantized_products:  # its own kernels multiply whatever is stored
        return []
    peaks = deployed.device.peak_flops_per_second
    formats = deployed.precision.formats(deployed.model.ops(Workload()))
    return [fmt for fmt in formats.values() if fmt.compute and fmt.compute_needs not in peaks]


def format_warnings(deployed: Deployment, requested: bool) -> list[Note]:
    """Formats that the device cannot multiply: refused where asked for, else widened to 16 bits with a warning."""
    peaks, lacking = deployed.device.peak_flops_per_second, lacking_formats(deployed)
    if not lacking:
        return []
    first = lacking[0]
    text = f"{deployed.gpu.id} has no {first.compute_needs} units for {first.id}"
    if requested and first.compute == first.compute_needs:
        usable = "int4, int8" + (", fp8" if "fp8" in peaks else "")
        raise InputError(text, hint=f"Formats that it can use: bf16, {usable}")
    wide = f"{text}: weights stay in {first.id} and are multiplied in 16 bits"
    return [Note(code="format-widened", text=wide, model=deployed.model.spec.id)]


def speedup_warnings(deployed: Deployment, question: Question) -> list[Note]:
    """Sparse weights whose kernel was not measured on this device and format: where their speed-up comes from."""
    rows = deployed.model.ops(deployed.decode_of(question.load))
    sparse = next((op for op in rows if op.storage), None)
    if sparse is None:
        return []
    device = deployed.device
    setting = Setting.of(deployed.precision, deployed.placement, device)
    speedup = setting.sparse_speedup(sparse)
    if speedup.measured:
        return []
    reached = f"{speedup.value:.2f}x comes from {speedup.source}"
    text = f"{sparse.technique} was not measured on {deployed.gpu.id} for this: {reached}"
    return [Note(code="speedup-not-measured", text=text, model=deployed.model.spec.id)]


def device_warnings(deployed: Deployment) -> list[Note]:
    """What the time model does not know of the device."""
    device, gpu = deployed.device, deployed.gpu.id
    notes = [Note(code="detected", text=deployed.gpu.detected)] if deployed.gpu.detected else []
    notes += [Note(code="default-constants", text=f"{gpu}: {text}") for text in device.notes]
    if device.anchor_note:
        notes.append(Note(code="anchor", text=f"{gpu}: {device.anchor_note}", model=deployed.model.spec.id))
    return notes
