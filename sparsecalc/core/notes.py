"""What a reader of the numbers must know, as data."""

from sparsecalc.core.frozen import Frozen


class Note(Frozen):
    """A note or warning: a code for scripts, a sentence for people, and the model that it concerns, if any."""

    code: str
    """A stable word for scripts, such as `does-not-fit`."""
    text: str
    """A sentence for people."""
    model: str | None = None
    """The model that it concerns, if any."""

    @property
    def with_model(self) -> str:
        """The text behind the model that it is about."""
        return f"{self.model}: {self.text}" if self.model else self.text
