"""What fine-tuning a model takes on given devices: memory by part, FLOPs, hours and dollars, and what would help."""

from collections.abc import Iterable, Iterator
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.largest import largest_that_fits
from sparsecalc.core.notes import Note
from sparsecalc.core.number_format import NumberFormat
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief, printable
from sparsecalc.decide.finetune_conclusion import answer, conclusion
from sparsecalc.decide.finetune_options import CHECKPOINTING, devices_needed, options_of, recommended
from sparsecalc.decide.finetune_question import FinetuneQuestion, TrainingMethod
from sparsecalc.decide.finetune_run import run_of
from sparsecalc.decide.model_name import split_name
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.documents.finetune import FinetuneFigures, FinetuneReport, Fit, Run
from sparsecalc.estimate import costs
from sparsecalc.estimate.fit import LARGEST_BATCH, budget_bytes, memory_share
from sparsecalc.estimate.training import (
    TARGETS,
    Checkpointing,
    Method,
    Optimizer,
    Recipe,
    Target,
    TrainingMemory,
    is_adapted,
    trained_params,
    training_data,
    training_flops,
    training_memory,
)
from sparsecalc.library.formats import is_format, precision_for
from sparsecalc.library.models import load_model
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.number_formats import number_format


def finetune(name: str, question: FinetuneQuestion | None = None) -> FinetuneReport:
    """What fine-tuning the model `name` takes; `name` may end in `+format` for the frozen weights of LoRA.

    Raises InputError, in one line, for an unknown method, optimizer, format or target, for sizes out of range,
    and for experts that do not split over the devices.
    """
    asked = question or FinetuneQuestion()
    model_name, base = split_name(name)
    loaded = load_model(model_name)
    spec = loaded.spec
    recipe = _recipe(spec, asked, base)
    gpu = asked.accelerator
    run = run_of(spec, recipe, gpu, asked.run) if gpu else None
    figures = _figures(spec, recipe, asked, run)
    figures = figures.but(model=printable(name, 1000)) if base else figures
    options = options_of(spec, _recipes(spec, asked, recipe, base), asked, gpu) if gpu else []
    best = recommended(options)
    return FinetuneReport(
        command="finetune",
        inputs=_inputs(name, asked, recipe),
        warnings=[*loaded.warnings, *_warnings(spec, recipe, figures, gpu)],
        answer=answer(spec, recipe, figures, options, best),
        options=options,
        recommended=best,
        conclusion=conclusion(spec, recipe, figures, options, best),
        **vars(figures),
    )


def _figures(spec: ModelSpec, recipe: Recipe, asked: FinetuneQuestion, run: Run | None) -> FinetuneFigures:
    memory, flops = training_memory(spec, recipe), training_flops(spec, recipe)
    outside, inside = trained_params(spec.ops(recipe.work), recipe)
    gpu = asked.accelerator
    return FinetuneFigures(
        model=spec.id,
        kind=spec.kind,
        method=recipe.method,
        params=costs.params(spec),
        trained_params=outside + inside,
        trained_params_in_experts=inside,
        memory=memory,
        flops=flops,
        model_flops_per_token=flops.model / recipe.work.tokens,
        recomputed_flops_per_token=flops.recomputed / recipe.work.tokens,
        tokens_per_step=recipe.work.tokens * recipe.grad_accum * recipe.num_gpus,
        activations_measured=spec.model_type in training_data()["activations_measured"]["model_types"],
        fit=_fit(spec, recipe, memory, gpu, asked.device_memory_share) if gpu else None,
        run=run,
    )


def _warnings(spec: ModelSpec, recipe: Recipe, figures: FinetuneFigures, gpu: Accelerator | None) -> Iterator[Note]:
    if not figures.activations_measured:
        text = f"activations of {spec.model_type} are not held against torch: its own modules may keep more"
        yield Note(code="activations", text=text, model=spec.id)
    if gpu and not figures.run:
        text = f"{gpu.id} has no known peak in {recipe.compute.id}, so there is no time"
        yield Note(code="no-peak", text=text, model=spec.id)


def _chosen(word: str, known: Iterable[str], what: str) -> Any:
    """The known word, whatever its case; raises InputError with the closest one."""
    names = list(known)
    chosen = word.strip().lower().replace("_", "-")
    if chosen not in names:
        raise InputError(f"unknown {what} {brief(word)}", hint=f"Known: {', '.join(names)}{did_you_mean(word, names)}")
    return chosen


def _optimizer(name: str) -> Optimizer:
    table = training_data()["optimizers"]
    names = {alias: key for key, entry in table.items() for alias in (key, *entry["aliases"])}
    key = names[_chosen(name, names, "optimizer")]
    return Optimizer(id=key, **{field: value for field, value in table[key].items() if field != "aliases"})


