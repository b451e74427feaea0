"""`finetune`: what training a model takes."""

from typing import Annotated, Any

import typer

from sparsecalc.cli._options import OUTPUT, Gpu, Options, Share, emit_as_asked, takes
from sparsecalc.core.number_lists import whole

Method = Annotated[str | None, typer.Option(help="full, lora or qlora (default: all three)")]
Rank = Annotated[int, typer.Option(help="rank of LoRA's adapters")]
Target = Annotated[str, typer.Option(help="matrices with adapters: all, attention or ffn")]
SeqLen = Annotated[int, typer.Option("--seq-len", parser=whole, help="tokens per sequence: 8k")]
BatchSize = Annotated[int, typer.Option("--batch-size", help="sequences per device in one pass")]
GradAccum = Annotated[int, typer.Option("--grad-accum", help="passes per step of the optimizer")]
TrainingDtype = Annotated[str, typer.Option(help="format of training: bf16, fp16 or fp32")]
OptimizerName = Annotated[
    str, typer.Option(help="adamw, adamw-8bit, paged-adamw-32bit (no master copy), sgd or sgd-momentum")
]
Checkpointing = Annotated[
    str | None, typer.Option(help="activations: none, selective or full checkpointing (default: none and full)")
]
Kernels = Annotated[
    str, typer.Option(help="fused (FlashAttention, fused SwiGLU), torch (transformers' modules, sdpa) or eager")
]
FusedLoss = Annotated[bool, typer.Option("--fused-loss", help="the loss in chunks: no logits are held")]
Devices = Annotated[int | None, typer.Option("--num-gpus", help="how many of them (default: as few as it takes)")]
Zero = Annotated[int | None, typer.Option(help="ZeRO stage 0 to 3, FSDP is 3 (default: what fits on fewest devices)")]
ExpertParallel = Annotated[int, typer.Option("--ep", help="devices that split the experts")]
Tokens = Annotated[float | None, typer.Option(help="tokens of the data set, as 1e9 (default: 10 M are assumed)")]
Epochs = Annotated[float, typer.Option(help="passes over the data set")]
Mfu = Annotated[float | None, typer.Option(help="model FLOPs utilization (default: measured ones, as a band)")]

TRAINING: Options = {
    "method": (Method, None),
    "rank": (Rank, 16),
    "target": (Target, "all"),
    "seq_len": (SeqLen, 2048),
    "batch_size": (BatchSize, 1),
    "grad_accum": (GradAccum, 1),
    "dtype": (TrainingDtype, "bf16"),
    "optimizer": (OptimizerName, "adamw"),
    "checkpointing": (Checkpointing, None),
    "kernels": (Kernels, "torch"),
    "fused_loss": (FusedLoss, False),
    "gpu": (Gpu, None),
    "num_gpus": (Devices, None),
    "zero": (Zero, None),
    "ep": (ExpertParallel, 1),
    "gpu_memory_utilization": (Share, None),
    "tokens": (Tokens, None),
    "epochs": (Epochs, 1),
    "mfu": (Mfu, None),
}


@takes(TRAINING, OUTPUT)
def finetune(
    model: Annotated[str, typer.Argument(help="built-in id, config.json, folder, -, or org/name on the Hub")],
    **given: Any,
) -> None:
    """Fine-tuning: what fits, the cheapest first, with hours and dollars; memory per device by part, FLOPs."""
    from sparsecalc.decide.finetune import finetune as find
    from sparsecalc.decide.finetune_question import ask_finetune

    options = {name: value for name, value in given.items() if name in TRAINING}
    options["device_memory_share"] = options.pop("gpu_memory_utilization")
    emit_as_asked(given, lambda: find(model, ask_finetune(**options)))
