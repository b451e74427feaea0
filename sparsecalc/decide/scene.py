"""What serves the requests of a replay: a deployment with its engine's scheduler, limits and room for the cache."""

from sparsecalc.core.errors import InputError
from sparsecalc.decide.capacity import HeldMemory, step_tokens
from sparsecalc.decide.question import Question
from sparsecalc.estimate.deployment import Deployment, Drafting
from sparsecalc.estimate.load import Load
from sparsecalc.estimate.replay.policy import Limits, Pool, policy_of, pool_of
from sparsecalc.estimate.replay.served import Scene

MOST_SEQUENCES = 2**16
"""Sequences at once under an engine whose limit is not known."""


def scene_of(
    deployed: Deployment, question: Question, capacity: HeldMemory, drafting: Drafting | None, longest: int
) -> Scene:
    """The scene of one server; `longest`: tokens of the longest request, prompt and answer."""
    concurrency = int(question.requests.concurrency)
    load = question.load.but(batch_size=concurrency, context_len=longest)
    return Scene(
        deployed=deployed,
        limits=limits_of(capacity, question, load),
        policy=policy_of(deployed.device.engine.id),
        drafting=drafting,
    )


def limits_of(capacity: HeldMemory, question: Question, load: Load) -> Limits:
    """Tokens of a step, sequences at once and the cache on one copy, as the engine has them.

    Where no request fits at all the cache has no bound: then the figures are those of devices large enough.
    """
    plan, engine = capacity.deployed.placement, capacity.engine
    chunk = step_tokens(capacity.deployed, question) * plan.pp
    if engine is None:
        most = capacity.llama.most_sequences(load, MOST_SEQUENCES) if capacity.llama else MOST_SEQUENCES
        return Limits(max_num_batched_tokens=chunk, max_num_seqs=most, pool=_even_pool(capacity, load))
    device = engine.serving(load) if engine.room > 0 else engine
    pool = pool_of(device.blocks) if device.starts else Pool()
    if pool.whole(load.context_len) > 1:
        pool = Pool()
    most = device.rules.max_num_seqs if device.starts or device.rules.seqs_are_told else MOST_SEQUENCES
    if device.blocks.most_sequences is not None and device.starts:
        most = max(1, min(most, device.blocks.most_sequences))
    return Limits(max_num_batched_tokens=chunk, max_num_seqs=most, pool=pool)


def _even_pool(capacity: HeldMemory, load: Load) -> Pool:
    """The cache of an engine whose memory is not modelled: as many tokens as the largest batch has, on each copy."""
    tokens = capacity.largest_batch(load) * load.context_len // capacity.deployed.placement.dp
    return Pool(token_share=1 / tokens) if tokens else Pool()


def refuse_what_no_cache_holds(scene: Scene, longest: int, what: str) -> None:
    """Raise InputError where one request alone is more than the cache, or there is no room for one."""
    if scene.limits.pool.token_share == 0 and scene.limits.pool.sequence_share == 0:
        name, plan = scene.deployed.model.spec.id, scene.deployed.placement
        text = f"{what} of {longest:,} tokens does not fit on {plan.num_gpus} x {scene.deployed.gpu.id} with {name}"
        raise InputError(text, hint="More devices (--num-gpus), fewer bits (--dtype), or shorter requests")
