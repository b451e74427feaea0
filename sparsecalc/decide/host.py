"""The host that is asked for: a named CPU, a description of its memory, both, or a typical one."""

import re
from collections.abc import Iterator
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.text import brief, printable
from sparsecalc.data_files import read_data
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.device.assemble import device_model
from sparsecalc.device.calibration import LOCAL
from sparsecalc.device.find import load_accelerator
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.estimate.host import Host, HostRules, host_default, host_rules, host_table

_MEMORY = re.compile(r"(?:lp)?ddr[1-6]x?-?(\d{3,5})x(\d{1,2})(?::(\d{1,5})\s*(g|gb|gib|t|tb|tib)?)?")
_SIZE = re.compile(r":?(\d{1,5})\s*(g|gb|gib|t|tb|tib)")
_PCIE = re.compile(r"pcie\s*-?(?:gen)?([3-6])(?:\.0)?(?:-?x(1|2|4|8|16))?")
_LANES = re.compile(r"gen(\d)(?: x(\d+))?")
_SOCKETS = re.compile(r"([1-8])\s*x\s*([^\d\s].*)")
CHANNEL_BYTES = 8
MOST_PARTS = 8
HINT = "A CPU and its memory, one of them or both: ryzen-7950x, ddr5-6000x2:64g, i9-14900k,ddr5-6000x2:64g,pcie4x16"


class HostWords(Frozen):
    """`--host` taken apart; None: not said."""

    cpu: str | None = None
    sockets: int = 1
    memory_bytes_per_second: float | None = None
    capacity_bytes: int | None = None
    pcie: tuple[int, int] | None = None
    """Generation and lanes."""
    text: str = ""
    """As typed."""


def host_words(text: str) -> HostWords:
    """`CPU,ddr5-6000x2:64g,pcie4x16`: each part may be left out. Raises InputError for what is none of these.

    memory: 10^6 transfers per second, channels of 8 bytes, size in GiB
    """
    found: dict[str, Any] = {}
    parts = [part.strip() for part in text.split(",")]
    if not all(parts) or len(parts) > MOST_PARTS:
        raise InputError(f"--host is {brief(text)}", hint=HINT)
    for part in parts:
        for name, value in _part(part).items():
            if name in found:
                raise InputError(f"--host is {brief(text)}: {brief(part)} is said twice", hint=HINT)
            found[name] = value
    return HostWords(**found, text=printable(text, 60))


def _part(part: str) -> dict[str, Any]:
    plain = part.lower()
    if memory := _MEMORY.fullmatch(plain):
        rate = float(memory[1]) * 1e6 * int(memory[2]) * CHANNEL_BYTES
        if not rate:
            raise InputError(f"--host is {brief(part)}", hint=HINT)
        size = {"capacity_bytes": _bytes(memory[3], memory[4])} if memory[3] else {}
        return {"memory_bytes_per_second": rate, **size}
    if size_only := _SIZE.fullmatch(plain):
        return {"capacity_bytes": _bytes(size_only[1], size_only[2])}
    if slot := _PCIE.fullmatch(plain):
        return {"pcie": (int(slot[1]), int(slot[2] or 16))}
    if re.match(r"(lp)?ddr|pcie", plain):
        raise InputError(f"--host is {brief(part)}", hint=HINT)
    sockets = _SOCKETS.fullmatch(part)
    return {"cpu": sockets[2], "sockets": int(sockets[1])} if sockets else {"cpu": part}


def _bytes(count: str, unit: str | None) -> int:
    return int(count) * (2**40 if (unit or "g").startswith("t") else 2**30)


def host_for(text: str | None, cpu: str, threads: int | None, gpu: Accelerator, device: DeviceModel) -> Host:
    """The host of a device under its engine: `text` of --host, `cpu` of --offload, else a typical one, with a note.

    Raises InputError for words that are none, an unknown CPU, and a device that is no CPU.
    """
    words, typical = host_words(text) if text else HostWords(), host_table()["typical"]
    named, sheet = _processor(words.cpu or cpu, gpu, typical["cpu"])
    if sheet.kind not in ("cpu", "soc"):
        raise InputError(f"{sheet.id} is no CPU", hint=HINT)
    shared = gpu.kind == "soc" and not named and not words.memory_bytes_per_second
    own = gpu if shared else sheet
    usual = HostWords(
        memory_bytes_per_second=own.memory_bytes_per_second, capacity_bytes=own.capacity_bytes * words.sockets
    )
    if not named and not shared:
        usual = host_words(typical["memory"])
    memory = words if words.memory_bytes_per_second else usual
    cores = sheet.sm_count if named else int(typical["cores"])
    rules = host_rules(device.engine.id, device.engine.backend)
    model = _cpu_model(sheet, rules, memory.memory_bytes_per_second or 0.0, cores, threads)
    slot = words.pcie or (_slot(sheet) if named else None)
    return Host(
        name=text or cpu or (gpu.id if shared else "typical desktop"),
        memory_bytes_per_second=model.memory_bytes_per_second,
        capacity_bytes=words.capacity_bytes or memory.capacity_bytes,
        size_is_certain=bool(words.capacity_bytes) or (memory.capacity_bytes or 0) <= host_default("desktop_bytes"),
        cores=cores,
        threads=threads,
        link_bytes_per_second=gpu.memory_bytes_per_second if shared else _link(gpu, device, slot),
        peak_flops_per_second=model.peak_flops_per_second,
        device=model,
        rules=rules,
        is_shared=shared,
        notes=tuple(_assumed(words, named, shared, typical)),
    )


