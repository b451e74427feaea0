"""GGUF files on disk: one file, a set of split files, or a folder that holds one model."""

import re
from pathlib import Path
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import printable
from sparsecalc.library.gguf.config import config_of
from sparsecalc.library.gguf.header import Header, read_header

_PART = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE | re.DOTALL)
MOST_PARTS = 10_000
_PROJECTOR = "mmproj"


def read_gguf(path: Path) -> dict[str, Any]:
    """The config that a GGUF file's metadata stands for, with the types of all its tensors as quantization_config.

    Of a split file the whole set is read. Raises InputError for a file that is not GGUF, for an incomplete set, and for
    an architecture that is not known.
    """
    return config_of(_whole(path), str(path))


def gguf_in(folder: Path) -> Path | None:
    """The GGUF file of a folder that holds one model, its first part where it is split; None: it holds none.

    Raises InputError where there are several models.
    """
    files = sorted(path for path in folder.glob("*.gguf") if _PROJECTOR not in path.name.lower())
    models = {(match["stem"] if (match := _PART.fullmatch(path.name)) else path.stem): path for path in reversed(files)}
    if len(models) > 1:
        names = ", ".join(printable(path.name, 60) for path in files[:4])
        raise InputError(
            f"{len(models)} GGUF models in one folder", where=str(folder), hint=f"Name one of them: {names}"
        )
    return next(iter(models.values()), None)


def model_name(path: Path) -> str:
    """A file's name without the number of its part."""
    match = _PART.fullmatch(path.name)
    return match["stem"] if match else path.stem


def _whole(path: Path) -> Header:
    """The header of a file, or those of all parts of its set as one."""
    header = read_header(path)
    told = header.meta.get("split.count", 1)
    match = _PART.fullmatch(path.name)
    if not match:
        if isinstance(told, int) and told > 1:
            hint = "Keep the names NAME-00001-of-0000N.gguf"
            raise InputError(f"one of {told} parts, whose names it does not tell", where=str(path), hint=hint)
        return header
    count = int(match["count"])
    if count > MOST_PARTS or told not in (1, count):
        raise InputError(f"its name tells {count} parts, its header {told}", where=str(path), hint="Check the file")
    parts = [path.with_name(f"{match['stem']}-{number:05}-of-{count:05}.gguf") for number in range(1, count + 1)]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        names = ", ".join(printable(name, 80) for name in missing[:3]) + (", ..." if len(missing) > 3 else "")
        text = f"{len(missing)} of {count} parts are missing ({names})"
        raise InputError(text, where=str(path), hint="Put all parts in one folder; their headers suffice")
    return _joined([header if part.name == path.name else read_header(part) for part in parts], path)


def _joined(headers: list[Header], path: Path) -> Header:
    """All tensors of a set under the first part's metadata."""
    first = headers[0]
    tensors = [tensor for header in headers for tensor in header.tensors]
    told = first.meta.get("split.tensors.count", len(tensors))
    if told != len(tensors) or len({tensor.name for tensor in tensors}) != len(tensors):
        raise InputError(f"its parts hold {len(tensors)} tensors, its header tells {told}", where=str(path))
    return Header(meta=first.meta, lengths=first.lengths, tensors=tensors)
