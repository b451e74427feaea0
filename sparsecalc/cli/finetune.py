"""`sparsecalc finetune`: what training a model takes."""

from typing import Annotated, Any

import typer

from sparsecalc.cli._options import OUTPUT, Gpu, NumGpus, Share, emit_as_asked, takes


@takes(OUTPUT)
def finetune(
    model: Annotated[str, typer.Argument(help="built-in id, config.json, folder, -, or org/name on the Hub")],
    method: Annotated[str, typer.Option(help="full, lora or qlora")] = "full",
    rank: Annotated[int, typer.Option(help="rank of LoRA's adapters")] = 16,
    target: Annotated[str, typer.Option(help="matrices with adapters: all, attention or ffn")] = "all",
    seq_len: Annotated[int, typer.Option("--seq-len", help="tokens per sequence")] = 2048,
    batch_size: Annotated[int, typer.Option("--batch-size", help="sequences per device in one pass")] = 1,
    grad_accum: Annotated[int, typer.Option("--grad-accum", help="passes per step of the optimizer")] = 1,
    dtype: Annotated[str, typer.Option(help="format of training: bf16, fp16 or fp32")] = "bf16",
    optimizer: Annotated[
        str, typer.Option(help="adamw, adamw-8bit, paged-adamw-32bit (no master copy), sgd or sgd-momentum")
    ] = "adamw",
    checkpointing: Annotated[str, typer.Option(help="activations: none, selective or full checkpointing")] = "none",
    kernels: Annotated[
        str, typer.Option(help="fused (FlashAttention, fused SwiGLU), torch (transformers' modules, sdpa) or eager")
    ] = "torch",
    fused_loss: Annotated[bool, typer.Option("--fused-loss", help="the loss in chunks: no logits are held")] = False,
    gpu: Gpu = None,
    num_gpus: NumGpus = None,
    zero: Annotated[int, typer.Option(help="ZeRO stage 0 to 3 (FSDP is 3)")] = 0,
    ep: Annotated[int, typer.Option(help="devices that split the experts")] = 1,
    gpu_memory_utilization: Share = None,
    tokens: Annotated[float | None, typer.Option(help="tokens of the data set, as 1e9: gives hours and price")] = None,
    epochs: Annotated[float, typer.Option(help="passes over the data set")] = 1,
    mfu: Annotated[
        float | None, typer.Option(help="model FLOPs utilization (default: measured ones, as a band)")
    ] = None,
    **given: Any,
) -> None:
    """Fine-tuning: memory per device by part, FLOPs, what fits, hours and dollars; full, LoRA or QLoRA."""
    from sparsecalc.decide.finetune import FinetuneQuestion
    from sparsecalc.decide.finetune import finetune as find

    asked = FinetuneQuestion(
        method=method,
        rank=rank,
        target=target,
        seq_len=seq_len,
        batch_size=batch_size,
        grad_accum=grad_accum,
        dtype=dtype,
        optimizer=optimizer,
        checkpointing=checkpointing,
        kernels=kernels,
        fused_loss=fused_loss,
        gpu=gpu,
        num_gpus=num_gpus or 1,
        zero=zero,
        ep=ep,
        device_memory_share=gpu_memory_utilization,
        tokens=tokens,
        epochs=epochs,
        mfu=mfu,
    )
    emit_as_asked(given, lambda: find(model, asked))
