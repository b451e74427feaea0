"""`2x4090`: a number of devices in front of an accelerator's name."""

import re
from collections.abc import Sequence

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import brief

_COUNTED = re.compile(r"(\d{1,10})\s*[x×*]\s*(?=\S*\d|\S{3})(\S.*)", re.IGNORECASE)
"""The name is at least three characters long or has a digit: `7900 XTX` and `7950x` are names, `2x T4` is two T4."""


def counted(gpu: str | None, num_gpus: int | Sequence[int] | None) -> tuple[str | None, int | Sequence[int] | None]:
    """The name without its count, and how many devices that makes.

    Raises InputError where several accelerators are named, or `num_gpus` says otherwise.
    """
    names = (gpu or "").split(",")
    found = [_COUNTED.fullmatch(name.strip()) for name in names]
    first = found[0]
    if not any(found):
        return gpu, num_gpus
    if len(names) > 1 or not first:
        text = f"--gpu is {brief(gpu or '')}"
        raise InputError(text, hint="A count is for one accelerator (2xh100); for several: --num-gpus")
    count = int(first[1])
    if num_gpus not in (None, count):
        text = f"--gpu {brief(gpu or '')} is {count} devices, --num-gpus {num_gpus}"
        raise InputError(text, hint="Say it once: 2xh100, or h100 and --num-gpus 2")
    return first[2], count
