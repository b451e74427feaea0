"""Plan a service: which accelerators, how many, in which layout and precision, for one model or several."""

from collections import Counter
from collections.abc import Iterable

from sparsecalc.core.errors import InputError
from sparsecalc.core.notes import Note
from sparsecalc.decide.commands import layout_of, served_name
from sparsecalc.decide.deploy import device_warnings, format_warnings
from sparsecalc.decide.plan_front import on_front
from sparsecalc.decide.plan_misses import Rest, near_misses
from sparsecalc.decide.plan_models import checkpoints
from sparsecalc.decide.plan_order import final_costs, final_key, is_tied, option_costs, option_key, unbeaten
from sparsecalc.decide.plan_question import PlanAsked
from sparsecalc.decide.plan_replay import Finalist, Finals
from sparsecalc.decide.plan_search import SLACK, NotHeld, PlanOption, Search
from sparsecalc.decide.plan_sentences import sentences
from sparsecalc.decide.run_commands import run_command
from sparsecalc.documents.plan import Candidate, PlanReport, PlanResult


def plan(names: list[str], asked: PlanAsked) -> PlanReport:
    """What serves the load within its targets, best first; what no other one beats, and why the rest is not taken.

    Every layout is looked at by its engine's memory and the closed formula of a closed loop; the most promising are
    replayed, and only those are listed. Raises InputError for an unknown model, and as `ask` does.
    """
    options, left_out = _searched(names, asked)
    within, over = _screened(options, asked)
    finals = Finals(asked, within, lambda option: option_key(option, asked), len(names))
    finals.run(lambda some: on_front(list(some), option_costs))
    met = sorted(finals.met, key=lambda each: final_key(each, asked))
    listed = unbeaten(met)
    candidates = _candidates(listed, asked)
    beaten = [each for each in met if each not in listed]
    rejected = Counter({one.reason: 0 for one in left_out})
    for one in left_out:
        rejected[one.reason] += one.count
    rejected.update(reason for _, reason in over)
    rejected.update(reason for _, reason in finals.missed)
    rejected["dominated"] += len(beaten)
    rejected["not-replayed"] += len(within) - len(met) - len(finals.missed)
    untried = [(option, finals.expected(option)) for option in finals.untried]
    misses = near_misses(asked, met, listed, Rest(over, untried, finals.missed, left_out))
    return PlanReport(
        command="plan",
        inputs=asked.inputs(names),
        warnings=_warnings(listed),
        plan=PlanResult(
            recommended=candidates[0] if candidates else None,
            candidates=candidates,
            near_misses=misses,
            rejected={reason: count for reason, count in rejected.items() if count},
            searched=len(options) + sum(one.count for one in left_out),
        ),
        text=sentences(asked, candidates, misses, names),
    )


def _searched(names: list[str], asked: PlanAsked) -> tuple[list[PlanOption], list[NotHeld]]:
    options: list[PlanOption] = []
    left_out: list[NotHeld] = []
    for name in dict.fromkeys(names):
        published = checkpoints(name, asked.question)
        for gpu in asked.question.devices.accelerators:
            first = Search(asked, published[0], gpu)
            searches = [first, *(Search(asked, checkpoint, gpu, first) for checkpoint in published[1:])]
            widens = all(search.lacking for search in searches)
            for search in searches:
                options += search.options(may_widen=widens)
                left_out += search.left_out
    return options, left_out


def _screened(options: list[PlanOption], asked: PlanAsked) -> tuple[list[PlanOption], list[tuple[PlanOption, str]]]:
    """Those within the budget that may meet the targets; the others with what they miss."""
    within: list[PlanOption] = []
    over: list[tuple[PlanOption, str]] = []
    for option in options:
        per_hour = option.usd_per_hour
        if asked.budget is not None and (per_hour is None or per_hour > asked.budget):
            over.append((option, "budget"))
        elif asked.tpot is not None and option.tpot_seconds > SLACK * asked.tpot:
            over.append((option, "tpot"))
        elif asked.ttft is not None and option.idle_seconds > asked.ttft:
            over.append((option, "ttft"))
        else:
            within.append(option)
    return within, over


def _candidates(listed: list[Finalist], asked: PlanAsked) -> list[Candidate]:
    front = on_front(listed, lambda each: final_costs(each)[:2])
    return [_candidate(each, asked, on_front=each in front, tied=is_tied(asked, each, listed[0])) for each in listed]


def _candidate(final: Finalist, asked: PlanAsked, *, on_front: bool, tied: bool) -> Candidate:
    option, serving, layout = final.option, final.serving, final.option.plan
    return Candidate(
        model=option.checkpoint.model,
        checkpoint=option.checkpoint.repository,
        accelerator=option.gpu.id,
        num_gpus=option.num_gpus,
        tp=layout.tp,
        ep=layout.ep,
        pp=layout.pp,
        dp=layout.dp,
        replicas=option.replicas,
        dtype=option.checkpoint.dtype,
        batch_size=option.concurrency,
        fits=final.fits,
        tpot_seconds=serving.tpot_seconds,
        tpot_seconds_low=serving.tpot_seconds_low,
        tpot_seconds_high=serving.tpot_seconds_high,
        ttft_seconds=serving.ttft_seconds,
        output_tokens_per_second=final.tokens_per_second,
        output_tokens_per_second_per_gpu=final.tokens_per_second_per_gpu,
        usd_per_hour=option.usd_per_hour,
        usd_per_million_output_tokens=final.usd_per_million,
        bound=final.bound,
        on_front=on_front,
        tied=tied,
        command=_command(final, asked),
    )


def _command(final: Finalist, asked: PlanAsked) -> str:
    """The command line of one replica's server; empty where the engine has none for it."""
    checkpoint = final.option.checkpoint
    variant, question = checkpoint.variant, final.question
    try:
        model, quantization = served_name(checkpoint.name, variant, variant.dtype or question.formats.dtype)
        how = layout_of(final.deployed, question)
        how["quantization"] = quantization
        return run_command(asked.engine, model, **how)
    except InputError:
        return ""


def _warnings(listed: Iterable[Finalist]) -> list[Note]:
    """What must be known of the listed accelerators."""
    deployments = [each.deployed for each in listed]
    notes = [note for one in deployments for note in (*device_warnings(one), *format_warnings(one, False))]
    return list(dict.fromkeys(note.but(model=None) for note in notes))
