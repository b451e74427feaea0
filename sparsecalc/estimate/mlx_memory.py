"""MLX's peak memory: weights, a cache that grows by copying, and what a step of a prompt computes."""

from functools import cache
from math import ceil
from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.data_files import read_data
from sparsecalc.estimate.costs import activation_bytes
from sparsecalc.estimate.filled_device import FilledDevice
from sparsecalc.estimate.llama_memory.figures import MlxMemory
from sparsecalc.estimate.load import Load
from sparsecalc.estimate.results import Prediction
from sparsecalc.model.ledgers import Ledgers


@cache
def _table() -> dict[str, Any]:
    found: dict[str, Any] = read_data("mlx_memory.json")
    return found


def prefill_step_size() -> int:
    """Tokens of a prompt that mlx_lm computes at once."""
    return int(_table()["prefill_step_size"]["value"])


class MlxRules(Frozen):
    """What MLX is told: tokens of a prompt's step, and the memory that its device lets it have."""

    step_tokens: int
    room_bytes: int
    live_steps: float | None = None
    """How often the largest part's results are held at once; None: the fitted number."""


class MlxDevice(FilledDevice):
    """A model in MLX on one machine.

        peak = weights + cache, in steps of 256 cells + the cache before its last step + results * live_steps

    results: those of the largest part of a layer for one step of the prompt. Source: data/mlx_memory.json.
    """

    def __init__(self, model: Ledgers, precision: Precision, rules: MlxRules) -> None:
        self.model, self.precision, self.rules = model, precision, rules
        self.weights = int(model.ops(Workload()).sum(precision.weight_bytes))

    def _cached(self, context_len: int, sequences: int) -> int:
        rows = self.model.ops(Workload.decode(context_len, sequences))
        elements = rows.total("kv_elements") + rows.total("index_elements")
        return int(self.precision.kv_cache_bytes(elements) + self.precision.state_bytes(rows))

    def figures(self, load: Load) -> MlxMemory:
        """The parts of the peak under a load."""
        step = int(_table()["cache_step"]["value"])
        cells = ceil(load.context_len / step) * step
        held = self._cached(cells, load.batch_size)
        before = self._cached(cells - step, load.batch_size) if cells > step else 0
        live = self.rules.live_steps or float(_table()["live_steps"]["value"])
        tokens = min(self.rules.step_tokens, load.context_len) * load.batch_size
        results = int(live * activation_bytes(self.model.spec, self.precision, tokens))
        return MlxMemory(
            weights_bytes=self.weights,
            kv_cache_bytes=held,
            growth_bytes=before,
            activation_bytes=results,
            peak_bytes=self.weights + held + before + results,
        )

    def excess(self, load: Load) -> int:
        """By how many bytes the peak is more than the device lets MLX have."""
        return self.figures(load).peak_bytes - self.rules.room_bytes

    def fitted(self, generic: Prediction, load: Load) -> Prediction:
        """`generic` with MLX's peak."""
        found = self.figures(load)
        return self._fit(generic, load, found.peak_bytes, self.rules.room_bytes).but(
            weights_bytes_per_gpu=self.weights, mlx_memory=found
        )
