"""Requests in a closed loop by the formula, without a replay; for one load or for arrays of them."""

from collections.abc import Sequence

from sparsecalc.core.arrays import Number
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.deployment import Deployment, Drafting
from sparsecalc.estimate.load import Requests
from sparsecalc.estimate.serving import Copies, tpot_seconds


def by_formula(
    deployed: Deployment,
    requests: Requests,
    running: Number,
    prompt: Sequence[Workload],
    prompt_seconds: Number,
    draft: Drafting | None = None,
) -> dict[str, Number]:
    """TPOT of the `running` requests, by `tpot_seconds`; the others wait as Little's law has it.

        seconds of a request = TTFT on an idle server + (output_len - 1) * TPOT
        tokens per second    = running * output_len / seconds of a request

    A step of speculation yields `accepted_tokens`, and the draft model's steps come on top. `prompt`: its chunks, which
    take `prompt_seconds` on an idle server.
    """
    guesses, yielded = (draft.draft_tokens, draft.accepted_tokens) if draft else (0, 1.0)
    step = tpot_seconds(
        requests.but(concurrency=running),
        prompt,
        deployed.step,
        lambda context_len, batch_size: deployed.decode(context_len, batch_size, guesses),
        yielded,
        Copies.of(deployed.placement, deployed.model.spec, deployed.device.engine.id),
    )
    context = requests.prompt_len + requests.output_len // 2
    tpot = step.seconds + (draft.seconds(context, running) / yielded if draft else 0.0)
    engine = deployed.device.engine
    idle = prompt_seconds + engine.first_token_seconds(requests.prompt_len)
    spent = idle + (requests.output_len - 1) * tpot
    rate = running * requests.output_len / spent
    return {
        "ttft_seconds": (idle + spent * (requests.concurrency / running - 1)) * engine.first_token_factor(running),
        "ttft_idle_seconds": idle * engine.first_token_factor(1),
        "tpot_seconds": tpot,
        "tpot_seconds_low": tpot * step.seconds_low / step.seconds,
        "tpot_seconds_high": tpot * step.seconds_high / step.seconds,
        "output_tokens_per_second": rate,
        "output_tokens_per_second_per_gpu": rate / deployed.placement.num_gpus,
    }
