"""Errors that a user can do something about. Each is one line: what, where, what to do next."""


class SparsecalcError(Exception):
    """A known failure; the command line prints it and exits with `exit_code`."""

    exit_code = 1


class InputError(SparsecalcError):
    """Bad usage or bad input: what is wrong, where, and what to do next."""

    exit_code = 2

    def __init__(self, text: str, *, where: str = "", hint: str = "") -> None:
        self.text, self.where, self.hint = text, where, hint
        super().__init__(": ".join(filter(None, (where, text))) + (f". {hint}" if hint else ""))


def reason_of(error: BaseException, longest: int = 160) -> str:
    """Why something failed, in one line: the system's words, else the first line of the error, else its class."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    lines = words.strip().splitlines()
    return lines[0][:longest] if lines else type(error).__name__


def named_reason_of(error: BaseException, longest: int = 160) -> str:
    """The same behind the class of the error: `ValueError: no such key`."""
    name, line = type(error).__name__, reason_of(error, longest)
    return name if line == name else f"{name}: {line}"
