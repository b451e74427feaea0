"""Options of llama.cpp's memory, as it spells them; -b is not among them: --batch-size means sequences here."""

from typing import Annotated, Any

import typer

MicroBatch = Annotated[
    int | None, typer.Option("-ub", "--ubatch-size", help="llama.cpp: prompt tokens computed at once (default: 512)")
]
KeyType = Annotated[str | None, typer.Option("-ctk", "--cache-type-k", help="llama.cpp: cached keys (default: f16)")]
ValueType = Annotated[
    str | None, typer.Option("-ctv", "--cache-type-v", help="llama.cpp: cached values (default: f16)")
]
FlashAttention = Annotated[
    str | None, typer.Option("-fa", "--flash-attn", help="llama.cpp: on, off or auto (default: on)")
]
WholeWindows = Annotated[bool, typer.Option("--swa-full", help="llama.cpp: sliding windows are cached in full")]
Parallel = Annotated[
    int | None, typer.Option("-np", "--parallel", help="llama.cpp: sequences with a cache (default: the batch size)")
]

LLAMA_MEMORY: dict[str, tuple[Any, Any]] = {
    "ubatch_size": (MicroBatch, None),
    "cache_type_k": (KeyType, None),
    "cache_type_v": (ValueType, None),
    "flash_attn": (FlashAttention, None),
    "swa_full": (WholeWindows, False),
    "parallel": (Parallel, None),
}
