"""The parts beside a text decoder, by the names that `--with` takes."""

from sparsecalc.core.errors import InputError
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief

PARTS = ("vision", "audio", "mtp")


def asked_parts(text: str | None) -> tuple[str, ...]:
    """`vision,mtp` as its parts. Raises InputError for a part that is unknown."""
    names = [name.strip().lower() for name in (text or "").split(",")] if text is not None else []
    for name in names:
        if name not in PARTS:
            hint = f"Known: {', '.join(PARTS)}" + did_you_mean(name, PARTS)
            raise InputError(f"--with names {brief(name)}, no part of a model", hint=hint)
    return tuple(dict.fromkeys(names))
