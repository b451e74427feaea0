"""The constants of a calibration, fitted to its rows."""

from typing import Any

from sparsecalc.core.notes import Note
from sparsecalc.device.assemble import blank_device, device_model
from sparsecalc.device.calibration import Calibration
from sparsecalc.device.find import load_accelerator
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.measure.calibrate.device_fit import fit, fit_collectives
from sparsecalc.measure.calibrate.engine_fit import fit_engine
from sparsecalc.measure.calibrate.measured_peaks import with_measured_peaks

MEASURED = (
    "peak_flops_per_second",
    "memory_bytes_per_second",
    "link_bytes_per_second",
    "domain_size",
    "matrix_unit_rows",
)
"""Constants that a calibration holds only for a device without a data sheet."""


def fitted(calibration: Calibration) -> tuple[Calibration, list[Note]]:
    """The calibration with constants fitted to its rows: shares of the data sheet's peaks where the device is known.

    Elsewhere peaks and bandwidth are the best that was measured. `prior` holds the constants before the fit. A class
    of operations with too few rows keeps them, and without a matrix product and a copy nothing can be fitted.
    """
    rows = calibration.rows
    if not {"gemm", "copy"} <= {row["op"] for row in rows}:
        text = "no constants were fitted: that needs a matrix product and a copy at least"
        return calibration.but(complete=True), [Note(code="not-fitted", text=text)]
    prior = _prior(calibration)
    kernels, residuals = fit(rows, prior)
    collectives, more = fit_collectives(rows, prior)
    engine = fit_engine(rows, prior.but(constants={**prior.constants, **kernels}))
    constants: dict[str, Any] = {
        "accelerator": calibration.accelerator,
        **({} if calibration.accelerator else {name: getattr(prior, name) for name in MEASURED}),
        "kernels": {name: fields.to_dict() for name, fields in kernels.items()},
        "collectives": {name: fields.to_dict() for name, fields in collectives.items()},
        "engine": engine.to_dict() if engine else None,
    }
    before = {
        "kernels": {name: prior.of(*name.split(".", 1)).to_dict() for name in kernels},
        "collectives": {name: prior.collectives[name].to_dict() for name in collectives},
    }
    errors = {name: residual.to_dict() for name, residual in {**residuals, **more}.items()}
    return calibration.but(complete=True, constants=constants, prior=before, residuals=errors), []


def _prior(calibration: Calibration) -> DeviceModel:
    """The device's data sheet with built-in constants; without one, peaks from the rows."""
    if calibration.accelerator:
        return device_model(load_accelerator(calibration.accelerator))
    rows_of_unit = 1 if calibration.device == "cpu" else 8
    return with_measured_peaks(blank_device(calibration.device_name, matrix_unit_rows=rows_of_unit), calibration.rows)
