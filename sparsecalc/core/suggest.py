"""Did-you-mean."""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

SHORTEST, LONG = 5, 9


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`. Did you mean 'x'?` for the closest known word, or nothing."""
    by_lower = {name.lower(): name for name in known}
    close = get_close_matches(word[:100].lower(), list(by_lower), n=1, cutoff=0.6)
    return f". Did you mean '{by_lower[close[0]]}'?" if close else ""


def mistyped(word: str, known: Iterable[str]) -> str:
    """`. Did you mean 'x'?` where the word is x with a slip: another case or separator, or a letter or two, no digit.

    Names of one kind often resemble each other (gla and glm, llama and mllama): a word that is another name gets none.
    """
    best = min(((_slips(word[:100], name), name) for name in known), default=(len(word) + 1, ""))
    allowed = 0 if len(word) < SHORTEST else 1 if len(word) < LONG else 2
    return f". Did you mean '{best[1]}'?" if best[0] <= allowed else ""


def _slips(word: str, name: str) -> int:
    """Letters to change, add or drop so that one becomes the other, without regard to case and separators."""
    one, other = (each.lower().replace("-", "_").replace("_", "").replace(".", "") for each in (word, name))
    if one == other:
        return 0
    if [each for each in one if each.isdigit()] != [each for each in other if each.isdigit()] or one[:1] != other[:1]:
        return max(len(one), len(other)) + 1
    steps = SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
    return sum(max(i2 - i1, j2 - j1) for kind, i1, i2, j1, j2 in steps if kind != "equal")
