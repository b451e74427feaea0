"""Put a device model together: data sheet, constants of its kernels from data, an engine's profile, a calibration."""

from collections.abc import Collection, Mapping
from functools import cache
from math import hypot
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.data_files import read_data
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.device.calibration import load_calibration
from sparsecalc.device.engines import engine_entry, engine_profile, fitted_to
from sparsecalc.device.find import load_accelerator
from sparsecalc.device.kin import Taken, constants_for
from sparsecalc.device.levels import MEASURED, base_of, level, measured
from sparsecalc.device.time_constants import Collective, DeviceModel, Engine, KernelConstants


@cache
def _kernels() -> dict[str, Any]:
    found: dict[str, Any] = read_data("kernel_constants.json")
    return found


@cache
def _links() -> dict[str, Any]:
    found: dict[str, Any] = read_data("interconnects.json")
    return {link["id"]: link for link in found["links"]}


def device_model(gpu: Accelerator, engine: str | None = None, without: Collection[str] = ()) -> DeviceModel:
    """What the time model knows about an accelerator: data sheet and fitted constants.

    Constants are looked up from the general to the special: default, architecture or nearest kin (device/kin.py), the
    accelerator itself, and where it was calibrated, that. Constants of accelerators in `without` are not used.
    """
    if gpu.calibration:
        found = load_calibration(gpu.calibration)
        if not found.constants:
            raise InputError("the calibration has no constants", hint="Fit them: sparsecalc calibrate --resume")
        model = calibrated(gpu.calibration, found.constants, engine)
        return model.but(accelerator=found.accelerator or gpu.calibration)
    table, profile = _kernels(), engine_profile(engine, gpu, without)
    collectives: dict[str, Collective] = {}
    entries = [entry for entry in table["devices"] if entry.get("engine", profile.id) == profile.id]
    fitted = constants_for(gpu, entries, without)
    kernels = _kernels_of(gpu, [table["default"], *fitted.entries])
    for entry in [table["default"], *fitted.entries]:
        for name, fields in entry.get("collectives", {}).items():
            collectives[name] = Collective(**{"origin": entry["origin"], **fields})
    for form, other in table["same_as"].items():
        for family in ("gemm", "experts"):
            if f"{family}.{other}" in kernels:
                kernels.setdefault(f"{family}.{form}", kernels[f"{family}.{other}"])
    entry = engine_entry(engine, gpu)
    devices = fitted_to(entry, gpu, without)
    own = _own_kernels(entry, devices)
    kept = gpu.id in entry.get("measured", ()) and gpu.id not in without if own else bool(fitted.entries or devices)
    unknown = 0.0 if kept else _unmeasured_spread(entry)
    links = gpu.scale_up
    return DeviceModel(
        accelerator=gpu.id,
        peak_flops_per_second=_peaks(gpu, profile),
        memory_bytes_per_second=gpu.memory_bytes_per_second,
        link_bytes_per_second=links.bytes_per_second_bidirectional / 2
        if links and links.bytes_per_second_bidirectional
        else gpu.pcie_bytes_per_second or _links()[table["host_link"]]["bytes_per_second"],
        node_bytes_per_second=_links()[table["node_link"]]["bytes_per_second"],
        domain_size=links.domain_size if links else table["pcie_domain_size"],
        host_bytes_per_second=_host_bytes_per_second(gpu, table),
        tdp_watts=gpu.tdp_watts,
        matrix_unit_rows=1 if own else 8,
        constants={name: each.but(spread=hypot(each.spread, unknown)) for name, each in (own or kernels).items()},
        collectives={name: each.but(spread=hypot(each.spread, unknown)) for name, each in collectives.items()},
        engine=profile,
        constants_of=(gpu.id if kept else "") if own else fitted.measured_on or "",
        notes=_notes(gpu, profile, fitted, kept=kept, families=bool(devices) if own else None),
    )


VECTOR_PRODUCTS = {"int8": 4, "bf16": 2, "fp16": 2}
"""Products per clock of a CPU's vector units over those in FP32: dot products of what fits in 32 bits (VNNI, BF16)."""


def _peaks(gpu: Accelerator, engine: Engine) -> dict[str, float]:
    """Peaks that an engine's kernels can have: of a CPU those of its vector units, unless it uses the matrix units."""
    peaks = {str(name): value for name, value in gpu.peak_flops_per_second.items() if value}
    if gpu.kind != "cpu" or engine.matrix_units or "fp32" not in peaks:
        return peaks
    return {name: min(value, VECTOR_PRODUCTS.get(name, 1) * peaks["fp32"]) for name, value in peaks.items()}


def _unmeasured_spread(entry: Mapping[str, Any]) -> float:
    """What is added to the spread on accelerators of which nothing was measured under the engine."""
    return float(entry.get("unmeasured_spread", _kernels()["unmeasured_spread"]))


def _own_kernels(entry: Mapping[str, Any], devices: list[dict[str, Any]]) -> dict[str, KernelConstants]:
    """Constants of an engine that has kernels of its own: of its backend, and on top what its devices differ in.

    Its kernels pad no tiles: how well they fill is in their constants.
    """
    found = {name: dict(fields) for name, fields in entry.get("kernels", {}).items()}
    for device in devices:
        for name, fields in device.get("kernels", {}).items():
            found[name].update(fields)
    return {name: KernelConstants(**{"origin": entry["source"], **fields}) for name, fields in found.items()}


