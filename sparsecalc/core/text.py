"""Text and values from outside, made safe and short enough to print."""


def printable(text: str, longest: int = 200) -> str:
    """`text` with a question mark for everything that could steer a terminal, and cut at `longest` characters."""
    safe = text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)
    return safe if len(safe) <= longest else safe[: longest - 3] + "..."


def brief(value: object) -> str:
    """A value of a config as it goes into a message: at most 60 characters."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return "an integer of more than 20 digits"
    return printable(repr(value), 60)
