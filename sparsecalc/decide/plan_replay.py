"""The finalists of a plan: options that the closed formula puts first, each with the figures of `show`."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sparsecalc.decide.capacity import HeldMemory, prompt_chunks
from sparsecalc.decide.deploy import deploy
from sparsecalc.decide.plan_question import PlanAsked
from sparsecalc.decide.plan_search import PlanOption
from sparsecalc.decide.predict import MOST_REPLAYED, serve
from sparsecalc.decide.question import Parallelism, Question
from sparsecalc.estimate.deployment import Deployment
from sparsecalc.estimate.prices import usd_per_million_tokens
from sparsecalc.estimate.results import ServingPrediction

REPLAY_UNITS, MODEL_UNITS = 1000, 500
"""Work that replays may take, of one model, and for each further one; some half a millisecond each."""
SETUP_UNITS = 80
"""Of a replay, beside one for each request in flight, half as much again where copies step together."""
LEAST_REPLAYS = 3
"""Options that are replayed however long it takes."""
RATE_SHARE = 0.98
"""Of a rate that a replay must reach."""


@dataclass(slots=True)
class Finalist:
    """An option with the figures of `show` for its layout and its requests in flight."""

    option: PlanOption
    question: Question
    """That of one replica, with its requests in flight."""
    deployed: Deployment
    serving: ServingPrediction
    fits: bool
    bound: str
    tokens_per_second: float
    """Output tokens of all replicas."""

    @property
    def tpot_seconds(self) -> float:
        """Mean TPOT."""
        return self.serving.tpot_seconds

    @property
    def tokens_per_second_per_gpu(self) -> float:
        """Output tokens of one accelerator."""
        return self.tokens_per_second / self.option.num_gpus

    @property
    def usd_per_million(self) -> float | None:
        """US dollars per million output tokens."""
        return usd_per_million_tokens(self.option.usd_per_hour, 1 / self.tokens_per_second)


def replayed(asked: PlanAsked, option: PlanOption) -> Finalist:
    """The figures of `show` with the option's layout, and of all replicas together."""
    plan, question = option.plan, asked.question
    parallelism = Parallelism(tp=plan.tp, pp=plan.pp, dp=plan.dp, ep=plan.ep)
    question = question.but(parallelism=parallelism, requests=question.requests.but(concurrency=option.concurrency))
    variant, requests = option.checkpoint.variant, question.requests
    variant.model.kept = None  # the search is over: from here on each kernel counts for itself
    deployed = deploy(variant.model, variant.precision, question, option.gpu)
    capacity = HeldMemory(deployed, question)
    prompt = deployed.prompt(prompt_chunks(deployed, question, requests.prompt_len))
    serving = serve(deployed, question, None, capacity, prompt)
    context = requests.prompt_len + requests.output_len // 2
    decode = deployed.step([deployed.decode(context, option.concurrency)])
    share = asked.concurrency / option.concurrency if asked.concurrency else option.replicas
    return Finalist(
        option=option,
        question=question,
        deployed=deployed,
        serving=serving,
        fits=capacity.fits(question.load.but(batch_size=option.concurrency)),
        bound=str(decode.bound),
        tokens_per_second=serving.output_tokens_per_second * share,
    )


def missed(asked: PlanAsked, finalist: Finalist) -> str:
    """The target that a finalist does not meet: tpot, ttft, rate, memory; empty where it meets all."""
    serving = finalist.serving
    if not finalist.fits:
        return "memory"
    if asked.tpot is not None and serving.tpot_seconds > asked.tpot:
        return "tpot"
    if asked.ttft is not None and serving.ttft_seconds > asked.ttft:
        return "ttft"
    return "rate" if asked.rate and requests_per_second(finalist) < RATE_SHARE * asked.rate else ""


