"""`--gpu local` without a calibration: the data sheet of the device that the system names, with its free memory."""

import re
from functools import cache

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import printable
from sparsecalc.core.units import nbytes
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.device.driver_names import accelerator_of
from sparsecalc.device.local.gpus import FoundGpu, gpus
from sparsecalc.device.local.host import FoundHost, host
from sparsecalc.device.names import named
from sparsecalc.device.sheets import built_in

CPU = "local-cpu"
SHOWN = 60
NEAR = 0.1
"""Relative difference between memory as it is sold and as the system has it."""
TELLS_APART = 0.05
"""Difference of two such differences up to which memory does not tell two cards apart."""
_CHANNELS = re.compile(r"\b(\d+)ch\b")


def detected(name: str) -> Accelerator:
    """The device of `local` (the fastest that is known), `local-cpu`, or `local-1` (the second GPU as it is listed).

    Raises InputError, which says how to describe it, for a device that is not built in, and where none is named.
    """
    if name == CPU:
        own = host()
        return _as_accelerator(_cpu_sheet(own), _host_text(own), own.memory.total_bytes, own.memory.free_bytes)
    found = gpus()
    if number := re.fullmatch(r"local-(\d{1,3})", name):
        if int(number[1]) >= len(found):
            text = f"there is no {name}: the system names {len(found) or 'no'} GPUs"
            raise InputError(text, hint="The first is local-0; local-cpu is the processor")
        return _of_gpu(found[int(number[1])], found)
    if name != "local":
        raise InputError(f"no calibration {printable(name, SHOWN)!r}", hint="There is local, local-0 and local-cpu")
    if known := [gpu for gpu in found if _sheet(gpu)]:
        return _of_gpu(max(known, key=_rate), found)
    if unknown := [gpu for gpu in found if not gpu.shared]:
        return _of_gpu(unknown[0], found)
    return detected(CPU)


def _of_gpu(gpu: FoundGpu, among: list[FoundGpu]) -> Accelerator:
    """A GPU of this machine. Raises InputError where it is not built in."""
    sheet = _sheet(gpu)
    if sheet is None:
        raise _unknown_gpu(gpu)
    own, total, free = host(), gpu.memory_bytes, gpu.free_bytes
    if sheet.kind == "soc" and gpu.lent_bytes:
        total = (total or 0) + (own.memory.total_bytes or 0)
        free = (free or 0) + min(gpu.lent_bytes, own.memory.free_bytes or 0)
    held = f"{nbytes(free)} free" if free else "free memory not told"
    text = f"{_short(gpu.name)}, {held} of {nbytes(total or sheet.memory_bytes)} ({gpu.told_by})"
    text += ", shared with the processor" if sheet.kind == "soc" else ""
    text += "" if _id_of(gpu.name, gpu.memory_bytes) else f", taken as {sheet.name}"
    alike = sum(_sheet(other) == sheet for other in among)
    text += f"; there are {alike} of them: --num-gpus {alike} takes all" if alike > 1 else ""
    found = _as_accelerator(sheet, f"{text}; {_host_text(own)}", total, free)
    return found.model_copy(update={"memory_usable_bytes": free}) if gpu.limit_bytes and free else found


def _as_accelerator(sheet: Accelerator, text: str, total: int | None, free: int | None) -> Accelerator:
    """The data sheet with this machine's memory, of which what is free now may be filled, and without a price."""
    memory = max(total or sheet.memory_bytes, free or 0)
    sold = [size for size in (sheet.memory_bytes, *sheet.memory_options_bytes) if abs(memory / size - 1) < NEAR]
    nominal = max(*sold, memory) if sold else memory
    changes = {
        "memory_bytes": nominal,
        "memory_usable_bytes": min(filter(None, (free, sheet.with_memory(nominal).memory_usable_bytes, memory))),
        "memory_usable_source": "free at the time of asking",
        "memory_bytes_per_second": _memory_rate(sheet),
        "usd_per_hour": None,
        "detected": f"this machine: {text}",
    }
    return sheet.model_copy(update=changes)