def _processor(named: str, gpu: Accelerator, typical: str) -> tuple[str, Accelerator]:
    """The CPU that is named and its data sheet; `local`, or beside a GPU that was found here: this machine's own.

    Where none is named and the system tells of none that is known: the typical one, without a name.
    """
    if named.lower() == LOCAL or (gpu.detected and gpu.kind != "soc" and not named):
        from sparsecalc.device.local.accelerator import CPU, detected

        try:
            return CPU, detected(CPU)
        except InputError:
            if named:
                raise
    return named, load_accelerator(named or typical)


def _cpu_model(
    sheet: Accelerator, rules: HostRules, rate: float, cores: int | None, threads: int | None
) -> DeviceModel:
    """The time model of a CPU with other memory, of which so many cores are there."""
    model = with_few_rows(device_model(sheet, rules.cpu_profile), host_default("few_rows_factor"))
    return on_threads(model.but(memory_bytes_per_second=rate), sheet.sm_count, cores, threads)


def with_few_rows(model: DeviceModel, factor: float) -> DeviceModel:
    """A CPU whose products of few rows are as much nearer to those of many as `factor` is below 1."""
    constants = {name: each.but(half_length=each.half_length * factor) for name, each in model.constants.items()}
    return model.but(constants=constants)


def on_threads(model: DeviceModel, of: int | None, cores: int | None, threads: int | None) -> DeviceModel:
    """A CPU of `of` cores of which some compute: threads beyond `cores` add nothing.

    peaks * used / of; memory_bytes_per_second at most used * thread_bytes_per_second (data/host.json)
    """
    used = min(threads or cores, cores) if cores else threads
    if not used:
        return model
    share = min(1.0, used / of) if of else 1.0
    return model.but(
        memory_bytes_per_second=min(model.memory_bytes_per_second, used * host_default("thread_bytes_per_second")),
        peak_flops_per_second={name: peak * share for name, peak in model.peak_flops_per_second.items()},
    )


def _slot(sheet: Accelerator) -> tuple[int, int] | None:
    """Generation and lanes that a CPU gives one device, of `gen5 x24`."""
    found = _LANES.match(sheet.pcie or "")
    return (int(found[1]), min(16, int(found[2] or 16))) if found else None


def _link(gpu: Accelerator, device: DeviceModel, slot: tuple[int, int] | None) -> float:
    """One direction to the device: its own link's, or the slot's where one is known and slower."""
    if slot is None or gpu.cpu_link:
        return device.host_bytes_per_second
    rates = {link["id"]: link["bytes_per_second"] for link in read_data("interconnects.json")["links"]}
    share = float(read_data("kernel_constants.json")["host_link_share"])
    return min(device.host_bytes_per_second, share * float(rates[f"pcie{slot[0]}-x16"]) * slot[1] / 16)


def _assumed(words: HostWords, named: str, shared: bool, typical: dict[str, Any]) -> Iterator[str]:
    """What of a host nobody named."""
    cpu = f"{typical['cores']} cores of a {typical['cpu']}"
    if words.sockets > 1:
        text = "memory is read at one socket's rate, as threads and pages of one process usually lie"
        yield f"{words.sockets} sockets: {text}; spread over all (--numa distribute), name all channels: ddr5-4800x24"
    if shared:
        yield f"the cores beside the GPU are taken to be {cpu}; name others: --host"
    elif not named and not words.memory_bytes_per_second:
        yield f"no --host is named: a typical one is assumed, {cpu}, {typical['memory']}"
    elif not named:
        yield f"--host names no CPU: {cpu} are assumed; name it: --host i9-14900k,{words.text}"
    elif words.memory_bytes_per_second and not words.capacity_bytes:
        yield f"--host does not say how much memory there is: nothing is checked against it; say it: {words.text}:64g"
