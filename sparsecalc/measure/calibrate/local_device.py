"""The time model of the device that is measured: its calibration, its data sheet, or two seconds of probing."""

from functools import cache
from typing import Any

import torch

from sparsecalc.core.errors import InputError
from sparsecalc.core.notes import Note
from sparsecalc.device.assemble import blank_device, calibrated, device_model
from sparsecalc.device.calibration import Calibration, load_calibration, local_path, read_calibration
from sparsecalc.device.driver_names import accelerator_of
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.measure.calibrate.benchmark import run_benchmark
from sparsecalc.measure.calibrate.engine_fit import NAME
from sparsecalc.measure.calibrate.kernel_benchmarks import copy_benchmark, gemm_benchmark
from sparsecalc.measure.calibrate.measured_peaks import with_measured_peaks

PROBE_SECONDS = 0.4
"""Time budget of each of the probe's benchmarks."""
PROBE_BYTES = 2**24
PROBE_SIDE, PROBE_ROWS = 2048, 128


def local_device(
    environment: dict[str, Any], calibration: str | None = None, dtype: str = "bf16"
) -> tuple[DeviceModel, list[Note]]:
    """The time model under transformers' own modules, and what makes its predictions less trustworthy.

    In this order: the calibration that is named (a file, or `local`), the user's own of this device, the data sheet of
    a GPU, built-in constants with peaks from a quick probe. Raises InputError for a calibration of another kind of
    device, or one without constants.
    """
    kind, name = environment["device"], environment["device_name"]
    chosen = load_calibration(calibration) if calibration else _own(kind, name)
    if chosen:
        if chosen.device != kind or not chosen.constants:
            what = f"is of a {chosen.device} device" if chosen.constants else "has no constants"
            raise InputError(f"the calibration {what}", hint=f"Make one: sparsecalc calibrate --device {kind}")
        engine = NAME if chosen.constants.get("engine") else None
        return _in_a_loop(calibrated(name, chosen.constants, engine)), list(_differences(chosen, environment))
    sheet = accelerator_of(name, environment["memory_bytes"]) if kind == "cuda" else None
    text = f"this {kind} device was not calibrated: predictions rest on built-in constants"
    if sheet:
        from sparsecalc.device.find import load_accelerator

        model = device_model(load_accelerator(sheet))
    else:
        model = probed(kind, name, dtype)
        text += " and a quick probe of its peaks"
    return _in_a_loop(model), [Note(code="uncalibrated", text=f"{text} (sparsecalc calibrate makes them its own)")]


def _own(kind: str, name: str) -> Calibration | None:
    """The user's own calibration of this very device, if there is a finished one."""
    path = local_path(kind)
    if not path.is_file():
        return None
    own = read_calibration(path)
    return own if own.device_name == name and own.complete and own.constants else None


def _differences(calibration: Calibration, environment: dict[str, Any]) -> list[Note]:
    """A note where conditions differ from those of the calibration."""
    names = ("device_name", "threads", "torch", "power_limit_watts")
    old = {name: calibration.environment.get(name) for name in names} | {"device_name": calibration.device_name}
    changed = [
        f"{name} {old[name]}, now {environment.get(name)}" for name in names if old[name] != environment.get(name)
    ]
    if not changed:
        return []
    return [
        Note(code="other-conditions", text=f"the calibration was made under other conditions: {'; '.join(changed)}")
    ]


def _in_a_loop(model: DeviceModel) -> DeviceModel:
    """Without what a serving engine adds to a step; transformers' own step is measured."""
    if model.engine.id == NAME:
        return model
    return model.but(engine=model.engine.but(step_seconds=0.0, sequence_seconds=0.0))


@cache
def probed(kind: str, name: str, dtype: str) -> DeviceModel:
    """Built-in constants; bandwidth and peak of `dtype` from a copy and two products, one of a single row.

    Bandwidth is the slower of the copy's, and the product's over the share that products reach.
    """
    device = torch.device(kind)
    blank = blank_device(name, matrix_unit_rows=1 if kind == "cpu" else 8)
    cases = [
        copy_benchmark(PROBE_BYTES),
        *(gemm_benchmark(rows, PROBE_SIDE, PROBE_SIDE, dtype) for rows in (1, PROBE_ROWS)),
    ]
    rows = [run_benchmark(case, device, PROBE_SECONDS) for case in cases]
    model = with_measured_peaks(blank, rows)
    gemm = blank.of("gemm")
    read = PROBE_SIDE**2 * (4 if dtype == "fp32" else 2) / rows[1]["seconds"] / gemm.bandwidth
    peaks = {kind: rate / gemm.compute for kind, rate in model.peak_flops_per_second.items()}
    return model.but(peak_flops_per_second=peaks, memory_bytes_per_second=min(model.memory_bytes_per_second, read))
