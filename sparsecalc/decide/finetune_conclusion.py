"""The conclusion of `finetune`: plain sentences, each computed from the figures."""

from collections.abc import Iterator

from sparsecalc.core import units
from sparsecalc.documents.finetune import FinetuneFigures, Fit
from sparsecalc.estimate.training import (
    Recipe,
    training_flops,
    training_memory,
)
from sparsecalc.estimate.training_activations import TrainingStep, kept, saved_by_layer
from sparsecalc.model.spec import ModelSpec


def conclusion(spec: ModelSpec, recipe: Recipe, report: FinetuneFigures) -> list[str]:
    """What is held and used, what experts add, what checkpointing would change, whether it fits, how long it takes."""
    return [
        *_held(spec, recipe, report),
        *_experts(spec, recipe, report),
        *_checkpointing(spec, recipe),
        *_verdict(recipe, report.fit),
        *_time(recipe, report),
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


def _verdict(recipe: Recipe, fit: Fit | None) -> Iterator[str]:
    if fit is None:
        return
    devices = f"{recipe.num_gpus} {fit.accelerator}"
    if fit.fits:
        yield f"It fits on {devices}; the largest batch per device is {fit.largest_batch_size}."
        return
    ways = []
    if fit.gpus_needed:
        ways.append(f"{fit.gpus_needed:,}" + (f" with ZeRO-{recipe.zero}" if recipe.zero else ""))
    if fit.gpus_needed_zero3 and recipe.zero != 3:
        ways.append(f"{fit.gpus_needed_zero3:,} with ZeRO-3")
    needs = (
        f"it needs {', or '.join(ways)}" if ways else "no number of them holds it: try checkpointing or fewer tokens"
    )
    yield f"It does not fit on {devices}: {needs}."


def _time(recipe: Recipe, figures: FinetuneFigures) -> Iterator[str]:
    run = figures.run
    if run is None or run.hours is None or run.hours_low is None or run.hours_high is None:
        return
    if figures.fit is None or not figures.fit.fits:
        return
    band = "" if run.mfu_low == run.mfu_high else f" ({run.hours_low:,.1f} to {run.hours_high:,.1f})"
    price = "" if run.usd is None else f", {run.usd:,.0f} USD"
    yield (
        f"{units.count(run.tokens or 0)} tokens take {run.hours:,.1f} hours{band} on {recipe.num_gpus}"
        f" {figures.fit.accelerator} at an MFU of {run.mfu:.2f}{price}."
    )
