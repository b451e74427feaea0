"""What a simulation is asked, checked and with defaults filled in."""

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


def asked_of(
    *,
    rate: float | None = None,
    concurrency: int | None = None,
    trace: str | None = None,
    prompt_len: str | None = None,
    output_len: str | None = None,
    requests: int | None = None,
    seed: int = 0,
    slo: str | None = None,
    find_rate: bool = False,
    attained: float | None = None,
    replicas: int = 1,
    router: str = "least-loaded",
    disaggregate: str | None = None,
    prefix_hit_share: float = 0.0,
) -> Asked:
    """The simulation that options ask for, named as those of `sparsecalc simulate`. Raises InputError."""
    if router not in ROUTERS:
        raise InputError(
            f"--router is {brief(router)}", hint=f"Known: {', '.join(ROUTERS)}{did_you_mean(router, ROUTERS)}"
        )
    if not 0 <= prefix_hit_share < 1:
        raise InputError(f"--prefix-hit-share is {prefix_hit_share:g}", hint="It must be 0 or more, and less than 1")
    share = engine_default("attained_share") if attained is None else attained
    if not 0 < share <= 1:
        raise InputError(f"--attained is {share:g}", hint="It must be more than 0, and at most 1")
    targets = targets_of(slo)
    if find_rate and not targets.given:
        raise InputError("--find-rate needs targets", hint="Such as --slo ttft=1s,tpot=50ms")
    if seed < 0:
        raise InputError(f"--seed is {seed}", hint="It must be 0 or more")
    prefills, servers = _pools(disaggregate, replicas)
    traffic = traffic_asked(
        rate=rate,
        concurrency=concurrency,
        trace=trace,
        prompt_len=prompt_len,
        output_len=output_len,
        requests=requests,
        seed=seed,
        finds_rate=find_rate,
    )
    return Asked(
        traffic=traffic,
        targets=targets,
        replicas=servers,
        prefill_replicas=prefills,
        router=router,
        prefix_hit_share=prefix_hit_share,
        find_rate=find_rate,
        attained_share=share,
    )


def _pools(disaggregate: str | None, replicas: int) -> tuple[int, int]:
    """Servers that compute prompts only, and the others."""
    prefills = 0
    if disaggregate is not None:
        first, colon, second = disaggregate.partition(":")
        if not (colon and first.strip().isdecimal() and second.strip().isdecimal()) or replicas != 1:
            hint = "Servers for prompts and for decoding, such as 2:4, without --replicas"
            raise InputError(f"--disaggregate is {brief(disaggregate)}", hint=hint)
        prefills, replicas = int(first), int(second)
        if not 0 < prefills <= MOST_REPLICAS:
            raise InputError(f"--disaggregate is {brief(disaggregate)}", hint="Each pool has at least one server")
    positive("number of replicas", replicas)
    if replicas > MOST_REPLICAS:
        raise InputError(f"the number of replicas is {replicas}", hint=f"It is at most {MOST_REPLICAS}")
    return prefills, replicas
