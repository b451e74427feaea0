"""A scheme as rules, and the formats that schemes share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sparsecalc.core.number_format import NumberFormat
from sparsecalc.core.text import brief
from sparsecalc.read.number_formats import number_format
from sparsecalc.read.stored.modules import Module

Rule = Callable[[Module], NumberFormat | None]
"""The format that a module is stored in; None: left unquantized."""

MOST_BITS = 16


@dataclass(frozen=True, slots=True)
class Scheme:
    """What one quantization_config says."""

    rule: Rule
    kv_cache: NumberFormat | None = None
    warnings: tuple[str, ...] = ()
    starts: tuple[str, ...] = ()
    """Where all names start that the scheme's rule knows; empty: anywhere."""


class UnknownSchemeError(Exception):
    """A quantization_config, or a part of it, that no rule here covers; its text names it."""


@dataclass(frozen=True, slots=True)
class Section:
    """A quantization_config with the model's own dtype, which scales often share."""

    entries: dict[str, Any]
    plain: NumberFormat

    @property
    def scale_bytes(self) -> int:
        """Bytes of a scale that is kept in the model's dtype."""
        return int(self.plain.bits // 8)

    def whole(self, key: str, default: int, entries: dict[str, Any] | None = None) -> int:
        """A whole number of the config, or of a part of it. Raises UnknownSchemeError where it is none."""
        value = (self.entries if entries is None else entries).get(key)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int):
            raise UnknownSchemeError(f"{key} {brief(value)}")
        return value

    def side(self, value: Any) -> int:
        """One side of a block. Raises UnknownSchemeError where it is no positive whole number."""
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UnknownSchemeError(f"a block's side {brief(value)}")
        return value

    def section(self, key: str) -> dict[str, Any]:
        """An object of the config; empty where it is absent or no object."""
        value = self.entries.get(key)
        return value if isinstance(value, dict) else {}


def packed(bits: int, group: int, *, block_bytes: float, word_bits: int = 0, **more: Any) -> NumberFormat:
    """Integers of `bits` in groups of `group` neighbours of a row (-1 or 0: the whole row).

    `block_bytes` are those of a group's scale and zero point; with `word_bits` as many values share a word as fit
    whole, so that 3 bits take 32 / 10.
    """
    if not 0 < bits <= MOST_BITS or group < -1:
        raise UnknownSchemeError(f"{bits} bits in groups of {group}")
    name = f"int{bits}" + (f"-g{group}" if group > 0 and group != 128 else "" if group > 0 else "-channel")
    words = {"pack_cols": word_bits // bits, "pack_bytes": word_bits // 8} if word_bits else {}
    return NumberFormat(
        id=name,
        bits=bits,
        block_cols=max(group, 0),
        block_bytes=block_bytes,
        source="quantization_config",
        **{**words, **more},
    )


def fp8(strategy: str, scale_bytes: float, *, block: tuple[int, int] = (128, 128), more_bytes: int = 0) -> NumberFormat:
    """FP8 with a scale per `tensor`, `channel` or `block`, and further bytes per matrix (scales of its input)."""
    if strategy == "tensor":
        return number_format("fp8").but(tensor_bytes=int(scale_bytes) + more_bytes)
    if strategy == "channel":
        return number_format("fp8-channel").but(block_bytes=scale_bytes, tensor_bytes=more_bytes)
    rows, cols = block
    found = number_format("fp8-block").but(block_rows=rows, block_cols=cols, block_bytes=scale_bytes)
    return found.but(tensor_bytes=more_bytes)


def cache_format(bits: Any, kind: Any) -> NumberFormat | None:
    """The KV cache's format: 8 bits fp8 or int8, 4 bits nvfp4; None where the config asks for none."""
    if bits == 8:
        return number_format("int8" if kind == "int" else "fp8")
    if bits == 4 and kind == "float":
        return number_format("nvfp4")
    return None
