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
LEAST_OF_ITS_OWN = 2**31
"""Bytes of memory from which on an unknown GPU counts as one to compute on; processors' own graphics have less."""
NEAR = 0.1
"""Relative difference between memory as it is sold and as the system has it."""
_BESIDE = re.compile(
    r"\((?:r|tm)\)|^\d+th gen |\s@.*|\bcpu\b|\bprocessor\b|\s\d+-core\b|\s(?:w/|with)\s.*", re.IGNORECASE
)
_CHANNELS = re.compile(r"\b(\d+)ch\b")


def detected(name: str) -> Accelerator:
    """The device of `local` (the fastest that is known), `local-cpu`, or `local-1` (the second GPU as it is listed).

    Raises InputError, which says how to describe it, for a device that is not built in, and where none is named.
    """
    if name == CPU:
        return _as_accelerator(_cpu_sheet(host()), _host_text(), host().memory.total_bytes, host().memory.free_bytes)
    found = gpus()
    if number := re.fullmatch(r"local-(\d{1,3})", name):
        if int(number[1]) >= len(found):
            raise InputError(f"there is no {name}: the system names {len(found)} GPUs", hint="Name it: --gpu rtx-4090")
        return _of_gpu(found[int(number[1])])
    known = [gpu for gpu in found if _sheet(gpu)]
    if known:
        return _of_gpu(max(known, key=lambda gpu: _rate(gpu) * (gpu.memory_bytes or 1)))
    if unknown := [gpu for gpu in found if (gpu.memory_bytes or 0) >= LEAST_OF_ITS_OWN and not gpu.shared]:
        raise _not_built_in(unknown[0].name, unknown[0].vendor.lower(), unknown[0].memory_bytes, found=unknown[0])
    return detected(CPU)


def _of_gpu(gpu: FoundGpu) -> Accelerator:
    sheet = _sheet(gpu)
    if sheet is None:
        raise _not_built_in(gpu.name, gpu.vendor.lower(), gpu.memory_bytes, found=gpu)
    alike = sum(_sheet(other) == sheet for other in gpus())
    held = f"{nbytes(gpu.free_bytes)} free" if gpu.free_bytes else "free memory not told"
    text = f"{_short(gpu.name)}, {held} of {nbytes(gpu.memory_bytes or sheet.memory_bytes)} ({gpu.told_by})"
    text += ", memory shared with the processor" if gpu.shared else ""
    text += f"; there are {alike} of them: --num-gpus {alike} takes all" if alike > 1 else ""
    return _as_accelerator(sheet, f"{text}; {_host_text()}", gpu.memory_bytes, gpu.free_bytes)


def _as_accelerator(sheet: Accelerator, text: str, total: int | None, free: int | None) -> Accelerator:
    """The data sheet with this machine's memory, of which what is free now may be filled, and without a price."""
    memory = max(total or sheet.memory_bytes, free or 0)
    options = (
        [size for size in (sheet.memory_bytes, *sheet.memory_options_bytes) if abs(total / size - 1) < 0.1]
        if total
        else []
    )
    nominal = max(options[0] if options else memory, memory)
    usable = min(filter(None, (free, sheet.with_memory(nominal).memory_usable_bytes, memory)))
    changes = {
        "memory_bytes": nominal,
        "memory_usable_bytes": usable,
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


@cache
def _sheet(gpu: FoundGpu) -> Accelerator | None:
    """The data sheet of a GPU: the first of its names that means one device; of names that may be, the only one."""
    found = [_id_of(name, gpu.memory_bytes) for name in gpu.names]
    known = [each for each in found if each]
    if not known and gpu.shared and (cpu := _cpu_id(host())) and built_in(cpu).kind == "soc":
        known = [cpu]
    return built_in(known[0]) if known and (len({*known}) == 1 or found[0]) else None


def _id_of(name: str, memory_bytes: int | None) -> str | None:
    if memory_bytes and (found := accelerator_of(name, memory_bytes)):
        return found
    ids = named(name)
    return ids[0] if len(ids) == 1 and (not memory_bytes or built_in(ids[0]).kind == "soc") else None


def _rate(gpu: FoundGpu) -> float:
    sheet = _sheet(gpu)
    return sheet.memory_bytes_per_second if sheet else 0.0


def _cpu_sheet(found: FoundHost) -> Accelerator:
    if not found.name:
        raise InputError(
            "the system names no GPU and no processor",
            hint="Describe what computes: --gpu cpu:64gb:80gb/s:2tflops (memory, its rate, peak in 16 bits)",
        )
    name = _cpu_id(found)
    if name is None:
        raise _not_built_in(found.name, "cpu", found.memory.total_bytes)
    return built_in(name)


def _cpu_id(found: FoundHost) -> str | None:
    ids = named(cpu_model(found.name)) or named(found.name)
    return ids[0] if len(ids) == 1 else None


def cpu_model(brand: str) -> str:
    """The model that a processor's brand string names: `12th Gen Intel(R) Core(TM) i9-12900K` is Intel Core i9-12900K."""
    bare = re.sub(
        r"(?i)\((?:r|tm)\)|^\d+th gen |\s@.*|\bcpu\b|\bprocessor\b|\s\d+-core\b|\s(?:w/|with)\s.*", " ", brand
    )
    return re.sub(r"\s+", " ", bare).strip()


def _host_text() -> str:
    """The processor, its cores and its memory as far as they are told."""
    found = host()
    parts = [f"processor {_short(found.name) or 'not named'} with {found.cores} cores"]
    parts[0] += f" in {found.sockets} sockets" if found.sockets > 1 else ""
    if found.memory.total_bytes and found.memory.free_bytes:
        held = f"{nbytes(found.memory.free_bytes)} of {nbytes(found.memory.total_bytes)} of its memory free"
        parts.append(held + (f" ({found.modules.text})" if found.modules else ""))
    return ", ".join(parts)


def _not_built_in(name: str, word: str, memory_bytes: int | None, found: FoundGpu | None = None) -> InputError:
    """Says what was found, and how to describe it in a line."""
    size = f"{max(1, round(memory_bytes / 2**30))}gb" if memory_bytes else "MEMORYgb"
    several = " or ".join(dict.fromkeys(_short(each) for each in found.names)) if found else ""
    text = f"this machine's {several or _short(name)} is not built in"
    if found and any(_id_of(each, found.memory_bytes) for each in found.names):
        text = f"this machine's GPU may be {several}"
    how = f"--gpu {word}:{size}:RATEgb/s:PEAKtflops (memory rate and 16-bit peak of its data sheet)"
    return InputError(text, hint=f"Name it (sparsecalc gpus lists those built in), or describe it: {how}")


def _short(text: str) -> str:
    return printable(text, SHOWN)
