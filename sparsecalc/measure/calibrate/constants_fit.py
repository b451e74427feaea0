"""Least squares over the constants of the time model: what `calibrate` and the tools that write data files fit with.

Constants are positive and differ by powers of ten, so they are fitted in logarithms: x = ln(constant). Errors are
ln(predicted / measured), so that twice too long counts as much as half too long. The only place that imports scipy.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from sparsecalc.device.time_constants import Collective, DeviceModel, KernelConstants
from sparsecalc.estimate.kernel import Kernel
from sparsecalc.estimate.timing import kernel_time, transfer_time

Floats = npt.NDArray[np.float64]
Limits = Mapping[str, tuple[float, float]]
"""The least and the largest value of each constant."""
SOFT = 0.05
"""Errors beyond this count by their size instead of their square."""


def least_error(
    errors: Callable[[Floats], Floats],
    start: Floats,
    bounds: tuple[Floats, Floats],
    *,
    center: Floats | None = None,
    pull: Floats | float = 0.0,
    soft: float = SOFT,
    slopes: Callable[[Floats], Floats] | None = None,
    most_steps: int | None = None,
) -> Floats:
    """The x within `bounds` that minimises the sum of rho(errors(x)) + rho(pull * (x - center)).

    rho is the soft absolute value, 2 s^2 (sqrt(1 + (e / s)^2) - 1) with s = `soft`. Without `center` nothing is drawn
    anywhere.
    """

    def residuals(x: Floats) -> Floats:
        return errors(x) if center is None else np.concatenate([errors(x), pull * (x - center)])

    def jacobian(x: Floats) -> Floats:
        assert slopes is not None
        return slopes(x) if center is None else np.concatenate([slopes(x), np.diag(np.broadcast_to(pull, x.shape))])

    best: Floats = least_squares(
        residuals,
        start,
        jac=jacobian if slopes else "2-point",
        bounds=bounds,
        loss="soft_l1",
        f_scale=soft,
        max_nfev=most_steps,
    ).x
    return best


class KernelFit:
    """The free constants of one class of kernels, held against its measured rows."""

    def __init__(
        self,
        kernel: Kernel,
        seconds: Floats,
        device: DeviceModel,
        limits: Limits,
        *,
        first: Mapping[str, float] | None = None,
        margin: float = 1e-3,
    ) -> None:
        """`kernel`: all rows as one, with arrays of counts; `limits` name the constants that are free.

        A constant begins at the value in `first`, else at the device's own, but `margin` (in logarithms) within its
        limits. Constants of 0 must be in `first`.
        """
        self.kernel, self.seconds, self.names = kernel, seconds, tuple(limits)
        self.device = device.but(engine=device.engine.but(launch_factor=1.0, bandwidth_factor=1.0))
        self.known = device.of(kernel.family, kernel.form)
        self.bounds = bounds_of(limits)
        begin = np.log([(first or {}).get(name) or getattr(self.known, name) for name in self.names])
        self.begin: Floats = np.clip(begin, self.bounds[0] + margin, self.bounds[1] - margin)

    def constants(self, x: Floats) -> KernelConstants:
        """The class's constants with the free ones at exp(x)."""
        return self.known.but(**dict(zip(self.names, np.exp(x).tolist(), strict=True)))

    def errors(self, x: Floats) -> Floats:
        """ln(predicted / measured) of every row, timed alone as benchmarks do."""
        changed = {**self.device.constants, f"{self.kernel.family}.{self.kernel.form}": self.constants(x)}
        predicted = kernel_time(self.kernel, self.device.but(constants=changed), alone=True).seconds
        return np.log(predicted / self.seconds)

    def fitted(self, start: Floats, rows: npt.NDArray[np.bool_], pull: Floats | float) -> Floats:
        """The best x for the chosen `rows`, from `start` on; the prior is `begin`, its weight sqrt(rows) * pull."""
        weight = np.sqrt(rows.sum()) * pull
        return least_error(lambda x: self.errors(x)[rows], start, self.bounds, center=self.begin, pull=weight)


def bounds_of(limits: Limits) -> tuple[Floats, Floats]:
    """The limits in logarithms, low and high."""
    low, high = np.log([[limits[name][side] for name in limits] for side in (0, 1)])
    return low, high


def collective_errors(kind: str, rows: Mapping[str, Any], device: DeviceModel, constants: Collective) -> Floats:
    """ln(predicted / measured) of every row of one kind of collective, timed alone.

    `rows` holds arrays of the same length: `ranks`, `bytes` of one rank, `seconds`.
    """
    changed = device.but(collectives={**device.collectives, kind: constants})
    predicted = np.empty(len(rows["seconds"]))
    for ranks in np.unique(rows["ranks"]):
        some = rows["ranks"] == ranks
        predicted[some] = transfer_time("", kind, 1, int(ranks), rows["bytes"][some], changed, alone=True).seconds
    return np.log(predicted / rows["seconds"])
