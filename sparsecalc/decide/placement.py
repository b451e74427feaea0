"""From the parallelism that is asked for to a placement: tp, pp, ep and dp, and what lies in host memory."""

from sparsecalc.core.errors import InputError
from sparsecalc.decide.question import Parallelism
from sparsecalc.estimate.engine_defaults import engine_default
from sparsecalc.estimate.placement import Placement, attention_heads
from sparsecalc.model.spec import ModelSpec


def placement_for(spec: ModelSpec, parallelism: Parallelism, domain_size: int) -> Placement:
    """The placement that is asked for; what is left open follows from the number of devices.

    tp: the largest part of the devices inside the fast links that divides all attention heads; the rest is pp.
    Raises InputError where the parts do not multiply to the number of devices, or the model cannot be split so.
    """
    dp, given = parallelism.dp or 1, parallelism.num_gpus
    tp, pp = parallelism.tp, parallelism.pp
    if tp is None and pp is None:
        tp, pp = _split(spec, max(1, (given or dp) // dp), domain_size)
    tp = tp or max(1, (given or 1) // ((pp or 1) * dp))
    pp = pp or (max(1, given // (tp * dp)) if given else 1)
    if given is not None and tp * pp * dp != given:
        raise InputError(
            f"tp {tp} x pp {pp} x dp {dp} is {tp * pp * dp}, not {given} GPUs", hint="Leave --num-gpus out"
        )
    offload = parallelism.offload
    plan = Placement(
        tp=tp,
        pp=pp,
        dp=dp,
        ep=parallelism.ep or (tp * dp if parallelism.expert_parallel and spec.mixtures else 1),
        eplb_replicas=parallelism.eplb_replicas,
        offload=offload.what,
        offload_share=offload.share,
        offload_to="cpu" if offload.cpu else "link",
        host_memory_rate=_host_rate(offload.cpu) if offload.cpu else 0.0,
    )
    plan.check_against(spec)
    return plan


def _split(spec: ModelSpec, devices: int, domain_size: int) -> tuple[int, int]:
    heads = attention_heads(spec)
    for tp in range(min(devices, domain_size), 0, -1):
        if devices % tp == 0 and all(count % tp == 0 for count in heads):
            return tp, devices // tp
    return 1, devices


def _host_rate(cpu: str) -> float:
    """Bytes per second at which a CPU multiplies weights that it reads once."""
    from sparsecalc.device.find import load_accelerator

    return load_accelerator(cpu).memory_bytes_per_second * engine_default("host_bandwidth_share")
