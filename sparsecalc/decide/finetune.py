"""What fine-tuning a model takes on given devices: memory by part, FLOPs, hours and dollars, and what would help."""

from collections.abc import Iterable
from math import isfinite
from typing import Any, Literal

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.notes import Note
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief, printable
from sparsecalc.decide.finetune_conclusion import conclusion
from sparsecalc.decide.model_name import split_name
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.documents.finetune import FinetuneFigures, FinetuneReport, Fit, Run
from sparsecalc.estimate import costs
from sparsecalc.estimate.fit import LARGEST_BATCH, largest
from sparsecalc.estimate.training import (
    TARGETS,
    Checkpointing,
    Method,
    Optimizer,
    Recipe,
    Target,
    TrainingFlops,
    TrainingMemory,
    is_adapted,
    trained_params,
    training_data,
    training_flops,
    training_memory,
)
from sparsecalc.library.formats import is_format, number_format, precision_for
from sparsecalc.library.models import load_model
from sparsecalc.model.spec import ModelSpec

LARGEST_SIZE = 2**30
LARGEST_CLUSTER = 2**16


class FinetuneQuestion(Frozen):
    """What is asked: the method, the load of one device, the hardware, the length of the run."""

    method: str = "full"
    rank: int = 16
    target: str = "all"
    seq_len: int = 2048
    batch_size: int = 1
    grad_accum: int = 1
    dtype: str = "bf16"
    optimizer: str = "adamw"
    checkpointing: str = "none"
    kernels: str = "torch"
    fused_loss: bool = False
    gpu: str | None = None
    num_gpus: int = 1
    zero: int = 0
    ep: int = 1
    device_memory_share: float | None = None
    tokens: float | None = None
    epochs: float = 1
    mfu: float | None = None

    def check_numbers(self) -> None:
        """Refuse sizes, shares and lengths that make no sense; raises InputError."""
        sizes = {
            "rank": self.rank,
            "sequence length": self.seq_len,
            "batch size": self.batch_size,
            "number of accumulated batches": self.grad_accum,
            "number of GPUs": self.num_gpus,
            "number of expert-parallel devices": self.ep,
        }
        for name, value in sizes.items():
            if not 0 < value <= LARGEST_SIZE:
                raise InputError(f"the {name} is {value}", hint="It must be between 1 and 2^30")
        if not 0 <= self.zero <= 3:
            raise InputError(f"there is no ZeRO stage {self.zero}", hint="Stages: 0, 1, 2, 3")
        shares = {"MFU": self.mfu, "share of device memory": self.device_memory_share}
        for name, share in shares.items():
            if share is not None and not 0 < share <= 1:
                raise InputError(f"the {name} is {share}", hint="It must be in (0, 1]")
        for name, length in {"number of tokens": self.tokens, "number of epochs": self.epochs}.items():
            if length is not None and not (isfinite(length) and length > 0):
                raise InputError(f"the {name} is {length}", hint="It must be positive")


def finetune(name: str, question: FinetuneQuestion | None = None) -> FinetuneReport:
    """What fine-tuning the model `name` takes; `name` may end in `+format` for the frozen weights of LoRA.

    Raises InputError, in one line, for an unknown method, optimizer, format or target, for sizes that make no sense,
    and for experts that do not split over the devices.
    """
    asked = question or FinetuneQuestion()
    asked.check_numbers()
    model_name, base = split_name(name)
    loaded = load_model(model_name)
    spec = loaded.spec
    recipe = _recipe(spec, asked, base)
    warnings = loaded.warnings
    gpu = _accelerator(asked.gpu)
    memory, flops = training_memory(spec, recipe), training_flops(spec, recipe)
    outside, inside = trained_params(spec.ops(recipe.work), recipe)
    run = _run(spec, recipe, flops, gpu, asked) if gpu else None
    measured = spec.model_type in training_data()["activations_measured"]["model_types"]
    if not measured:
        text = f"activations of {spec.model_type} are not held against torch: its own modules may keep more"
        warnings.append(Note(code="activations", text=text, model=spec.id))
    if gpu and not run:
        text = f"{gpu.id} has no known peak in {recipe.compute.id}, so there is no time"
        warnings.append(Note(code="no-peak", text=text, model=spec.id))
    found = FinetuneFigures(
        model=printable(name, 1000) if base else spec.id,
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
        activations_measured=measured,
        fit=_fit(spec, recipe, memory, gpu, asked.device_memory_share) if gpu else None,
        run=run,
    )
    return FinetuneReport(
        command="finetune",
        inputs=_inputs(name, asked, recipe),
        warnings=warnings,
        conclusion=conclusion(spec, recipe, found),
        **vars(found),
    )


def _chosen(word: str, known: Iterable[str], what: str) -> Any:
    """The known word, whatever its case; raises InputError with the closest one."""
    names = list(known)
    found = word.strip().lower().replace("_", "-")
    if found not in names:
        raise InputError(f"unknown {what} {brief(word)}", hint=f"Known: {', '.join(names)}{did_you_mean(word, names)}")
    return found


def _optimizer(name: str) -> Optimizer:
    table = training_data()["optimizers"]
    names = {alias: key for key, entry in table.items() for alias in (key, *entry["aliases"])}
    key = names[_chosen(name, names, "optimizer")]
    return Optimizer(id=key, **{field: value for field, value in table[key].items() if field != "aliases"})


