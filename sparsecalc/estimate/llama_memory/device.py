"""Which loads an engine based on llama.cpp holds: its buffers against the memory of the cards and of the host."""

from collections.abc import Sequence

from sparsecalc.core.frozen import Frozen
from sparsecalc.core.largest import largest_within
from sparsecalc.estimate.fit import LARGEST_BATCH, LARGEST_CONTEXT
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
    capacity_bytes: int
    """All bytes of one card."""
    shared: bool = False
    """Whether host and card are one memory (an integrated device, or a CPU alone)."""
    host_bytes: int | None = None
    """Bytes of host memory that may be filled; None: nothing is checked."""


class LlamaDevice:
    """A model in the buffers of an engine based on llama.cpp, on one machine."""

    def __init__(self, model: LlamaModel, machine: MemoryRoom) -> None:
        self.model, self.machine = model, machine

    def running(self, load: Load) -> Running:
        """The sequences that have cells of their own: those of -np, at least those of the load."""
        sequences = max(load.batch_size, self.model.rules.parallel or 1)
        return Running(sequences=sequences, context_len=load.context_len)

    def excess(self, load: Load) -> int:
        """By how many bytes the fullest place is too full; 0 or less: the load fits."""
        return self._excess(self.model.held(self.running(load)))

    def _excess(self, held: Sequence[int]) -> int:
        machine = self.machine
        if machine.shared:
            return sum(held) - machine.card_bytes
        over = max(held[1:]) - machine.card_bytes
        return over if machine.host_bytes is None else max(over, held[0] - machine.host_bytes)

    def fits(self, load: Load) -> bool:
        """Whether all buffers find room."""
        return self.excess(load) <= 0

    def most_sequences(self, load: Load, asked: int) -> int:
        """Sequences that run at once at most: those of -np, where it is given."""
        return self.model.rules.parallel or asked

    def largest_batch(self, load: Load) -> int:
        """Largest number of sequences that is held at the load's context."""
        return largest_within(LARGEST_BATCH, lambda batch: self.excess(load.but(batch_size=batch)), load.batch_size)

    def largest_context(self, load: Load) -> int:
        """Largest context of each of the load's sequences that is held."""
        return largest_within(
            LARGEST_CONTEXT, lambda context: self.excess(load.but(context_len=context)), load.context_len
        )

    def figures(self, load: Load) -> LlamaMemory:
        """What the log prints under a load."""
        return self.model.figures(self.running(load), self.machine.names)

    def fitted(self, generic: Prediction, load: Load) -> Prediction:
        """`generic` with what llama.cpp makes of it: fit, largest loads, bytes in use and free on the fullest card."""
        held, machine = self.model.held(self.running(load)), self.machine
        over = self._excess(held)
        busiest = sum(held) if machine.shared else max(held[1:])
        place = 0 if len(held) == 1 else 1 + held[1:].index(max(held[1:]))
        needed = generic.gpus_needed
        if needed is not None:
            needed = min(needed, generic.num_gpus) if over <= 0 else max(needed, generic.num_gpus + 1)
        return generic.but(
            fits=over <= 0,
            gpus_needed=needed,
            device_memory_share=machine.card_bytes / machine.capacity_bytes,
            bytes_per_gpu=busiest,
            weights_bytes_per_gpu=sum(self.model.weights) if machine.shared else self.model.weights[place],
            free_bytes_per_gpu=machine.card_bytes - busiest if over <= 0 else min(machine.card_bytes - busiest, -over),
            largest_batch_size=self.largest_batch(load),
            largest_context_len=self.largest_context(load),
            llama_memory=self.figures(load),
        )
