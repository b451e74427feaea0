"""Did-you-mean."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str], *, likeness: float = 0.6) -> str:
    """`. Did you mean 'x'?` for the closest known word, of at least this `likeness` from 0 to 1, or nothing."""
    by_lower = {name.lower(): name for name in known}
    close = get_close_matches(word[:100].lower(), list(by_lower), n=1, cutoff=likeness)
    return f". Did you mean '{by_lower[close[0]]}'?" if close else ""
