"""The ways to train a model on an accelerator: by method, checkpointing, ZeRO stage and number of devices."""

from collections.abc import Iterable, Iterator

from sparsecalc.core.largest import largest_that_fits
from sparsecalc.decide.finetune_question import FinetuneQuestion
from sparsecalc.decide.finetune_run import run_of
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.documents.finetune import Option
from sparsecalc.estimate.fit import budget_bytes
from sparsecalc.estimate.training import Checkpointing, Recipe, training_memory
from sparsecalc.model.spec import ModelSpec

CHECKPOINTING: tuple[Checkpointing, ...] = ("none", "selective", "full")
STAGES = (0, 1, 2, 3)
LARGEST_CLUSTER = 2**16


def options_of(spec: ModelSpec, recipes: Iterable[Recipe], asked: FinetuneQuestion, gpu: Accelerator) -> list[Option]:
    """Those that fit first, the cheapest first; of the same price fewer devices, then the lower ZeRO stage.

    The number of devices is the smallest that fits (and the one that is named): more of them cost more only by what
    they exchange. Each higher ZeRO stage is listed where it needs fewer devices. A method and checkpointing that does
    not fit on the devices asked for is listed as it stands there.
    """
    found = [
        _option(spec, each, asked, gpu, as_asked=_as_asked(each, recipe, asked))
        for recipe in recipes
        for checkpointing in _checkpointing(recipe)
        for each in _layouts(spec, recipe.but(checkpointing=checkpointing), asked, gpu)
    ]
    return sorted(found, key=_rank)


def recommended(options: list[Option]) -> Option | None:
    """On the fewest devices that hold it as named, the cheapest; where none do, of any option; None: none fits.

    What more devices save by not computing again is within the band of the hours, and hangs on their link.
    """
    fitting = [option for option in options if option.fits]
    wanted = [option for option in fitting if option.as_asked] or fitting
    return min(wanted, key=lambda option: option.num_gpus, default=None)


def device_hours(option: Option) -> float:
    """Hours of all devices, which cost in proportion; 0 without a known peak."""
    return (option.hours or 0.0) * option.num_gpus


def devices_needed(spec: ModelSpec, recipe: Recipe, budget: int) -> int | None:
    """Smallest number of devices, a multiple of ep, that holds a step at the recipe's ZeRO stage; None: no number."""
    most = LARGEST_CLUSTER // recipe.ep

    def fits(groups: int) -> bool:
        return training_memory(spec, recipe.but(num_gpus=groups * recipe.ep)).total_bytes <= budget

    if fits(1):
        return recipe.ep
    if recipe.zero == 0 or not fits(most):
        return None
    return recipe.ep * (1 + largest_that_fits(most, lambda groups: not fits(groups)))


def _checkpointing(recipe: Recipe) -> list[Checkpointing]:
    """None and full; selective only where it changes something, or is asked for."""
    selective = recipe.kernels == "eager" or recipe.checkpointing == "selective"
    return [name for name in CHECKPOINTING if name != "selective" or selective]


def _layouts(spec: ModelSpec, recipe: Recipe, asked: FinetuneQuestion, gpu: Accelerator) -> Iterator[Recipe]:
    """The recipe on the devices asked for (the fewest there are), then on as many as each ZeRO stage needs."""
    budget, named = budget_bytes(gpu, asked.device_memory_share), asked.sharding.zero
    here = asked.sharding.num_gpus or recipe.ep
    stages = [recipe.but(zero=zero) for zero in STAGES]
    there = [each.but(num_gpus=here) for each in stages if named in (None, each.zero)]
    first = next((each for each in there if training_memory(spec, each).total_bytes <= budget), None)
    yield first or there[-1 if here > 1 else 0]
    fewest = here if first else LARGEST_CLUSTER + 1
    for each in stages:
        needed = devices_needed(spec, each, budget)
        if needed and needed != here and (needed < fewest or each.zero == named):
            yield each.but(num_gpus=needed)
        fewest = min(fewest, needed or fewest)


def _as_asked(option: Recipe, recipe: Recipe, asked: FinetuneQuestion) -> bool:
    """Whether an option keeps what is named of the recipe that is asked for."""
    return (
        (asked.training.checkpointing is None or option.checkpointing == recipe.checkpointing)
        and asked.sharding.zero in (None, option.zero)
        and asked.sharding.num_gpus in (None, option.num_gpus)
    )


def _option(spec: ModelSpec, recipe: Recipe, asked: FinetuneQuestion, gpu: Accelerator, *, as_asked: bool) -> Option:
    memory, run = training_memory(spec, recipe), run_of(spec, recipe, gpu, asked.run)
    return Option(
        method=recipe.method,
        checkpointing=recipe.checkpointing,
        zero_stage=recipe.zero,
        accelerator=gpu.id,
        num_gpus=recipe.num_gpus,
        as_asked=as_asked,
        fits=memory.total_bytes <= budget_bytes(gpu, asked.device_memory_share),
        bytes_per_gpu=memory.total_bytes,
        memory=memory,
        hours=run.hours if run else None,
        hours_low=run.hours_low if run else None,
        hours_high=run.hours_high if run else None,
        usd=run.usd if run else None,
        usd_low=run.usd_low if run else None,
        usd_high=run.usd_high if run else None,
    )


def _rank(option: Option) -> tuple[bool, float, int, int, bool, int]:
    """By what all devices cost; LoRA comes before QLoRA, whose dequantization is not timed."""
    cost = float(f"{device_hours(option):.9g}")
    qlora = option.method == "qlora"
    return not option.fits, cost, option.num_gpus, option.zero_stage, qlora, option.bytes_per_gpu
