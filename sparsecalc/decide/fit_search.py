"""The least number of devices that hold a load, and the best precision in which they do."""

from dataclasses import dataclass
from math import inf

from sparsecalc.core import units
from sparsecalc.core.errors import InputError
from sparsecalc.decide.capacity import HeldMemory
from sparsecalc.decide.deploy import deploy, lacking_formats
from sparsecalc.decide.fit_question import FitAsked, usual_engine
from sparsecalc.decide.precisions import InPrecision, NamedModel
from sparsecalc.decide.question import Question
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.estimate.deployment import Deployment
from sparsecalc.estimate.prices import usd_per_hour
from sparsecalc.estimate.step import Step


@dataclass(slots=True)
class Tried:
    """A model in one precision on so many devices."""

    candidate: InPrecision
    deployed: Deployment
    question: Question
    """With the engine and the number of devices."""
    held: HeldMemory

    @property
    def fits(self) -> bool:
        """Whether the devices hold the load."""
        return self.held.fits(self.question.load)


@dataclass(slots=True)
class Found:
    """What a search found of a model on one kind of device."""

    model: NamedModel
    gpu: Accelerator
    engine: str
    num_gpus: int
    """The least that hold the load, or the most that were tried."""
    tried: Tried | None = None
    """What fits; None: nothing does."""
    step: Step | None = None
    """A decode step of what fits."""
    out_of_context: str = ""
    """How its context is too short; empty where it is not."""

    def is_fast_enough(self, seconds: float) -> bool:
        """Whether it fits, and a token comes within so many seconds."""
        return self.step is not None and self.step.seconds <= seconds

    def rank(self, seconds: float, *, by_size: bool) -> tuple[float, ...]:
        """Small is good: fits and is fast enough; then larger models, or fewer devices; then cheaper, then faster."""
        first = (self.tried is None, not self.is_fast_enough(seconds))
        size = -float(self.model.params) if by_size else 0.0
        price = usd_per_hour(self.gpu, self.num_gpus)
        taken = self.step.seconds if self.step else 0.0
        return (*first, size, self.num_gpus, inf if price is None else price, taken)


def search(model: NamedModel, gpu: Accelerator, asked: FitAsked) -> Found:
    """The fewest devices of a kind that hold the load, in the best precision that they hold it in.

    Raises InputError for a placement that is asked for and cannot be.
    """
    engine = usual_engine(gpu, asked.question.engine)
    counts, question = device_counts(gpu, asked), asked.question.but(engine=engine)
    longest = model.own.loaded.spec.max_position_embeddings
    if longest and question.context_is_asked and question.load.context_len > longest:
        return Found(model, gpu, engine, counts[0], out_of_context=f"its context ends at {longest:,} tokens")
    found = (each for count in counts if (each := fewest(model, gpu, question, count)))
    best = next(found, None)
    if best is None:
        return Found(model, gpu, engine, counts[-1])
    step = best.deployed.step([best.deployed.decode_of(question.load)])
    return Found(model, gpu, engine, best.deployed.placement.num_gpus, best, step)


def device_counts(gpu: Accelerator, asked: FitAsked) -> list[int]:
    """Numbers of devices to try: those that are asked for, else 1, 2, 4,... up to the largest."""
    told = asked.question.parallelism
    if any((told.num_gpus, told.tp, told.pp, told.dp, told.ep)):
        return [told.num_devices]
    if gpu.kind in ("soc", "cpu"):
        return [1]
    most = asked.max_gpus
    return sorted({*(2**power for power in range(most.bit_length()) if 2**power <= most), most})


def fewest(model: NamedModel, gpu: Accelerator, question: Question, count: int) -> Tried | None:
    """The best precision in which `count` devices hold the load; None: they do in none."""
    for candidate in model.candidates(question.engine or ""):
        if candidate.bytes_at_least(model.params_beside_embedding) > count * gpu.capacity_bytes:
            continue
        found = attempt(candidate, gpu, question, count)
        if found and (candidate.is_own or not lacking_formats(found.deployed)) and found.fits:
            return found
    return None


def attempt(candidate: InPrecision, gpu: Accelerator, question: Question, count: int) -> Tried | None:
    """A precision on `count` devices; None where the model cannot be split over them, unless that was asked for."""
    told = question.parallelism
    open_ = not any((told.num_gpus, told.tp, told.pp, told.dp, told.ep))
    asks = question.but(parallelism=told.but(num_gpus=count)) if open_ else question
    variant = candidate.variant
    try:
        deployed = deploy(variant.model, variant.precision, asks, gpu)
    except InputError:
        if open_ and count > 1:
            return None
        raise
    return Tried(candidate, deployed, asks, HeldMemory(deployed, asks))


def smallest_usable(model: NamedModel, gpu: Accelerator, question: Question, count: int) -> Tried | None:
    """The smallest precision that the devices multiply, fitting or not; None where the model cannot be split so."""
    for candidate in reversed(model.candidates(question.engine or "")):
        found = attempt(candidate, gpu, question, count)
        if found and (candidate.is_own or not lacking_formats(found.deployed)):
            return found
    return None


def reason_of(found: Found, question: Question) -> str:
    """Why a model does not fit in the smallest precision that the devices multiply; empty where it fits."""
    if found.tried or found.out_of_context:
        return found.out_of_context
    model, gpu, count = found.model, found.gpu, found.num_gpus
    last = smallest_usable(model, gpu, question.but(engine=found.engine), count)
    if last is None:
        return f"it cannot be split over {count} x {gpu.id}"
    smallest = last.candidate
    needs, has = smallest.bytes_at_least(model.params_beside_embedding), count * gpu.capacity_bytes
    name = smallest.dtype or smallest.variant.precision.name
    held = f"{units.nbytes(has)} of {count} x {gpu.id}"
    if needs > has:
        return f"its weights take more than {units.nbytes(needs)} in {name}, of {held}"
    return f"{units.nbytes(needs)} of weights in {name} leave no room for the load in {held}"
