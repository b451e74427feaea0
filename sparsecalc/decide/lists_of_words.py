"""Lists of names as they are typed: accelerators, engines, and number formats, in which a comma may be part of one."""

from collections.abc import Sequence

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import brief


def words(text: str, name: str) -> Sequence[str]:
    """Names between commas. Raises InputError where one is empty."""
    found = [part.strip() for part in text.split(",")]
    if not all(found):
        raise InputError(f"{name} has an empty value: {brief(text)}", hint="A list: h100-sxm,l40s")
    return list(dict.fromkeys(found))


def formats(text: str, name: str = "--dtype") -> Sequence[str]:
    """`bf16,fp8,int4` are three formats, `int4,attention=bf16` is one with a part of its own.

    A comma separates formats only where all of them are for all weights; with any `=` the text is a single one.
    """
    return [text] if "=" in text else words(text, name)
