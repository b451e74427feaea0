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
