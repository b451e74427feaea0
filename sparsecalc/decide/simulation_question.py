"""What a simulation is asked, checked and with defaults filled in."""

from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief
from sparsecalc.decide.question import positive
from sparsecalc.decide.simulate import Asked
from sparsecalc.decide.targets import targets_of
from sparsecalc.decide.traffic import traffic_asked
from sparsecalc.estimate.engine_defaults import engine_default

ROUTERS = ("least-loaded", "round-robin")
MOST_REPLICAS = 1024


def asked_of(given: dict[str, Any]) -> Asked:
    """The simulation that options ask for, named as those of `sparsecalc simulate`; what is absent has its default.

    Raises InputError for an option that makes no sense.
    """
    options = {name: value for name, value in given.items() if value is not None}
    slo, attained = options.pop("slo", None), options.pop("attained", engine_default("attained_share"))
    servers = {name: options.pop(name) for name in ("replicas", "disaggregate") if name in options}
    router, hits = options.pop("router", ROUTERS[0]), options.pop("prefix_hit_share", 0.0)
    if router not in ROUTERS:
        hint = f"Known: {', '.join(ROUTERS)}{did_you_mean(router, ROUTERS)}"
        raise InputError(f"--router is {brief(router)}", hint=hint)
    if not 0 <= hits < 1:
        raise InputError(f"--prefix-hit-share is {hits:g}", hint="It must be 0 or more, and less than 1")
    if not 0 < attained <= 1:
        raise InputError(f"--attained is {attained:g}", hint="It must be more than 0, and at most 1")
    if options.get("seed", 0) < 0:
        raise InputError(f"--seed is {options['seed']}", hint="It must be 0 or more")
    targets, find_rate = targets_of(slo), options.get("find_rate", False)
    if find_rate and not targets.given:
        raise InputError("--find-rate needs targets", hint="Such as --slo ttft=1s,tpot=50ms")
    prefills, replicas = _pools(**servers)
    return Asked(
        traffic=traffic_asked(**options),
        targets=targets,
        replicas=replicas,
        prefill_replicas=prefills,
        router=router,
        prefix_hit_share=hits,
        find_rate=find_rate,
        attained_share=attained,
    )


def _pools(disaggregate: str | None = None, replicas: int = 1) -> tuple[int, int]:
    """Servers that compute prompts only, and the others."""
    prefills = 0
    if disaggregate is not None:
        first, colon, second = disaggregate.partition(":")
        whole = colon and first.strip().isdecimal() and second.strip().isdecimal() and len(disaggregate) < 16
        if not whole or replicas != 1:
            hint = "Servers for prompts and for decoding, such as 2:4, without --replicas"
            raise InputError(f"--disaggregate is {brief(disaggregate)}", hint=hint)
        prefills, replicas = int(first), int(second)
        positive("number of servers for prompts", prefills)
    positive("number of replicas", replicas)
    if max(replicas, prefills) > MOST_REPLICAS:
        raise InputError(f"the number of servers is {max(replicas, prefills)}", hint=f"It is at most {MOST_REPLICAS}")
    return prefills, replicas
