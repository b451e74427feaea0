"""What it costs to take another accelerator's constants: each device is left out in turn."""

from collections.abc import Collection, Iterator
from functools import cache

from sparsecalc.data_files import read_data
from sparsecalc.decide.published import DeviceOf, Row, kernel_checks, serving_checks, shipped_device, step_checks
from sparsecalc.device.assemble import device_model
from sparsecalc.device.engines import engine_ids
from sparsecalc.device.find import load_accelerator
from sparsecalc.device.kin import are_kin, nearest
from sparsecalc.device.sheets import accelerator_ids
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.documents.validate import Check

STRIDE = 2
"""Of a device's serving runs, every so many are predicted."""


def kin_groups(runs: list[Row]) -> Iterator[tuple[str, list[Check]]]:
    """Predictions for each accelerator that was measured: with its own constants, and as if it never had been.

    Then it has what an accelerator without measurements has: the constants of its nearest kin, where there is one.
    Beside them those of the nearest accelerator of its vendor that is no kin, and general ones. Kernels, serving runs
    and steps with a fixed batch, where the constants of engines are left out too.
    """
    for gpu in measured():
        for whose, device_of in _devices(gpu).items():
            for source, checks in _checks(gpu, runs, device_of).items():
                if checks:
                    yield f"{source}, {gpu}, {whose}", checks


def measured() -> list[str]:
    """Accelerators whose kernels were measured, as data/kernel_constants.json names them."""
    entries = [entry for entry in read_data("kernel_constants.json")["devices"] if entry.get("kernels")]
    return sorted({entry["accelerators"][0] for entry in entries if entry.get("accelerators")})


def devices_without(names: Collection[str]) -> DeviceOf:
    """Device models that use no constants of these accelerators."""

    @cache
    def device_of(gpu: str, engine: str) -> DeviceModel:
        return device_model(load_accelerator(gpu), engine if engine in engine_ids() else None, names)

    return device_of


def _devices(gpu: str) -> dict[str, DeviceOf]:
    """Whose constants are used, and the device models with them."""
    general = devices_without(accelerator_ids())
    sheet = load_accelerator(gpu)
    kin = devices_without([gpu])(gpu, "").constants_of
    rest = [each for each in map(load_accelerator, measured()) if each.vendor == sheet.vendor]
    other = nearest(sheet, [each for each in rest if not are_kin(sheet, each)])
    found: dict[str, DeviceOf] = {"own": shipped_device, f"of {kin}" if kin else "": devices_without([gpu])}
    if other:

        def of_other(gpu: str, engine: str) -> DeviceModel:
            taken = shipped_device(other.id, engine)
            return general(gpu, engine).but(constants=taken.constants, collectives=taken.collectives)

        found[f"of {other.id}, no kin"] = of_other
    return {name: device_of for name, device_of in {**found, "general": general}.items() if name}


def _checks(gpu: str, runs: list[Row], device_of: DeviceOf) -> dict[str, list[Check]]:
    rows = [row for row in runs if row["gpu"] == gpu and not row["contradicted"]]
    return {
        "kernels": list(kernel_checks(device_of, gpu)),
        "serving": list(serving_checks(rows[::STRIDE], device_of)),
        "steps": [check for check in step_checks(device_of, gpu) if check.quality == "A"],
    }
