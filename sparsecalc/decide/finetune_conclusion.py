"""The answer and the conclusion of `finetune`: plain sentences, each computed from the figures."""

from collections.abc import Iterator

from sparsecalc.core import units
from sparsecalc.documents.finetune import FinetuneFigures, Fit, Option
from sparsecalc.estimate.training import (
    Method,
    Recipe,
    training_flops,
    training_memory,
)
from sparsecalc.estimate.training_activations import TrainingStep, kept, saved_by_layer
from sparsecalc.model.spec import ModelSpec

METHODS: dict[Method, str] = {"full": "Full fine-tuning", "lora": "LoRA", "qlora": "QLoRA"}
"""Methods at the beginning of a sentence."""


def answer(
    spec: ModelSpec, recipe: Recipe, figures: FinetuneFigures, options: list[Option], best: Option | None
) -> str:
    """What to run: the recommended option; without an accelerator, what a device holds."""
    if not options:
        full = units.nbytes(training_memory(spec, recipe.but(checkpointing="full")).total_bytes)
        less = f", {full} with full checkpointing" if recipe.checkpointing != "full" else ""
        return (
            f"{METHODS[recipe.method]} of {figures.model} takes {units.nbytes(figures.memory.total_bytes)} per device"
            f"{less}; --gpu says what fits, for how many hours and dollars."
        )
    budget = units.nbytes(_budget(figures))
    if best is None:
        least = min(options, key=lambda option: option.bytes_per_gpu)
        return (
            f"{figures.model} fits on no number of {least.accelerator}: {METHODS[least.method]} with"
            f" {way(least)} still takes {units.nbytes(least.bytes_per_gpu)} of {budget} per device."
            " What does not divide are activations and logits: a shorter --seq-len, or --fused-loss."
        )
    several = len({option.method for option in options}) > 1
    subject = f"{'Cheapest on the fewest devices: ' if several else ''}{METHODS[best.method]} of {figures.model}"
    beside = "" if best.as_asked else "Not as asked, but so it fits: "
    return (
        f"{beside}{subject} on {best.num_gpus:,} {best.accelerator} with {way(best)}:"
        f" {units.nbytes(best.bytes_per_gpu)} of {budget} per device{_cost(best, figures)}."
    )


def way(option: Option) -> str:
    """`full checkpointing`, `no checkpointing and ZeRO-3`."""
    word = "no" if option.checkpointing == "none" else option.checkpointing
    return f"{word} checkpointing" + (f" and ZeRO-{option.zero_stage}" if option.zero_stage else "")


def hours(value: float, low: float, high: float) -> str:
    """`1.9 hours (1.2 to 3.0)`; less than one in minutes."""
    unit, each = ("hours", 1) if value >= 1 else ("minutes", 60)
    shown = [f"{each * part:,.1f}" if each * part < 100 else f"{each * part:,.0f}" for part in (value, low, high)]
    return f"{shown[0]} {unit}" + (f" ({shown[1]} to {shown[2]})" if low < high else "")


def usd(value: float) -> str:
    """Dollars, with cents below ten."""
    return f"{value:,.0f} USD" if value >= 10 else f"{value:,.2f} USD"


def _budget(figures: FinetuneFigures) -> int:
    """Bytes of a device that may be filled."""
    return figures.memory.total_bytes + figures.fit.free_bytes if figures.fit else 0


def _cost(best: Option, figures: FinetuneFigures) -> str:
    """`; 10.0 M tokens (assumed) take 1.9 hours (1.2 to 3.0), 0.65 USD`."""
    run = figures.run
    if run is None or best.hours is None or best.hours_low is None or best.hours_high is None:
        return ""
    assumed = "" if run.tokens_source.startswith("--") else " (assumed)"
    price = "" if best.usd is None else f", {usd(best.usd)}"
    spent = hours(best.hours, best.hours_low, best.hours_high)
    return f"; {units.count(run.tokens)} tokens{assumed} take {spent}{price}"


def conclusion(
    spec: ModelSpec, recipe: Recipe, report: FinetuneFigures, options: list[Option], best: Option | None
) -> list[str]:
    """What is held and used, what experts add, what checkpointing would change, whether it fits, how long it takes."""
    return [
        *_held(spec, recipe, report),
        *_experts(spec, recipe, report),
        *_checkpointing(spec, recipe),
        *_verdict(recipe, report.fit, best),
        *_time(recipe, report),
        *_left_out(options, best),
    ]


def _held(spec: ModelSpec, recipe: Recipe, figures: FinetuneFigures) -> Iterator[str]:
    total, active = figures.params.total, figures.params.active
    alone = training_memory(spec, recipe.but(num_gpus=1, ep=1, zero=0))
    states = alone.gradients_bytes + alone.optimizer_bytes + alone.master_bytes + alone.adapters_bytes
    times = f", {total / active:.1f}x those of a dense model of the same compute" if active < total else ""
    if recipe.method == "full":
        whole = states + alone.weights_bytes
        yield (
            f"Weights, gradients and optimizer take {whole / total:.1f} bytes for each of {units.count(total)}"
            f" parameters ({units.nbytes(whole)} in all{times}); a token computes with {units.count(active)}."
        )
        return
    yield (
        f"Frozen weights take {units.nbytes(alone.weights_bytes)}{times}; {units.count(figures.trained_params)} adapter"
        f" parameters ({100 * figures.trained_params / total:.2f} % of the model's) take {units.nbytes(states)}."
    )