def _kernels_of(gpu: Accelerator, entries: list[dict[str, Any]]) -> dict[str, KernelConstants]:
    """Constants from the general to the special, each scaled from where it was fitted to this accelerator."""
    table = _kernels()
    share, default = table["measured_share"], table["default"]
    products = [entry for entry in entries if "gemm" in entry.get("kernels", {})][-1]
    first = products.get("accelerators", [None])[0]
    kin, sibling = (load_accelerator(name) if name else None for name in (first, table["measured_as"].get(gpu.id)))
    own = level(gpu, products, share, kin, sibling)
    found: dict[str, KernelConstants] = {}
    for entry in entries:
        base = own if gpu.id in entry.get("accelerators", ()) else base_of(entry, table["devices"]) or own
        if entry is default and (gpu.id in default["chosen_on"] or gpu.arch.startswith(tuple(default["chosen_on"]))):
            base = own
        for name, fields in entry.get("kernels", {}).items():
            found[name] = own.scaled(_constants(fields, entry), base)
    return found


def _notes(gpu: Accelerator, engine: Engine, taken: Taken, *, kept: bool, families: bool | None) -> tuple[str, ...]:
    """What to know of constants that were not measured on the accelerator; `families`: whether the engine's own kernels
    were on others of its family, None for an engine whose kernels are not its own."""
    if families is None:
        return () if taken.measured_on == gpu.id else (_unmeasured(gpu, taken),)
    if kept:
        return ()
    whose = "its family's" if families else f"those of the backend ({engine.backend})"
    return (f"no row of {engine.name} was measured on {gpu.id}: its constants are {whose}; calibrate it with one test",)


def _unmeasured(gpu: Accelerator, taken: Taken) -> str:
    """What to know of an accelerator whose kernels were not measured."""
    whose = (
        f"those of {taken.measured_on}" if taken.measured_on else "its family's" if taken.entries else "general ones"
    )
    if any(measured(gpu, side) for side in MEASURED):
        whose += ", scaled to the product or copy that was measured on it"
    return f"no kernels were measured on {gpu.id}: its constants are {whose}; calibrate it, or expect larger errors"


def blank_device(name: str, engine: str | None = None, matrix_unit_rows: int = 8) -> DeviceModel:
    """A device without a data sheet: the default constants, peaks and bandwidth still to be measured.

    `matrix_unit_rows` is 1 on a CPU, whose vector units pad nothing.
    """
    table = _kernels()
    default = table["default"]
    return DeviceModel(
        accelerator=name,
        peak_flops_per_second={},
        memory_bytes_per_second=1.0,
        link_bytes_per_second=1.0,
        node_bytes_per_second=1.0,
        domain_size=1,
        host_bytes_per_second=1.0,
        matrix_unit_rows=matrix_unit_rows,
        tdp_watts=None,
        constants={key: _constants(fields, default) for key, fields in default["kernels"].items()},
        collectives={
            key: Collective(**{"origin": default["origin"], **fields}) for key, fields in default["collectives"].items()
        },
        engine=engine_profile(engine),
    )


def calibrated(name: str, constants: dict[str, Any], engine: str | None = None) -> DeviceModel:
    """The device model that a calibration's `constants` stand for: data sheet if known, peaks, bandwidth, kernels.

    constants: {"accelerator": id or null, "peak_flops_per_second": {...}, "memory_bytes_per_second": n,
                "kernels": {class: fields of KernelConstants}, "collectives": {...}, "engine": fields of Engine or null,
                "link_bytes_per_second": n, "domain_size": n, "matrix_unit_rows": n}

    A device without a data sheet runs under the engine that the calibration measured, unless another is named.
    Classes of kernels that were not measured take the constants of another format of their family.
    """
    from sparsecalc.device.find import load_accelerator

    known, own = constants.get("accelerator"), constants.get("engine")
    measured = own is not None and engine in (own["id"], *([] if known else [None]))
    named = None if measured else engine
    rows = constants.get("matrix_unit_rows", 8)
    base = device_model(load_accelerator(known), named) if known else blank_device(name, named, rows)
    kernels = {key: KernelConstants(**fields) for key, fields in constants["kernels"].items()}
    families = {key.partition(".")[0]: fields for key, fields in reversed(kernels.items())} if not known else {}
    collectives = {key: Collective(**fields) for key, fields in (constants.get("collectives") or {}).items()}
    return base.but(
        peak_flops_per_second={**base.peak_flops_per_second, **constants.get("peak_flops_per_second", {})},
        memory_bytes_per_second=constants.get("memory_bytes_per_second") or base.memory_bytes_per_second,
        link_bytes_per_second=constants.get("link_bytes_per_second") or base.link_bytes_per_second,
        domain_size=constants.get("domain_size") or base.domain_size,
        constants={**base.constants, **families, **kernels},
        collectives={**base.collectives, **collectives},
        engine=Engine(**own) if own and measured else base.engine,
        calibrated=True,
    )


def _constants(fields: dict[str, Any], entry: dict[str, Any]) -> KernelConstants:
    return KernelConstants(**{"origin": entry["origin"], **fields})


def _host_bytes_per_second(gpu: Accelerator, table: dict[str, Any]) -> float:
    """One direction of the link to the host, after protocol losses as measured on PCIe."""
    share = float(table["host_link_share"])
    if gpu.cpu_link:
        return gpu.cpu_link.bytes_per_second_bidirectional / 2 / gpu.cpu_link.shared_by * share
    return share * float(gpu.pcie_bytes_per_second or _links()[table["host_link"]]["bytes_per_second"])