def _memory_rate(sheet: Accelerator) -> float:
    """Of a CPU, 8 bytes x transfers x channels, where the modules' speed and the data sheet's channels are known."""
    modules, channels = host().modules if sheet.kind == "cpu" else None, _CHANNELS.search(sheet.name)
    if modules is None or channels is None or modules.kind.startswith("LP"):
        return sheet.memory_bytes_per_second
    return 8e6 * modules.megatransfers * min(int(channels[1]), modules.count)


def _sheet(gpu: FoundGpu) -> Accelerator | None:
    """The data sheet of a GPU by its first name that is built in; of cards that it may be, the one with such a memory.

    A processor's graphics may go by the processor's name.
    """
    found = dict.fromkeys(each for name in gpu.names if (each := _id_of(name, gpu.memory_bytes)))
    if not found and gpu.vendor == "AMD" and (cpu := _cpu_id(host())) and built_in(cpu).kind == "soc":
        found = {cpu: None}
    sheets = [built_in(each) for each in found]
    if gpu.any_of_them and len(sheets) > 1:
        off = [abs(sheet.memory_bytes / (gpu.memory_bytes or 1) - 1) for sheet in sheets]
        sheets = [sheet for sheet, each in zip(sheets, off, strict=True) if each < min(off) + TELLS_APART]
        return sheets[0] if len(sheets) == 1 else None
    return sheets[0] if sheets else None


@cache
def _id_of(name: str, memory_bytes: int | None) -> str | None:
    if memory_bytes and (found := accelerator_of(name, memory_bytes)):
        return found
    ids = named(name)
    return ids[0] if len(ids) == 1 and (not memory_bytes or built_in(ids[0]).kind == "soc") else None


def _rate(gpu: FoundGpu) -> float:
    sheet = _sheet(gpu)
    return sheet.memory_bytes_per_second if sheet else 0.0


def _cpu_sheet(found: FoundHost) -> Accelerator:
    """The data sheet of the processor. Raises InputError where it is not built in, or not named."""
    if name := _cpu_id(found):
        return built_in(name)
    text = f"this machine's {_short(found.name)} is not built in" if found.name else "the system names no device"
    raise InputError(text, hint=_how("cpu", found.memory.total_bytes))


def _cpu_id(found: FoundHost) -> str | None:
    ids = named(found.name) if found.name else []
    return ids[0] if len(ids) == 1 else None


def _host_text(found: FoundHost) -> str:
    """The processor, its cores and its memory as far as they are told."""
    text = f"{_short(found.name) or 'a processor without a name'}, {found.cores} cores"
    text += f" in {found.sockets} sockets" if found.sockets > 1 else ""
    if found.memory.total_bytes and found.memory.free_bytes:
        text += f", {nbytes(found.memory.free_bytes)} of {nbytes(found.memory.total_bytes)} of memory free"
    return text + (f" ({found.modules.text})" if found.modules else "")


def _unknown_gpu(gpu: FoundGpu) -> InputError:
    """Says what was found, and what to do."""
    names = " or ".join(dict.fromkeys(map(_short, gpu.names))) or gpu.name
    known = any(_id_of(each, gpu.memory_bytes) for each in gpu.names)
    text = f"this machine's GPU may be {names}" if known else f"this machine's {names} is not built in"
    return InputError(text, hint=_how(gpu.vendor.lower(), gpu.memory_bytes))


def _how(word: str, memory_bytes: int | None) -> str:
    """What to type instead: a name, or a line that describes the device."""
    size = f"{max(1, round(memory_bytes / 2**30))}gb" if memory_bytes else "MEMORYgb"
    line = f"--gpu {word}:{size}:RATEgb/s:PEAKtflops (memory rate and 16-bit peak of its data sheet)"
    return f"Name it (sparsecalc gpus lists those built in), or describe it: {line}"


def _short(text: str) -> str:
    return printable(text, SHOWN)
