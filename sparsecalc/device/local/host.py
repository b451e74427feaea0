"""The processor of this machine and its memory: names, cores, bytes in all and free, speed of the modules."""

import os
import re
import sys
from collections import Counter
from functools import cache

from sparsecalc.core.frozen import Frozen
from sparsecalc.device.local.system import answer, integer, told
from sparsecalc.device.local.windows import listed, module_kinds, number

PAGES = ("free", "inactive", "speculative", "purgeable")
"""Kinds of macOS's pages that programs can have."""


class SystemMemory(Frozen):
    """The system's memory; None: not told."""

    total_bytes: int | None
    free_bytes: int | None
    """What can be had without swapping."""


class Modules(Frozen):
    """The memory modules, all alike."""

    kind: str
    """DDR4, DDR5, LPDDR5..."""
    megatransfers: int
    """Million transfers per second, as configured."""
    count: int

    @property
    def text(self) -> str:
        """`DDR5-6000 x 2`."""
        return f"{self.kind}-{self.megatransfers} x {self.count}"


class FoundHost(Frozen):
    """The processor and its memory."""

    name: str
    """As it calls itself; empty: not told."""
    cores: int
    sockets: int = 1
    memory: SystemMemory
    modules: Modules | None = None


@cache
def host() -> FoundHost:
    """This machine's processor; macOS tells of it by sysctl, Windows by PowerShell, Linux by /proc."""
    if sys.platform == "darwin":
        told_by = sysctl()
        name, cores = told_by.get("machdep.cpu.brand_string", ""), integer(told_by.get("hw.physicalcpu", ""))
        return FoundHost(name=name, cores=cores or os.cpu_count() or 1, memory=memory())
    if sys.platform == "win32":
        cpus = [str(name).strip() for name in listed("cpus")] or [""]
        cores = number("cores") or os.cpu_count() or 1
        return FoundHost(name=cpus[0], cores=cores, sockets=len(cpus), memory=memory(), modules=modules())
    cpuinfo = told("/proc/cpuinfo")
    names = re.findall(r"(?im)^model name\s*:\s*(.+)$", cpuinfo) or re.findall(
        r"(?m)^Model name:\s*(.+)$", answer("lscpu")
    )
    places = set(re.findall(r"(?ms)^physical id\s*:\s*(\d+).*?^core id\s*:\s*(\d+)", cpuinfo))
    return FoundHost(
        name=names[0].strip() if names else "",
        cores=len(places) or os.cpu_count() or 1,
        sockets=len({socket for socket, _ in places}) or 1,
        memory=memory(),
        modules=modules(),
    )


@cache
def memory() -> SystemMemory:
    """The system's memory; of a container, what its limit leaves."""
    if sys.platform == "darwin":
        return SystemMemory(total_bytes=integer(sysctl().get("hw.memsize", "")), free_bytes=_free_pages())
    if sys.platform == "win32":
        total, free = ((size * 1024 if size else None) for size in (number("total"), number("free")))
        return SystemMemory(total_bytes=total, free_bytes=free)
    sizes = {name: int(size) * 1024 for name, size in re.findall(r"(?m)^(\w+):\s+(\d+) kB", told("/proc/meminfo"))}
    total = sizes.get("MemTotal")
    free = sizes.get("MemAvailable", total)
    limit, used = (integer(told(f"/sys/fs/cgroup/memory.{name}")) for name in ("max", "current"))
    if limit and free:
        free = min(free, max(limit - (used or 0), 0))
    return SystemMemory(total_bytes=total, free_bytes=free)


@cache
def sysctl() -> dict[str, str]:
    """macOS's figures by their names; those that this release lacks are left out."""
    names = ("machdep.cpu.brand_string", "hw.memsize", "hw.physicalcpu", "iogpu.wired_limit_mb")
    lines = answer("sysctl", *names, any_exit=True).splitlines()
    return {name.strip(): value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}


def _free_pages() -> int | None:
    text = answer("vm_stat")
    size = re.search(r"page size of (\d+) bytes", text)
    counts = re.findall(rf"(?m)^Pages ({'|'.join(PAGES)}):\s+(\d+)", text)
    return int(size[1]) * sum(int(count) for _, count in counts) if size and counts else None


def modules() -> Modules | None:
    """The modules as the firmware lists them: by Windows, by dmidecode, which root alone may run, or by udev."""
    if sys.platform == "win32":
        found = module_kinds()
    else:
        found = _from_dmidecode(answer("dmidecode", "-t", "memory")) or _from_udev(
            answer("udevadm", "info", "--query=property", "--path=/sys/devices/virtual/dmi/id")
        )
    if not found:
        return None
    (kind, speed), _ = Counter(found).most_common(1)[0]
    return Modules(kind=kind, megatransfers=speed, count=len(found))


def _from_dmidecode(text: str) -> list[tuple[str, int]]:
    """Kind and speed of each module; empty slots have no speed."""
    found = []
    for block in text.split("Memory Device\n")[1:]:
        fields = dict(re.findall(r"(?m)^\s*([\w ]+): (.*)$", block.partition("\n\n")[0]))
        speed = fields.get("Configured Memory Speed") or fields.get("Configured Clock Speed") or fields.get("Speed", "")
        rate, kind = re.match(r"(\d+) (?:MT/s|MHz)", speed), fields.get("Type", "")
        if rate and "DDR" in kind:
            found.append((kind, int(rate[1])))
    return found


def _from_udev(text: str) -> list[tuple[str, int]]:
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    found = []
    for place in range(64):
        kind, lead = fields.get(f"MEMORY_DEVICE_{place}_TYPE", ""), f"MEMORY_DEVICE_{place}_"
        speed = integer(fields.get(f"{lead}CONFIGURED_SPEED_MTS") or fields.get(f"{lead}SPEED_MTS") or "")
        if speed and "DDR" in kind:
            found.append((kind, speed))
    return found
