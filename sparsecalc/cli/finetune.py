"""`finetune`: what training a model takes."""

from typing import Annotated, Any

import typer

from sparsecalc.cli._options import OUTPUT, Gpu, Options, Share, emit_as_asked, takes
from sparsecalc.core.number_lists import whole

Method = Annotated[str, typer.Option(help="full, lora or qlora")]
Rank = Annotated[int, typer.Option(help="rank of LoRA's adapters")]
Target = Annotated[str, typer.Option(help="matrices with adapters: all, attention or ffn")]
SeqLen = Annotated[int, typer.Option("--seq-len", parser=whole, help="tokens per sequence: 8k")]
BatchSize = Annotated[int, typer.Option("--batch-size", help="sequences per device in one pass")]
GradAccum = Annotated[int, typer.Option("--grad-accum", help="passes per step of the optimizer")]
TrainingDtype = Annotated[str, typer.Option(help="format of training: bf16, fp16 or fp32")]
OptimizerName = Annotated[
    str, typer.Option(help="adamw, adamw-8bit, paged-adamw-32bit (no master copy), sgd or sgd-momentum")
]
Checkpointing = Annotated[str, typer.Option(help="activations: none, selective or full checkpointing")]
Kernels = Annotated[
    str, typer.Option(help="fused (FlashAttention, fused SwiGLU), torch (transformers' modules, sdpa) or eager")
]
FusedLoss = Annotated[bool, typer.Option("--fused-loss", help="the loss in chunks: no logits are held")]
Devices = Annotated[int, typer.Option("--num-gpus", help="how many of them")]
Zero = Annotated[int, typer.Option(help="ZeRO stage 0 to 3 (FSDP is 3)")]
ExpertParallel = Annotated[int, typer.Option("--ep", help="devices that split the experts")]
Tokens = Annotated[float | None, typer.Option(help="tokens of the data set, as 1e9: gives hours and price")]
Epochs = Annotated[float, typer.Option(help="passes over the data set")]
Mfu = Annotated[float | None, typer.Option(help="model FLOPs utilization (default: measured ones, as a band)")]

TRAINING: Options = {
    "method": (Method, "full"),
    "rank": (Rank, 16),
    "target": (Target, "all"),
    "seq_len": (SeqLen, 2048),
    "batch_size": (BatchSize, 1),
    "grad_accum": (GradAccum, 1),
    "dtype": (TrainingDtype, "bf16"),
    "optimizer": (OptimizerName, "adamw"),
    "checkpointing": (Checkpointing, "none"),
    "kernels": (Kernels, "torch"),
    "fused_loss": (FusedLoss, False),
    "gpu": (Gpu, None),
    "num_gpus": (Devices, 1),
    "zero": (Zero, 0),
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
    """Fine-tuning: memory per device by part, FLOPs, what fits, hours and dollars; full, LoRA or QLoRA."""
    from sparsecalc.decide.finetune import finetune as find
    from sparsecalc.decide.finetune_question import ask_finetune

    options = {name: value for name, value in given.items() if name in TRAINING}
    options["device_memory_share"] = options.pop("gpu_memory_utilization")
    emit_as_asked(given, lambda: find(model, ask_finetune(**options)))
