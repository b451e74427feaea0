"""From what a user types to a placement: tp, pp, ep and dp, and what is offloaded."""

from typing import Literal, cast

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import brief
from sparsecalc.decide.question import Question
from sparsecalc.estimate.costs import engine_default
from sparsecalc.estimate.placement import Placement, attention_heads
from sparsecalc.model.spec import ModelSpec


def placement_for(spec: ModelSpec, question: Question, domain_size: int) -> Placement:
    """The placement that is asked for; what is left open follows from the number of devices.

    tp: the largest part of the devices inside the fast links that divides all attention heads; the rest is pp.
    Raises InputError where the parts do not multiply to the number of devices, or the model cannot be split so.
    """
    dp, given = question.dp or 1, question.num_gpus
    tp, pp = question.tp, question.pp
    if tp is None and pp is None:
        tp, pp = _split(spec, max(1, (given or dp) // dp), domain_size)
    tp = tp or max(1, (given or 1) // ((pp or 1) * dp))
    pp = pp or (max(1, given // (tp * dp)) if given else 1)
    if given is not None and tp * pp * dp != given:
        raise InputError(
            f"tp {tp} x pp {pp} x dp {dp} is {tp * pp * dp}, not {given} GPUs", hint="Leave --num-gpus out"
        )
    kind, share, where = _offload(question.offload)
    plan = Placement(
        tp=tp,
        pp=pp,
        dp=dp,
        ep=question.ep or 1,
        eplb_replicas=question.eplb_replicas,
        offload=kind,
        offload_share=share,
        offload_to="cpu" if where else "link",
        host_memory_rate=_host_rate(where) if where else 0.0,
    )
    plan.check_against(spec)
    return plan


def _split(spec: ModelSpec, devices: int, domain_size: int) -> tuple[int, int]:
    heads = attention_heads(spec)
    for tp in range(min(devices, domain_size), 0, -1):
        if devices % tp == 0 and all(count % tp == 0 for count in heads):
            return tp, devices // tp
    return 1, devices


def _offload(text: str | None) -> tuple[Literal["none", "experts", "layers"], float, str]:
    """`experts=0.5@cpu-name`: what, which share, on which CPU it is computed (empty: sent over the link)."""
    if not text:
        return "none", 0.0, ""
    what, _, where = text.partition("@")
    kind, equals, share = what.strip().lower().partition("=")
    try:
        value = float(share) if equals else 1.0
    except ValueError:
        value = -1.0
    if kind not in ("experts", "layers") or not 0 <= value <= 1:
        hint = "Such as experts=0.5, layers=0.3, or experts=1@epyc-9654 (computed on that CPU)"
        raise InputError(f"--offload is {brief(text)}", hint=hint)
    return cast(Literal["experts", "layers"], kind), value, where.strip()


def _host_rate(name: str) -> float:
    """Bytes per second at which a CPU multiplies weights that it reads once."""
    from sparsecalc.device.find import load_accelerator

    return load_accelerator(name).memory_bytes_per_second * engine_default("host_bandwidth_share")
