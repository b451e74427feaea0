"""How numbers are printed: counts in powers of 1000 (46.7 B), bytes in powers of 1024 (86.9 GiB)."""

_COUNT = ((1e15, "P"), (1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K"))
_FLOP = ((1e18, "EFLOP"), (1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"), (1e6, "MFLOP"), (1e3, "KFLOP"))
_BYTES = ((1024**4, "TiB"), (1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))


def _scaled(value: float, steps: tuple[tuple[float, str], ...], unit: str, digits: int) -> str:
    for size, name in steps:
        if abs(value) >= size:
            return f"{value / size:.{digits}f} {name}"
    return f"{value:,.0f} {unit}".strip()


def count(value: float, digits: int = 1) -> str:
    """46,702,792,704 -> `46.7 B`."""
    return _scaled(value, _COUNT, "", digits)


def flops(value: float, digits: int = 1) -> str:
    """25,500,319,744 -> `25.5 GFLOP`."""
    return _scaled(value, _FLOP, "FLOP", digits)


def nbytes(value: float, digits: int = 1) -> str:
    """131,072 -> `128.0 KiB`."""
    return _scaled(value, _BYTES, "B", digits)


def duration(seconds: float) -> str:
    """0.0201 -> `20.1 ms`."""
    for size, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if abs(seconds) >= 0.9995 * size:  # what rounds up to the unit
            return f"{seconds / size:.3g} {name}" if abs(seconds) < 999.5 else f"{seconds:,.0f} s"
    return f"{seconds * 1e9:.3g} ns"


def band(seconds: float, low: float, high: float) -> str:
    """`20.1 ms (16.5 ms to 24.4 ms)`."""
    return f"{duration(seconds)} ({duration(low)} to {duration(high)})"


def exact(value: float) -> str:
    """An integer with separators, other numbers with three significant digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
