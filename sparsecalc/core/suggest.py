"""Did-you-mean."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`. Did you mean 'x'?` for the closest known word, or nothing."""
    close = get_close_matches(word[:100].lower(), list(known), n=1, cutoff=0.6)
    return f". Did you mean '{close[0]}'?" if close else ""