def _experts(spec: ModelSpec, recipe: Recipe, figures: FinetuneFigures) -> Iterator[str]:
    """Adapters on every expert, and what a device keeps that is sent more than its share."""
    if figures.trained_params_in_experts and recipe.method != "full":
        own = figures.trained_params_in_experts
        rest = figures.trained_params - own
        yield (
            f"Every expert needs adapters of its own: {units.count(own)} parameters against"
            f" {units.count(rest)} on the rest (--target attention leaves the experts frozen)."
        )
    step = TrainingStep(work=recipe.work, size=recipe.size, kernels=recipe.kernels)
    routed = [
        (kept((row for row in saved_by_layer(group.layer, step) if row.routed), recipe.trained), group.count)
        for group in spec.layer_groups
    ]
    once = recipe.checkpointing == "full"
    held = max(size for size, _ in routed) if once else sum(size * count for size, count in routed)
    if held:
        where = "the layer that is computed again" if once else "all layers"
        yield (
            f"Routed rows keep {units.nbytes(held)} in {where} at even load; none is dropped, so a device that is sent"
            f" twice its share keeps {units.nbytes(held)} more."
        )


def _checkpointing(spec: ModelSpec, recipe: Recipe) -> Iterator[str]:
    """Full checkpointing against what is asked, or against none where it is what is asked."""
    asked = recipe.checkpointing == "full"
    full, other = recipe.but(checkpointing="full"), recipe.but(checkpointing="none") if asked else recipe

    def held(recipe: Recipe) -> str:
        memory = training_memory(spec, recipe)
        return units.nbytes(memory.activations_bytes + memory.recomputed_bytes)

    flops, base = training_flops(spec, full), training_flops(spec, other)
    more = (flops.recomputed - base.recomputed) / (base.model + base.recomputed)
    yield (
        f"Full checkpointing {'keeps' if asked else 'would keep'} {held(full)} of activations where"
        f" {other.checkpointing} keeps {held(other)}, for {100 * more:.0f} % more FLOPs."
    )


def _verdict(recipe: Recipe, fit: Fit | None, best: Option | None) -> Iterator[str]:
    """Whether the figures' own recipe fits, and what would change that."""
    if fit is None:
        return
    devices = f"{recipe.num_gpus} {fit.accelerator}"
    word = "no" if recipe.checkpointing == "none" else recipe.checkpointing
    how = f"{METHODS[recipe.method]} with {word} checkpointing"
    if fit.fits:
        yield f"{how} fits on {devices}; the largest batch per device is {fit.largest_batch_size}."
        return
    ways = [f"{best.num_gpus:,} with {way(best)}"] if best and best.method == recipe.method else []
    if fit.gpus_needed:
        ways.append(f"{fit.gpus_needed:,}" + (f" with ZeRO-{recipe.zero}" if recipe.zero else ""))
    if fit.gpus_needed_zero3 and recipe.zero != 3:
        ways.append(f"{fit.gpus_needed_zero3:,} with ZeRO-3")
    needs = (
        f"it needs {', or '.join(ways)}" if ways else "no number of them holds it: try checkpointing or fewer tokens"
    )
    yield f"{how} does not fit on {devices}: {needs}."


def _time(recipe: Recipe, figures: FinetuneFigures) -> Iterator[str]:
    """Hours and dollars of the figures' own recipe, what is assumed, and what recomputation takes."""
    run = figures.run
    if run is None or figures.fit is None or not figures.fit.fits:
        return
    price = "" if run.usd is None else f", {usd(run.usd)}"
    again = f", {run.recomputation:.2f}x as long as without recomputation" if run.recomputation > 1 else ""
    yield (
        f"{units.count(run.tokens)} tokens take {hours(run.hours, run.hours_low, run.hours_high)} on {recipe.num_gpus}"
        f" {figures.fit.accelerator} at an MFU of {run.mfu:.2f}{again}{price}."
    )


def _left_out(options: list[Option], best: Option | None) -> Iterator[str]:
    """What more devices would cost, and what hours do not contain."""
    if best is None or best.hours is None:
        return
    cheaper = [option for option in options if option.fits and option.as_asked >= best.as_asked]
    first = cheaper[0]
    if first.num_gpus != best.num_gpus:
        price = f", {usd(first.usd)}" if first.usd is not None else ""
        yield (
            f"More devices would cost less by the estimate, but hang on their link: {METHODS[first.method]} on"
            f" {first.num_gpus:,} with {way(first)}{price}."
        )
    if best.method == "qlora":
        yield "Hours of QLoRA are those of LoRA: the time of dequantizing its weights was not measured."
    if best.num_gpus > 1:
        yield "More devices take fewer hours in proportion, but for their exchange: the band contains that over NVLink."
