"""What an answer says of the host: its figures, and what must be known about it."""

from collections.abc import Iterator

from sparsecalc.core.notes import Note
from sparsecalc.core.units import duration, nbytes
from sparsecalc.decide.asked_host import HostAsked
from sparsecalc.estimate.deployment import Deployment
from sparsecalc.estimate.fit import DeviceMemory
from sparsecalc.estimate.host import host_default
from sparsecalc.estimate.host_results import HostPrediction
from sparsecalc.estimate.host_times import PAGES
from sparsecalc.estimate.load import Load
from sparsecalc.estimate.offload import host_bytes
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.results import Prediction
from sparsecalc.estimate.step import Step


def with_paging(deployed: Deployment, load: Load) -> Placement:
    """The placement of a deployment, with the share of what lies in host memory that a load has no room for there."""
    plan, host = deployed.placement, deployed.placement.host
    if host is None or not host.size_is_certain:
        return plan
    needed = DeviceMemory(deployed.model, deployed.precision, plan).on_host(load)
    short = max(0, host.shortage_bytes(needed))
    return plan.but(host=host.but(paged_share=short / needed)) if short else plan


def host_prediction(deployed: Deployment, load: Load, decode: Step) -> HostPrediction | None:
    """The host's part of a prediction; None where nothing is said of a host and nothing lies there."""
    plan, host = deployed.placement, deployed.placement.host
    if host is None or plan.places is None:
        return None
    held = DeviceMemory(deployed.model, deployed.precision, plan).on_host(load)
    weights = host_bytes(deployed.model, deployed.precision, plan)
    layers_there = plan.places.gpu_layers < plan.places.layers
    return HostPrediction(
        name=host.name,
        cpu=host.device.accelerator if host.device else "",
        cores=host.cores,
        threads=host.threads,
        memory_bytes_per_second=host.memory_bytes_per_second,
        link_bytes_per_second=host.link_bytes_per_second,
        capacity_bytes=host.capacity_bytes,
        usable_bytes=host.usable_bytes,
        weights_bytes=weights,
        kv_cache_bytes=held - weights,
        gpu_layers=plan.places.gpu_layers,
        num_layers=plan.places.layers,
        expert_layers_on_host=plan.places.visits - layers_there,
        paged_bytes=max(0, host.shortage_bytes(held)),
        paged_seconds_per_token=sum(time.seconds for time in decode.times if time.kernel.name == PAGES),
    )


def is_paged(prediction: Prediction) -> bool:
    """Whether the devices hold their part, and what is wanting is host memory: then it runs, from disk."""
    held, room = prediction.bytes_per_gpu, prediction.capacity_bytes * prediction.device_memory_share
    return prediction.host is not None and prediction.host.paged_bytes > 0 and held <= room


def host_notes(deployed: Deployment, found: HostPrediction | None, asked: HostAsked) -> list[Note]:
    """What was assumed of the host, options and patterns that change nothing, and memory that is too small."""
    model = deployed.model.spec.id
    if deployed.gpu.kind == "cpu" and asked.places_layers:
        text = f"{deployed.gpu.id} is a CPU without a device beside it: -ngl, -ncmoe, -ot, -sm and -ts change nothing"
        return [Note(code="host", text=text, model=model)]
    return [Note(code=code, text=text, model=model) for code, text in _notes(deployed, found, asked)]


def _notes(deployed: Deployment, found: HostPrediction | None, asked: HostAsked) -> Iterator[tuple[str, str]]:
    plan, host = deployed.placement, deployed.placement.host
    if asked.n_cpu_moe and not deployed.model.spec.mixtures:
        yield "host", f"{deployed.model.spec.id} has no experts: -ncmoe and -cmoe change nothing"
    if found is None or host is None or plan.places is None:
        return
    for pattern in plan.places.unmatched:
        yield "override-unmatched", f"-ot {pattern} matches no tensor of {deployed.model.spec.id}: it changes nothing"
    if not plan.places.computes_on_host:
        return
    yield from (("host", text) for text in host.notes)
    if found.paged_bytes:
        held, room = found.weights_bytes + found.kv_cache_bytes, found.usable_bytes or 0
        text = f"{nbytes(held)} lie in host memory, which has {nbytes(room)} for them: {nbytes(found.paged_bytes)}"
        disk = f"{host_default('disk_bytes_per_second') / 1e9:g} GB/s (data/host.json)"
        if host.size_is_certain:
            text += (
                f" are read from disk as they are used, at {disk} {duration(found.paged_seconds_per_token)} per token"
            )
        else:
            cpu = host.name.partition(",")[0]
            text += f" would be read from disk, at {disk}; the seconds are those of a host that holds it all"
            text += f". Say how much this one has: --host {cpu},1024g"
        yield "host-memory", text
