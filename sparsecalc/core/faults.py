"""What pydantic finds wrong with a user's file, in one line."""

from typing import TYPE_CHECKING

from sparsecalc.core.text import printable

if TYPE_CHECKING:  # imported by those who validate
    from pydantic import ValidationError

_WORDS = {"extra_forbidden": "no such field", "missing": "is missing"}


def first_fault(error: "ValidationError") -> str:
    """`scale_up.domain_size: Input should be greater than 0 (1 of 3 faults)`."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    key = ".".join(str(part) for part in faults[0]["loc"] if part != "[key]")
    text = _WORDS.get(faults[0]["type"], faults[0]["msg"].removeprefix("Value error, "))
    more = f" (1 of {len(faults)} faults)" if len(faults) > 1 else ""
    return printable(f"{key}: {text}" if key else text, 160) + more
