"""What would make a model fit on too small a device: more of them, fewer bits, a shorter context, host memory."""

from dataclasses import replace

from sparsecalc.core.largest import largest_that_fits
from sparsecalc.decide.advice import llama_advice
from sparsecalc.decide.asked_parts import Offload
from sparsecalc.decide.capacity import HeldMemory
from sparsecalc.decide.deploy import deploy
from sparsecalc.decide.fit_question import fit_table
from sparsecalc.decide.fit_search import Found, Tried, attempt, fewest, smallest_usable
from sparsecalc.decide.llama import is_llama
from sparsecalc.decide.question import Question
from sparsecalc.documents.fit import Remedy

SHORTEST_CONTEXT = 512
"""Tokens below which a context is of no use."""
STEPS = 100
"""Shares of experts that are tried: in hundredths."""


def remedies(found: Found, question: Question) -> list[Remedy]:
    """Each change that alone makes the load fit, of a model that does not fit on so many devices."""
    asks = question.but(engine=found.engine)
    if found.out_of_context:
        return []
    last = smallest_usable(found.model, found.gpu, asks, found.num_gpus)
    ways = [_more_devices(found, asks), _smaller_format(found, asks)]
    ways += [_shorter_context(last), _offload(last)] if last else []
    return [way for way in ways if way]


def _more_devices(found: Found, asks: Question) -> Remedy | None:
    told = asks.parallelism
    if found.gpu.kind in ("soc", "cpu") or any((told.tp, told.pp, told.dp, told.ep)):
        return None
    count, asks = found.num_gpus, asks.but(parallelism=told.but(num_gpus=None))
    while (count := 2 * count) <= fit_table()["most_gpus"]:
        if tried := fewest(found.model, found.gpu, asks, count):
            option = f"--max-gpus {count}"
            return _remedy("devices", tried, option)
    return None


def _smaller_format(found: Found, asks: Question) -> Remedy | None:
    for candidate in found.model.smaller(found.engine):
        if candidate.bytes_at_least(found.model.params_beside_embedding) <= found.num_gpus * found.gpu.capacity_bytes:
            tried = attempt(candidate, found.gpu, asks, found.num_gpus)
            if tried and tried.fits:
                return _remedy("format", tried, f"--dtype {candidate.dtype}")
    return None


def _shorter_context(last: Tried) -> Remedy | None:
    load = last.question.load
    most = last.held.largest_context(load, load.context_len)
    if most < SHORTEST_CONTEXT:
        return None
    shorter = replace(last, question=last.question.at(context_len=most))
    return _remedy("context", shorter, f"--context {most}")


def _offload(last: Tried) -> Remedy | None:
    """llama.cpp's own placement; for other engines the smallest share of the experts that has to leave the devices."""
    if is_llama(last.deployed):
        return _llama_offload(last)
    if not last.deployed.model.spec.mixtures or last.held.llama or last.held.filled is None:
        return None
    kept = largest_that_fits(STEPS, lambda kept: _with_experts_away(last, STEPS - kept).fits)
    if not kept and not _with_experts_away(last, STEPS).fits:
        return None
    tried = _with_experts_away(last, STEPS - kept)
    host = tried.held.memory.on_host(tried.question.load)
    return _remedy("offload", tried, f"--offload experts={(STEPS - kept) / STEPS:g}").but(host_memory_bytes=host)


def _llama_offload(last: Tried) -> Remedy | None:
    """Experts leave the cards first, then whole layers; with as much host memory as that takes, unless one is named."""
    told = last.question.parallelism
    advice = llama_advice(last.deployed, last.question, any_host=told.host.host is None)
    if not advice.fits or last.deployed.gpu.kind in ("soc", "cpu"):
        return None
    moved = f"--n-cpu-moe {advice.cpu_moe_layers}" if advice.cpu_moe_layers else ""
    layers = f"--n-gpu-layers {advice.gpu_layers}" if advice.gpu_layers < advice.layers else ""
    host = told.host.but(n_gpu_layers=advice.gpu_layers, n_cpu_moe=advice.cpu_moe_layers, overrides=())
    asks = last.question.but(parallelism=told.but(offload=Offload(), host=host))
    one = last.deployed
    tried = replace(last, deployed=deploy(one.model, one.precision, asks, one.gpu), question=asks)
    found = _remedy("offload", tried, " ".join(part for part in (layers, moved) if part))
    machine = tried.deployed.placement.host
    is_short = machine is not None and machine.shortage_bytes(advice.host_memory_bytes) > 0
    seconds = None if is_short else found.decode_seconds
    return found.but(host_memory_bytes=advice.host_memory_bytes, decode_seconds=seconds)


def _with_experts_away(last: Tried, hundredths: int) -> Tried:
    offload = Offload(what="experts", share=hundredths / STEPS, text=f"experts={hundredths / STEPS:g}")
    asks = last.question.but(parallelism=last.question.parallelism.but(offload=offload))
    one = last.deployed
    deployed = deploy(one.model, one.precision, asks, one.gpu)
    return replace(last, deployed=deployed, question=asks, held=HeldMemory(deployed, asks))


def _remedy(change: str, tried: Tried, option: str) -> Remedy:
    step = tried.deployed.step([tried.deployed.decode_of(tried.question.load)])
    return Remedy(
        change=change,
        decode_seconds=step.seconds,
        num_gpus=tried.deployed.placement.num_gpus,
        dtype=tried.deployed.precision.name,
        context_len=tried.question.load.context_len,
        option=option,
    )