def _recipe(spec: ModelSpec, asked: FinetuneQuestion, base: str | None) -> Recipe:
    method: Method = _chosen(asked.method, ("full", "lora", "qlora"), "method")
    target: Target = _chosen(asked.target, TARGETS, "target")
    checkpointing: Checkpointing = _chosen(asked.checkpointing, ("none", "selective", "full"), "checkpointing")
    formats = [key for key in training_data()["training_formats"] if key != "source"]
    if asked.dtype.lower() not in [*formats, "bfloat16", "float16", "float32"]:
        hint = f"Known: {', '.join(formats)}. Frozen weights of LoRA take any format: --method lora MODEL+int8"
        raise InputError(f"cannot train in {brief(asked.dtype)}", hint=hint)
    if base and not all(is_format(part) for part in base.split(",")):
        hint = "finetune takes number formats after '+' (llama-3-8b+int8), no techniques of sparsity"
        raise InputError(f"{brief(base)} is not a number format", hint=hint)
    if base and method == "full":
        raise InputError(f"full fine-tuning cannot train weights in {base}", hint="Use --method lora, or --dtype bf16")
    frozen = base or (training_data()["qlora_weights"]["value"] if method == "qlora" else asked.dtype)
    recipe = Recipe(
        method=method,
        rank=asked.rank,
        target=target,
        batch_size=asked.batch_size,
        seq_len=asked.seq_len,
        grad_accum=asked.grad_accum,
        compute=number_format(asked.dtype),
        base=precision_for(spec, frozen),
        optimizer=_optimizer(asked.optimizer),
        checkpointing=checkpointing,
        kernels=_chosen(asked.kernels, ("fused", "torch", "eager"), "set of kernels"),
        fused_loss=asked.fused_loss,
        num_gpus=asked.num_gpus,
        zero=asked.zero,
        ep=asked.ep,
    )
    if method != "full" and not any(is_adapted(op, recipe) for op in spec.ops(recipe.work)):
        hint = f"Choose another --target: {', '.join(TARGETS)}"
        raise InputError(f"{spec.id} has no matrices for LoRA in '{target}'", hint=hint)
    _check_ep(spec, recipe)
    return recipe


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


def _accelerator(name: str | None) -> Accelerator | None:
    if name is None:
        return None
    from sparsecalc.device.find import load_accelerator

    return load_accelerator(name)


def _inputs(name: str, asked: FinetuneQuestion, recipe: Recipe) -> dict[str, object]:
    chosen = {
        "model": printable(name, 1000),
        "method": recipe.method,
        "weights_dtype": recipe.base.name,
        "dtype": recipe.compute.id,
        "optimizer": recipe.optimizer.id,
        "optimizer_source": recipe.optimizer.source,
    }
    return {**asked.to_dict(), **chosen, "rank": None if recipe.method == "full" else recipe.rank}


def _fit(spec: ModelSpec, recipe: Recipe, memory: TrainingMemory, gpu: Accelerator, share: float | None) -> Fit:
    share = costs.engine_default("device_memory_share") if share is None else share
    budget = int(gpu.capacity_bytes * share)

    def fits(**changed: Any) -> bool:
        return training_memory(spec, recipe.but(**changed)).total_bytes <= budget

    def needed(zero: int) -> int | None:
        """Smallest multiple of ep that fits: one more than the largest that does not."""
        most = LARGEST_CLUSTER // recipe.ep
        groups = 1 + largest(most, lambda groups: not fits(zero=zero, num_gpus=groups * recipe.ep))
        return groups * recipe.ep if groups <= most else None

    return Fit(
        accelerator=gpu.id,
        capacity_bytes=gpu.capacity_bytes,
        device_memory_share=share,
        fits=memory.total_bytes <= budget,
        free_bytes=budget - memory.total_bytes,
        largest_batch_size=largest(LARGEST_BATCH, lambda batch: fits(batch_size=batch)),
        gpus_needed=needed(recipe.zero),
        gpus_needed_zero3=needed(3),
    )


def _run(
    spec: ModelSpec, recipe: Recipe, flops: TrainingFlops, gpu: Accelerator, asked: FinetuneQuestion
) -> Run | None:
    """seconds = model FLOPs / (devices * dense peak * MFU); None where the device has no known peak."""
    dtype: Literal["bf16", "fp16", "fp32"] = recipe.compute.id  # type: ignore[assignment]
    peak = gpu.peak_flops_per_second.get(dtype)
    if not peak:
        return None
    kind = "moe" if "moe" in spec.kind else "full" if recipe.method == "full" else "lora"
    band = training_data()["mfu"][kind]
    if asked.mfu is not None:
        band = {"low": asked.mfu, "value": asked.mfu, "high": asked.mfu, "source": "--mfu"}
    step_flops = flops.model * recipe.grad_accum
    step_tokens = recipe.work.tokens * recipe.grad_accum * recipe.num_gpus
    tokens = None if asked.tokens is None else asked.tokens * asked.epochs
    steps = None if tokens is None else tokens / step_tokens
    price = None if gpu.usd_per_hour is None else gpu.usd_per_hour.value * recipe.num_gpus

    def hours(mfu: float) -> float | None:
        return None if steps is None else steps * step_flops / (peak * mfu) / 3600

    def usd(mfu: float) -> float | None:
        spent = hours(mfu)
        return None if price is None or spent is None else spent * price

    return Run(
        mfu=band["value"],
        mfu_low=band["low"],
        mfu_high=band["high"],
        mfu_source=band["source"],
        peak_flops_per_second=peak,
        seconds_per_step=step_flops / (peak * band["value"]),
        tokens=tokens,
        steps=steps,
        hours=hours(band["value"]),
        hours_low=hours(band["high"]),
        hours_high=hours(band["low"]),
        usd=usd(band["value"]),
        usd_low=usd(band["high"]),
        usd_high=usd(band["low"]),
    )
