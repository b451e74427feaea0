"""A device as an engine fills it: which loads it holds, whatever the engine's rules are."""

from abc import ABC, abstractmethod

from sparsecalc.core.largest import largest_within
from sparsecalc.estimate.fit import LARGEST_BATCH, LARGEST_CONTEXT
from sparsecalc.estimate.load import Load
from sparsecalc.estimate.results import Prediction


class FilledDevice(ABC):
    """What follows from by how much a load is too much."""

    @abstractmethod
    def excess(self, load: Load) -> int:
        """By how many bytes the fullest memory is too full; 0 or less: the load fits."""

    @abstractmethod
    def fitted(self, generic: Prediction, load: Load) -> Prediction:
        """`generic` with what the engine makes of it: fit, largest loads, bytes in use and free."""

    def fits(self, load: Load) -> bool:
        """Whether everything finds room."""
        return self.excess(load) <= 0

    def most_sequences(self, load: Load, asked: int) -> int:
        """Sequences that run at once at most, of `asked` ones."""
        return asked

    def largest_batch(self, load: Load) -> int:
        """Largest number of sequences that is held at the load's context."""
        return largest_within(LARGEST_BATCH, lambda batch: self.excess(load.but(batch_size=batch)), load.batch_size)

    def largest_context(self, load: Load) -> int:
        """Largest context of each of the load's sequences that is held."""
        return largest_within(
            LARGEST_CONTEXT, lambda context: self.excess(load.but(context_len=context)), load.context_len
        )

    def _fit(self, generic: Prediction, load: Load, held: int, room: int) -> Prediction:
        """`generic` where the fullest device holds `held` of `room` bytes."""
        over, needed = self.excess(load), generic.gpus_needed
        if needed is not None:
            needed = min(needed, generic.num_gpus) if over <= 0 else max(needed, generic.num_gpus + 1)
        return generic.but(
            fits=over <= 0,
            gpus_needed=needed,
            device_memory_share=room / generic.capacity_bytes,
            bytes_per_gpu=held,
            free_bytes_per_gpu=room - held if over <= 0 else min(room - held, -over),
            largest_batch_size=self.largest_batch(load),
            largest_context_len=self.largest_context(load),
        )
