"""Which loads an engine based on llama.cpp holds: its buffers against the memory of the cards and of the host."""

from collections.abc import Sequence

from sparsecalc.core.frozen import Frozen
from sparsecalc.estimate.filled_device import FilledDevice
from sparsecalc.estimate.llama_memory.buffers import LlamaModel, Running
from sparsecalc.estimate.llama_memory.figures import LlamaMemory
from sparsecalc.estimate.load import Load
from sparsecalc.estimate.results import Prediction


class MemoryRoom(Frozen):
    """Memory that there is for the buffers."""

    names: tuple[str, ...]
    """Of the places in the log, host memory first."""
    card_bytes: int
    """Bytes of one card that may be filled."""
    shared: bool = False
    """Whether host and card are one memory (an integrated device, or a CPU alone)."""
    host_bytes: int | None = None
    """Bytes of host memory that may be filled; None: nothing is checked."""


class LlamaDevice(FilledDevice):
    """A model in the buffers of an engine based on llama.cpp, on one room."""

    def __init__(self, model: LlamaModel, room: MemoryRoom) -> None:
        self.model, self.room = model, room

    def leaving(self, margin_bytes: int) -> "LlamaDevice":
        """The same with so many bytes of each card left free."""
        return LlamaDevice(self.model, self.room.but(card_bytes=self.room.card_bytes - margin_bytes))

    def running(self, load: Load) -> Running:
        """The sequences that have cells of their own: those of -np, at least those of the load."""
        sequences = max(load.batch_size, self.model.rules.parallel or 1)
        return Running(sequences=sequences, context_len=load.context_len)

    def excess(self, load: Load) -> int:
        """By how many bytes the fullest place is too full; 0 or less: the load fits."""
        return self._excess(self.model.held(self.running(load)))

    def _excess(self, held: Sequence[int]) -> int:
        room = self.room
        if room.shared:
            return sum(held) - room.card_bytes
        over = max(held[1:]) - room.card_bytes
        return over if room.host_bytes is None else max(over, held[0] - room.host_bytes)

    def most_sequences(self, load: Load, asked: int) -> int:
        """Sequences that run at once at most: those of -np, where it is given."""
        return self.model.rules.parallel or asked

    def figures(self, load: Load) -> LlamaMemory:
        """What the log prints under a load."""
        return self.model.figures(self.running(load), self.room.names)

    def fitted(self, generic: Prediction, load: Load) -> Prediction:
        """`generic` with what llama.cpp makes of it; bytes in use and free are those of the fullest card."""
        held, shared = self.model.held(self.running(load)), self.room.shared
        place = 1 + held[1:].index(max(held[1:])) if len(held) > 1 else 0
        weights = sum(self.model.weights) if shared else self.model.weights[place]
        found = self._fit(generic, load, sum(held) if shared else held[place], self.room.card_bytes)
        return found.but(weights_bytes_per_gpu=weights, llama_memory=self.figures(load))
