"""What transformers' own modules add to a device's kernels: the engine of predictions for `profile` and `bench`."""

from statistics import mean, median
from typing import Any

from sparsecalc.core.workload import Workload
from sparsecalc.device.time_constants import DeviceModel, Engine
from sparsecalc.estimate.kernel import ACTIVATION_BYTES
from sparsecalc.estimate.step import Step, step_time
from sparsecalc.library.formats import precision_for
from sparsecalc.measure.calibrate.eager_benchmarks import PAST, tiny_spec

NAME = "transformers"
LARGE = 2**20
"""Bytes of an elementwise operation's rows from which its traffic takes the time."""


def fit_engine(rows: list[dict[str, Any]], device: DeviceModel) -> Engine | None:
    """The engine `transformers` on a device whose kernels are fitted; None without rows of tiny models.

    kernel_seconds = (seconds of a tiny model's layer - what its kernels take) / kernels, mean over the models
    step_seconds   = seconds of a tiny model's step outside its layer - what is predicted for it
    vector_factor  = seconds of elementwise operations / what their inputs and outputs alone take
    """
    if not any(row["op"] == "eager" for row in rows):
        return None
    bare = Engine(id=NAME, name=NAME, step_seconds=0.0, sequence_seconds=0.0, spread=0.1, source="calibrate")
    bare = bare.but(vector_factor=_vector_factor(rows, device))

    def left(what: str, engine: Engine) -> list[tuple[float, float]]:
        """Seconds that are not predicted, and kernels, of each tiny model."""
        return [
            _unexplained(row, device.but(engine=engine)) for row in rows if row["op"] == "eager" and row["what"] == what
        ]

    per_kernel = [max(0.0, seconds) / kernels for seconds, kernels in left("layer", bare)]
    engine = bare.but(kernel_seconds=mean(per_kernel or [0.0]))
    outside = [seconds for seconds, _ in left("rest", engine)]
    return engine.but(step_seconds=max(0.0, mean(outside or [0.0])))


def _unexplained(row: dict[str, Any], device: DeviceModel) -> tuple[float, float]:
    """Measured less predicted seconds of a tiny model's layer or of what stands outside it, and its kernels."""
    spec = tiny_spec(row["model_type"])
    step: Step = step_time(spec, Workload.decode(PAST + 1), precision_for(spec, row["dtype"]), device)
    inside = spec.layer_groups[0].layer.label
    own = [time for time in step.times if (time.kernel.group == inside) == (row["what"] == "layer")]
    return row["seconds"] - sum(time.seconds for time in own), sum(time.kernel.launches for time in own)


def _vector_factor(rows: list[dict[str, Any]], device: DeviceModel) -> float:
    """A norm with its residual and an MLP's gate each move three times their rows where they are one kernel."""
    constants = device.of("vector")
    rate = constants.bandwidth * device.memory_bytes_per_second
    moved = [
        (row["seconds"], 3 * ACTIVATION_BYTES * row["tokens"] * row["width"])
        for row in rows
        if row["op"] == "elementwise"
    ]
    return max(1.0, median([seconds * rate / size for seconds, size in moved if size >= LARGE] or [1.0]))
