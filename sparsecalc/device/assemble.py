"""Put a device model together: data sheet, constants of its kernels from data, an engine's profile, a calibration."""

from collections.abc import Collection
from functools import cache
from math import hypot
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief
from sparsecalc.data_files import read_data
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.device.calibration import load_calibration
from sparsecalc.device.kin import Taken, constants_for, matches
from sparsecalc.device.time_constants import ELSEWHERE, Collective, DeviceModel, Engine, KernelConstants

GENERIC = "generic"
ALIASES = dict.fromkeys(("tensorrt-llm", "tensorrt_llm", "trt-llm"), "trtllm")
"""Other names of engines."""


@cache
def _kernels() -> dict[str, Any]:
    found: dict[str, Any] = read_data("kernel_constants.json")
    return found


@cache
def _engines() -> dict[str, dict[str, Any]]:
    return {entry["id"]: entry for entry in read_data("engines.json")["engines"]}


@cache
def _links() -> dict[str, Any]:
    found: dict[str, Any] = read_data("interconnects.json")
    return {link["id"]: link for link in found["links"]}


def engine_ids() -> list[str]:
    """The ids of all engine profiles."""
    return list(_engines())


def engine_profile(name: str | None, gpu: Accelerator | None = None, without: Collection[str] = ()) -> Engine:
    """The profile of an engine, on an accelerator where its constants depend on it; None: the generic one.

    Constants of accelerators in `without` are not used. Raises InputError with the closest name.
    """
    wanted = (name or GENERIC).strip().lower().partition("@")[0]
    found = _engines().get(ALIASES.get(wanted, wanted))
    if found is None:
        hint = f"Known: {', '.join(_engines())}" + did_you_mean(name or "", list(_engines()))
        raise InputError(f"unknown engine {brief(name or '')}", hint=hint)
    fields = {key: value for key, value in found.items() if key not in ("devices", "measured_on")}
    if gpu is None:  # a device that is measured itself
        fields.pop("spread_factors", None)
    elif gpu.id not in found.get("measured_on", (gpu.id,)):
        fields["spread_factors"] = {ELSEWHERE: fields["spread_factors"][ELSEWHERE]}
    for entry in _fitted_to(found, gpu, without) if gpu else ():
        fields.update({key: value for key, value in entry.items() if key not in ("arch", "accelerators")})
    return Engine(**fields)


def _fitted_to(engine: dict[str, Any], gpu: Accelerator, without: Collection[str]) -> list[dict[str, Any]]:
    """The entries of an engine's profile that are for an accelerator."""
    entries = [entry for entry in engine.get("devices", ()) if matches(gpu, entry)]
    return [entry for entry in entries if not {*entry.get("accelerators", ())} & {*without}]


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
    kernels: dict[str, KernelConstants] = {}
    collectives: dict[str, Collective] = {}
    entries = [entry for entry in table["devices"] if entry.get("engine", profile.id) == profile.id]
    fitted = constants_for(gpu, entries, without)
    for entry in [table["default"], *fitted.entries]:
        kernels.update({name: _constants(fields, entry) for name, fields in entry.get("kernels", {}).items()})
        for name, fields in entry.get("collectives", {}).items():
            collectives[name] = Collective(**{"origin": entry["origin"], **fields})
    for form, other in table["same_as"].items():
        for family in ("gemm", "experts"):
            if f"{family}.{other}" in kernels:
                kernels.setdefault(f"{family}.{form}", kernels[f"{family}.{other}"])
    measured = fitted.entries or _fitted_to(_engines()[profile.id], gpu, without)
    unknown = 0.0 if measured else float(table["unmeasured_spread"])
    links = gpu.scale_up
    return DeviceModel(
        accelerator=gpu.id,
        peak_flops_per_second={name: value for name, value in gpu.peak_flops_per_second.items() if value},
        memory_bytes_per_second=gpu.memory_bytes_per_second,
        link_bytes_per_second=links.bytes_per_second_bidirectional / 2
        if links and links.bytes_per_second_bidirectional
        else gpu.pcie_bytes_per_second or _links()[table["host_link"]]["bytes_per_second"],
        node_bytes_per_second=_links()[table["node_link"]]["bytes_per_second"],
        domain_size=links.domain_size if links else table["pcie_domain_size"],
        host_bytes_per_second=_host_bytes_per_second(gpu, table),
        tdp_watts=gpu.tdp_watts,
        constants={name: each.but(spread=hypot(each.spread, unknown)) for name, each in kernels.items()},
        collectives={name: each.but(spread=hypot(each.spread, unknown)) for name, each in collectives.items()},
        engine=profile,
        constants_of=fitted.measured_on or "",
        notes=() if fitted.measured_on == gpu.id else (_unmeasured(gpu, fitted),),
    )


def _unmeasured(gpu: Accelerator, taken: Taken) -> str:
    """What to know of an accelerator whose kernels were not measured."""
    whose = (
        f"those of {taken.measured_on}" if taken.measured_on else "its family's" if taken.entries else "general ones"
    )
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
