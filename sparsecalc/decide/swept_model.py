"""One model as a sweep asks it: figures of many batch sizes and contexts at once.

Columns have the shape of what they depend on: a plain value, or an array that broadcasts with the tile's.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from sparsecalc.core.arrays import each_of
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.workload import Workload
from sparsecalc.decide.llama import buffers_of_files
from sparsecalc.decide.model_name import Variant
from sparsecalc.decide.question import Question
from sparsecalc.estimate import costs
from sparsecalc.estimate.load import Load, Requests

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

Columns = dict[str, Any]
"""Plain values and arrays by the names of `SweepRow`."""


SERVED = (
    "running",
    "ttft_seconds",
    "tpot_seconds",
    "tpot_seconds_low",
    "tpot_seconds_high",
    "output_tokens_per_second",
    "output_tokens_per_second_per_gpu",
)
GROUP_OF: dict[str, tuple[str, ...]] = {
    "params": ("total_params", "active_params"),
    "flops": ("prefill_flops_per_token", "decode_flops_per_token"),
    "memory": (
        "weights_bytes",
        "kv_cache_bytes_per_token",
        "kv_cache_bytes",
        "index_cache_bytes",
        "state_bytes",
        "activation_bytes",
        "logits_bytes",
        "model_bytes",
    ),
    "fit": ("fits",),
    "largest": ("largest_batch_size",),
    "device": (
        "bytes_per_gpu",
        "weights_bytes_per_gpu",
        "free_bytes_per_gpu",
        "gpus_needed",
        "largest_context_len",
    ),
    "prefill": (
        "prefill_seconds",
        "prefill_seconds_low",
        "prefill_seconds_high",
        "usd_per_million_input_tokens",
    ),
    "decode": ("decode_seconds", "decode_seconds_low", "decode_seconds_high", "bound", "tokens_per_second"),
    "serving": (*SERVED, "joules_per_output_token_at_most", "usd_per_million_output_tokens", "served_by"),
}
"""Columns that are computed together."""


class Tile(Frozen):
    """Points that are computed together: arrays of batch sizes and contexts that broadcast, whole floats."""

    batches: "Array"
    contexts: "Array"
    requests: Requests
    """Those of each point; arrays as `contexts`, and `batches`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the points."""
        import numpy as np

        return np.broadcast_shapes(self.batches.shape, self.contexts.shape)

    def loads(self, question: Question) -> Iterator[tuple[Load, Requests]]:
        """The load and the requests of each point in order, in plain numbers."""
        import numpy as np

        own = (self.batches, self.contexts, self.requests.prompt_len, self.requests.output_len)
        for point in zip(*(np.broadcast_to(each, self.shape).ravel() for each in own), strict=True):
            batch, context, prompt, output = map(int, point)
            load = question.load.but(batch_size=batch, context_len=context)
            yield load, Requests(prompt_len=prompt, output_len=output, concurrency=batch)


class SweptModel:
    """A model in its formats, whatever it runs on: counts, FLOPs and bytes."""

    def __init__(self, variant: Variant, question: Question) -> None:
        self.variant, self.question, self.model = variant, question, variant.model
        self.precision = variant.precision

    def place(self) -> Columns:
        """What says which model it is, in which formats."""
        return {"weights_dtype": self.precision.name, "kv_cache_dtype": self.precision.kv_cache.id}

    def groups(self) -> dict[str, Callable[[Tile], Columns]]:
        """What computes some columns at once, by one of their names; see `GROUP_OF`."""
        return {"params": self._params, "flops": self._flops, "memory": self._memory}

    def _params(self, tile: Tile) -> Columns:
        found = costs.params(self.model)
        return {"total_params": found.total, "active_params": found.active}

    def _flops(self, tile: Tile) -> Columns:
        contexts = tile.contexts
        prompt = self.model.ops(Workload.prefill(contexts)).sum("flops") / contexts
        step = self.model.ops(Workload.decode(contexts)).sum("flops")
        return {"prefill_flops_per_token": prompt, "decode_flops_per_token": whole(step)}

    def _memory(self, tile: Tile) -> Columns:
        """As `costs.memory`, which it is where llama.cpp's buffers take the place of caches and working memory."""
        import numpy as np

        load = self.question.load
        if self._llama(load):
            return as_arrays([self._memory_at(load) for load, _ in tile.loads(self.question)], tile.shape)
        rows, precision = self.model.ops(Workload.decode(tile.contexts, tile.batches)), self.precision
        one = costs.memory(self.model, precision, load)
        kv, index = (precision.kv_cache_bytes(rows.sum(name)) for name in ("kv_elements", "index_elements"))
        state = precision.state_bytes(rows)
        tokens = costs.step_tokens(load.but(batch_size=tile.batches, context_len=tile.contexts))
        activations = each_of(self._activation_bytes, tokens)
        logits = costs.logits_bytes(self.model.spec, precision, tile.batches)
        return {
            "weights_bytes": one.weights_bytes,
            "kv_cache_bytes_per_token": one.kv_cache_bytes_per_token,
            "kv_cache_bytes": whole(kv),
            "index_cache_bytes": whole(index),
            "state_bytes": whole(state),
            "activation_bytes": whole(activations),
            "logits_bytes": whole(logits),
            "model_bytes": whole(one.weights_bytes + kv + index + state + np.maximum(activations, logits)),
        }

    def _activation_bytes(self, tokens: int) -> int:
        return costs.activation_bytes(self.model.spec, self.precision, tokens)

    def _llama(self, load: Load) -> Any:
        """Memory as llama.cpp's log prints it, where it holds the model; else None."""
        return buffers_of_files(self.model, self.precision, self.question.but(load=load))

    def _memory_at(self, load: Load) -> Columns:
        held = costs.memory(self.model, self.precision, load)
        held = held.as_llama(self._llama(load))
        names = set(GROUP_OF["memory"]) - {"model_bytes"}
        return {name: getattr(held, name) for name in names} | {"model_bytes": held.total_bytes}


def whole(values: Any) -> Any:
    """Whole floats as integers."""
    import numpy as np

    return np.rint(values).astype(np.int64) if isinstance(values, np.ndarray) else round(values)


def as_arrays(points: list[Columns], shape: tuple[int, ...]) -> Columns:
    """One dictionary for each point as one array for each column; objects where some have none."""
    import numpy as np

    found = {}
    for name in points[0]:
        values = [point[name] for point in points]
        kind = object if None in values else None
        found[name] = np.array(values, dtype=kind).reshape(shape)
    return found