def _recipe(spec: ModelSpec, asked: FinetuneQuestion, base: str | None) -> Recipe:
    words = asked.training
    method: Method = _chosen(words.method or "full", ("full", "lora", "qlora"), "method")
    target: Target = _chosen(words.target, TARGETS, "target")
    checkpointing: Checkpointing = _chosen(words.checkpointing or "none", CHECKPOINTING, "checkpointing")
    recipe = Recipe(
        method=method,
        rank=words.rank,
        target=target,
        compute=_training_format(words.dtype),
        base=precision_for(spec, _frozen_format(words, method, base)),
        optimizer=_optimizer(words.optimizer),
        checkpointing=checkpointing,
        kernels=_chosen(words.kernels, ("fused", "torch", "eager"), "set of kernels"),
        fused_loss=words.fused_loss,
        **vars(asked.load),
        num_gpus=asked.sharding.num_gpus or 1,
        zero=asked.sharding.zero or 0,
        ep=asked.sharding.ep,
    )
    if method != "full" and not any(is_adapted(op, recipe) for op in spec.ops(recipe.work)):
        hint = f"Choose another --target: {', '.join(TARGETS)}"
        raise InputError(f"{spec.id} has no matrices for LoRA in '{target}'", hint=hint)
    _check_ep(spec, recipe)
    return recipe


def _recipes(spec: ModelSpec, asked: FinetuneQuestion, recipe: Recipe, base: str | None) -> Iterator[Recipe]:
    """What is asked by each method; by the one that is named, if one is."""
    yield recipe
    if asked.training.method is None and any(is_adapted(op, recipe.but(method="lora")) for op in spec.ops(recipe.work)):
        yield from (_recipe(spec, asked.but(training=asked.training.but(method=m)), base) for m in ("lora", "qlora"))


def _training_format(dtype: str) -> NumberFormat:
    formats = [key for key in training_data()["training_formats"] if key != "source"]
    if dtype.lower() not in [*formats, "bfloat16", "float16", "float32"]:
        hint = f"Known: {', '.join(formats)}. Frozen weights of LoRA take any format: --method lora MODEL+int8"
        raise InputError(f"cannot train in {brief(dtype)}", hint=hint)
    return number_format(dtype)


def _frozen_format(words: TrainingMethod, method: Method, base: str | None) -> str:
    """The format of the model's own weights: what stands behind its `+`, QLoRA's, or that of training."""
    if base is None:
        return str(training_data()["qlora_weights"]["value"]) if method == "qlora" else words.dtype
    if not all(is_format(part) for part in base.split(",")):
        hint = "finetune takes number formats after '+' (llama-3-8b+int8), no techniques of sparsity"
        raise InputError(f"{brief(base)} is not a number format", hint=hint)
    if method == "full":
        raise InputError(f"full fine-tuning cannot train weights in {base}", hint="Use --method lora, or --dtype bf16")
    return base


def _check_ep(spec: ModelSpec, recipe: Recipe) -> None:
    if recipe.ep == 1:
        return
    routed = [op for op in spec.ops(recipe.work) if op.kind == "experts" and op.component == "routed_experts"]
    if not routed:
        raise InputError(f"{spec.id} has no experts to split", hint="Leave out --ep")
    if recipe.num_gpus % recipe.ep:
        text = f"{recipe.num_gpus} GPUs do not split into groups of {recipe.ep}"
        raise InputError(text, hint="--ep must divide --num-gpus")
    if any(op.num_experts % recipe.ep for op in routed):
        text = f"{routed[0].num_experts} experts do not split over {recipe.ep} devices"
        raise InputError(text, hint="--ep must divide the number of experts")


def _inputs(name: str, asked: FinetuneQuestion, recipe: Recipe) -> dict[str, object]:
    chosen = {
        "model": printable(name, 1000),
        "method": recipe.method,
        "checkpointing": recipe.checkpointing,
        "num_gpus": recipe.num_gpus,
        "zero": recipe.zero,
        "weights_dtype": recipe.base.name,
        "dtype": recipe.compute.id,
        "optimizer": recipe.optimizer.id,
        "optimizer_source": recipe.optimizer.source,
    }
    sizes = {**vars(asked.training), **vars(asked.load), **vars(asked.sharding), **vars(asked.run)}
    gpu, share = asked.hardware.gpu if asked.hardware else None, asked.device_memory_share
    return {
        **sizes,
        "gpu": gpu,
        "device_memory_share": share,
        **chosen,
        "rank": None if recipe.method == "full" else recipe.rank,
    }


def _fit(spec: ModelSpec, recipe: Recipe, memory: TrainingMemory, gpu: Accelerator, share: float | None) -> Fit:
    budget = budget_bytes(gpu, share)

    def fits(**changed: Any) -> bool:
        return training_memory(spec, recipe.but(**changed)).total_bytes <= budget

    return Fit(
        accelerator=gpu.id,
        capacity_bytes=gpu.capacity_bytes,
        device_memory_share=memory_share(share),
        fits=memory.total_bytes <= budget,
        free_bytes=budget - memory.total_bytes,
        largest_batch_size=largest_that_fits(LARGEST_BATCH, lambda batch: fits(batch_size=batch)),
        gpus_needed=devices_needed(spec, recipe, budget),
        gpus_needed_zero3=devices_needed(spec, recipe.but(zero=3), budget),
    )
