"""Options of llama.cpp's memory, as it spells them; -b is not among them: --batch-size means sequences here."""

from typing import Annotated, Any

import typer

from sparsecalc.core.number_lists import whole


def _also(kind: Any, of: str, *names: str) -> Any:
    """Other spellings of an option that help lists."""
    return Annotated[kind, typer.Option(*names, hidden=True, help=f"another spelling of {of}")]


MicroBatch = Annotated[
    int | None,
    typer.Option("--ubatch-size", parser=whole, help="-ub of llama.cpp: prompt tokens computed at once (default: 512)"),
]
KeyType = Annotated[str | None, typer.Option("--cache-type-k", help="-ctk of llama.cpp: cached keys (default: f16)")]
ValueType = Annotated[
    str | None, typer.Option("--cache-type-v", help="-ctv of llama.cpp: cached values (default: f16)")
]
FlashAttention = Annotated[
    str | None, typer.Option("--flash-attn", help="-fa of llama.cpp: on, off or auto (default: on)")
]
WholeWindows = Annotated[bool, typer.Option("--swa-full", help="llama.cpp: sliding windows are cached in full")]
Parallel = Annotated[
    int | None, typer.Option("--parallel", help="-np of llama.cpp: sequences with a cache (default: the batch size)")
]

CONTEXT_SIZE: dict[str, tuple[Any, Any]] = {
    "ctx_size": (_also(str | None, "--context", "-c", "--ctx-size"), None),
}
LLAMA_MEMORY: dict[str, tuple[Any, Any]] = {
    "ubatch_size": (MicroBatch, None),
    "cache_type_k": (KeyType, None),
    "cache_type_v": (ValueType, None),
    "flash_attn": (FlashAttention, None),
    "swa_full": (WholeWindows, False),
    "parallel": (Parallel, None),
    "ub": (_also(int | None, "--ubatch-size", "-ub"), None),
    "ctk": (_also(str | None, "--cache-type-k", "-ctk"), None),
    "ctv": (_also(str | None, "--cache-type-v", "-ctv"), None),
    "fa": (_also(str | None, "--flash-attn", "-fa"), None),
    "np": (_also(int | None, "--parallel", "-np"), None),
}
