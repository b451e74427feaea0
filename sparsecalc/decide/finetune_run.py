"""Time and price of a run of training: FLOPs over what the devices do of them in a second."""

from typing import Any, Literal

from sparsecalc.decide.finetune_question import TrainingRun
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.device.assemble import device_model
from sparsecalc.documents.finetune import Run
from sparsecalc.estimate.prices import usd_per_hour
from sparsecalc.estimate.training import Recipe, training_data, training_flops
from sparsecalc.estimate.training_exchange import exchange_seconds
from sparsecalc.model.spec import ModelSpec


def run_of(spec: ModelSpec, recipe: Recipe, gpu: Accelerator, asked: TrainingRun) -> Run | None:
    """seconds = (model + recomputed FLOPs) / (dense peak * MFU) + exchange beyond NVLink's; None without a known peak.

    At the same batch, what checkpointing computes again takes its share of time. Where the MFU is not given, the short
    end of the band leaves it out, and the exchange too, which may be hidden; a given MFU contains the exchange.
    Sources: `recomputation` (arXiv:2205.05198, appendix A) and `exchange` of data/training.json.
    """
    dtype: Literal["bf16", "fp16", "fp32"] = recipe.compute.id  # type: ignore[assignment]
    peak = gpu.peak_flops_per_second.get(dtype)
    if not peak:
        return None
    band, flops = _mfu_band(spec, recipe, asked.mfu), training_flops(spec, recipe)
    again = (flops.model + flops.recomputed) / flops.model
    products = {name: flops.model * recipe.grad_accum / (peak * band[name]) for name in _MFU}
    exchange = 0.0
    if asked.mfu is None and recipe.num_gpus > 1:
        exchange = exchange_seconds(spec, recipe, device_model(gpu))
    seconds = {name: alone * again + exchange for name, alone in products.items()}
    if asked.mfu is None:
        seconds["high"] = products["high"]
    default = training_data()["default_tokens"]
    tokens = (default["value"] if asked.tokens is None else asked.tokens) * asked.epochs
    steps = tokens / (recipe.work.tokens * recipe.grad_accum * recipe.num_gpus)
    per_hour = usd_per_hour(gpu, recipe.num_gpus)
    hours = {name: steps * spent / 3600 for name, spent in seconds.items()}
    usd = {name: None if per_hour is None else spent * per_hour for name, spent in hours.items()}
    return Run(
        mfu=band["value"],
        mfu_low=band["low"],
        mfu_high=band["high"],
        mfu_source=band["source"],
        peak_flops_per_second=peak,
        seconds_per_step=seconds["value"],
        recomputation=again,
        exchange_seconds=exchange,
        tokens=tokens,
        tokens_source=default["source"] if asked.tokens is None else "--tokens",
        steps=steps,
        hours=hours["value"],
        hours_low=hours["high"],
        hours_high=hours["low"],
        usd=usd["value"],
        usd_low=usd["high"],
        usd_high=usd["low"],
    )


_MFU = ("low", "value", "high")


def _mfu_band(spec: ModelSpec, recipe: Recipe, mfu: float | None) -> dict[str, Any]:
    """What others measured for the kind of model and method, or the one figure that is given."""
    if mfu is not None:
        return {"low": mfu, "value": mfu, "high": mfu, "source": "--mfu"}
    kind = "moe" if "moe" in spec.kind else "full" if recipe.method == "full" else "lora"
    band: dict[str, Any] = training_data()["mfu"][kind]
    return band