def requests_per_second(finalist: Finalist) -> float:
    """Requests that all replicas answer: what the replay answered, or as many as are in flight by their seconds.

    Both are too few: a replay starts and ends with fewer in flight, and TTFT holds what a client waits besides.
    """
    serving, option = finalist.serving, finalist.option
    spent = serving.ttft_seconds + (serving.output_len - 1) * serving.tpot_seconds
    each = max(serving.output_tokens_per_second / serving.output_len, option.concurrency / spent)
    return option.replicas * each


Key = Callable[[PlanOption], tuple[float, ...]]


class Finals:
    """Replays in the order of promise, as long as there is work left.

    The closed formula and the replay differ; by how much is learned from each replay, for layouts with copies of the
    attention and for others, and the next ones are chosen by the formula times that. First comes the best of each
    accelerator, then what would be on the front, then what is next in order.
    """

    def __init__(self, asked: PlanAsked, options: list[PlanOption], key: Key, models: int) -> None:
        self.asked, self.key = asked, key
        self.options = sorted(options, key=key)
        self.units: float = REPLAY_UNITS + MODEL_UNITS * (models - 1)
        self.met: list[Finalist] = []
        self.missed: list[tuple[Finalist, str]] = []
        self._ratio: dict[bool, float] = {}
        self._tried: set[int] = set()

    def run(self, front: Callable[[Iterable[PlanOption]], list[PlanOption]]) -> None:
        """Fill `met` and `missed`. `front`: those that no other one beats in everything, by the formula."""
        half = self.units / 2
        while self._has_time(half) and self._try(self._leaders()):
            pass
        for option in front(self._promising()):
            if self._has_time(0) and self._may_meet(option):
                self._try([option])
        while self._has_time(0) and self._try(self._promising()):
            pass
        if not self.met:  # the formula is too hopeful here: what it puts well within the targets
            self.units = REPLAY_UNITS
            while self.units > 0 and not self.met and self._try(self._all_left()):
                pass

    def _has_time(self, least: float) -> bool:
        """Whether more work is left than this, or hardly anything has been replayed."""
        return self.units > least or len(self._tried) < LEAST_REPLAYS

    def _try(self, options: list[PlanOption]) -> bool:
        """Replay the first of these that has not been; whether there was one."""
        option = next((each for each in options if id(each) not in self._tried), None)
        if option is None:
            return False
        self._tried.add(id(option))
        together = 1.5 if option.plan.dp > 1 else 1.0
        replays = option.concurrency if option.concurrency <= MOST_REPLAYED else 0
        self.units -= (SETUP_UNITS + replays) * together
        found = replayed(self.asked, option)
        self._ratio[option.plan.dp > 1] = found.tpot_seconds / option.tpot_seconds
        if why := missed(self.asked, found):
            self.missed.append((found, why))
        else:
            self.met.append(found)
        return True

    def expected(self, option: PlanOption) -> float:
        """TPOT by the closed formula, times what replays have made of it so far."""
        return option.tpot_seconds * self._ratio.get(option.plan.dp > 1, 1.0)

    def _promising(self) -> list[PlanOption]:
        """What is expected to meet the targets, in order."""
        return [each for each in self.options if self._may_meet(each)]

    def _may_meet(self, option: PlanOption) -> bool:
        return self.asked.tpot is None or self.expected(option) <= self.asked.tpot

    def _leaders(self) -> list[PlanOption]:
        """The first of each model on each accelerator that has none yet."""
        done = {_place(each.option) for each in self.met}
        leaders: dict[tuple[str, str], PlanOption] = {}
        for option in self._promising():
            if _place(option) not in done and id(option) not in self._tried:
                leaders.setdefault(_place(option), option)
        return list(leaders.values())

    @property
    def untried(self) -> list[PlanOption]:
        """What was not replayed, in order."""
        return [each for each in self.options if id(each) not in self._tried]

    def _all_left(self) -> list[PlanOption]:
        """By how far the formula is within the targets."""
        return sorted(self.options, key=lambda each: (self.expected(each), each.idle_seconds))


def _place(option: PlanOption) -> tuple[str, str]:
    return option.checkpoint.model, option.gpu.id
