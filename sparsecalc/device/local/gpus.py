"""The GPUs of this machine: by nvidia-smi, by what amdgpu and Intel's drivers put into /sys, by macOS's sysctl."""

import json
import re
import sys
from functools import cache
from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.device.local.host import memory, sysctl
from sparsecalc.device.local.system import answer, entries, integer, told
from sparsecalc.device.local.windows import listed

MIB = 2**20
LEAST_OF_ITS_OWN = 2**31
"""Bytes of memory from which on a GPU is one to compute on by itself; processors' own graphics have less."""
AMD, INTEL = "0x1002", "0x8086"
"""PCI ids of vendors."""
DESCRIPTIONS = "/usr/share/libdrm/amdgpu.ids"
"""Names of AMD's cards by PCI device and revision, which libdrm brings along."""

_MARKETED = r"Marketing Name:\s*(.*(?:Radeon|Instinct).*\S)"


class FoundGpu(Frozen):
    """A GPU, as the system names it."""

    names: tuple[str, ...]
    """What it is called, the most exact name first; empty: only its vendor is known."""
    any_of_them: bool = False
    """Whether it may be any of its names, which are those of several cards."""
    vendor: str
    memory_bytes: int | None = None
    """None: not told."""
    free_bytes: int | None = None
    """What programs may still take; None: not told."""
    limit_bytes: int | None = None
    """What the user lets it have (macOS's iogpu.wired_limit_mb); None: the system's default."""
    lent_bytes: int = 0
    """What the driver lets a processor's graphics have of the system's memory beside their own."""
    shared: bool = False
    """Whether its memory is the system's, or too little to compute in."""
    told_by: str

    @property
    def name(self) -> str:
        """Its first name, or what is known of it."""
        return self.names[0] if self.names else f"GPU of {self.vendor}"


@cache
def gpus() -> list[FoundGpu]:
    """Every GPU that the system tells of; none where it tells of none."""
    if sys.platform == "darwin":
        return _apple()
    if sys.platform == "win32":
        return [*_nvidia(), *_windows()]
    return [*_nvidia(), *_jetson(), *_amd(), *_intel()]


def _nvidia() -> list[FoundGpu]:
    """Memory as nvidia-smi tells it, in MiB; where it has none of its own (DGX Spark), the system's."""
    query = "--query-gpu=name,memory.total,memory.free"
    rows = [line.split(",") for line in answer("nvidia-smi", query, "--format=csv,noheader,nounits").splitlines()]
    found = []
    for name, total, free in (row for row in rows if len(row) == 3):
        own = integer(total)
        sizes = (own * MIB, (integer(free) or 0) * MIB) if own else (memory().total_bytes, memory().free_bytes)
        found.append(_gpu((name.strip(),), "NVIDIA", sizes, "nvidia-smi", own is None))
    return found


def _jetson() -> list[FoundGpu]:
    """A Jetson: its board's name; nvidia-smi does not tell of its memory."""
    board = told("/proc/device-tree/model")
    if "jetson" not in board.lower():
        return []
    name = re.sub(r"(?i)\s*(engineering reference )?developer kit.*", "", board)
    return [_gpu((name,), "NVIDIA", (memory().total_bytes, memory().free_bytes), "its device tree", True)]


def _amd() -> list[FoundGpu]:
    cards = [card for card in _cards() if told(f"{card}/vendor") == AMD]
    listed = _rocm_smi() if cards or not _cards() else {}
    if cards:
        return [_amd_card(card, listed) for card in cards]
    found = []
    for entry in listed.values():
        if total := _size(entry, "VRAM Total Memory (B)"):
            sizes = total, total - _size(entry, "VRAM Total Used Memory (B)")
            found.append(_gpu(_amd_names(entry), "AMD", sizes, "rocm-smi").but(any_of_them=True))
    return found


def _amd_card(card: str, listed: dict[str, dict[str, Any]]) -> FoundGpu:
    """One card of amdgpu, named by its board, by libdrm's list, else by the tools of ROCm."""
    device, revision = told(f"{card}/device").lower(), told(f"{card}/revision").lower()
    total, used, lent, taken = (
        integer(told(f"{card}/mem_info_{name}")) or 0 for name in ("vram_total", "vram_used", "gtt_total", "gtt_used")
    )
    entry = next((each for each in listed.values() if device in _words(each, "Card Model", "Device ID")), {})
    exact = tuple(filter(None, (told(f"{card}/product_name"), _described(device, revision))))
    names = exact or _amd_names(entry) or tuple(re.findall(_MARKETED, answer("rocminfo"))[:1])
    found = _gpu(names, "AMD", (total or None, max(total - used, 0)), "amdgpu", total < LEAST_OF_ITS_OWN)
    return found.but(any_of_them=not exact, lent_bytes=max(lent - taken, 0))


def _amd_names(entry: dict[str, Any]) -> tuple[str, ...]:
    """rocm-smi's names of a card: of `Navi 31 [Radeon RX 7900 XT/7900 XTX]` each that it may be."""
    return bracketed(next(filter(None, _words(entry, "Card Series", "Card series", "Device Name")), ""))


def bracketed(text: str) -> tuple[str, ...]:
    """The names in a PCI database's brackets, `Navi 21 [Radeon RX 6800/6800 XT / 6900 XT]`; without any, the text."""
    inside = re.search(r"\[([^\]]+)\]", text)
    first, *others = [part.strip() for part in (inside[1] if inside else text).split("/")]
    lead = re.match(r"(?:[A-Za-z]+ )*", first)
    whole = [other if re.match(r"[A-Za-z]", other) else f"{lead[0] if lead else ''}{other}" for other in others]
    return tuple(filter(None, (first, *whole)))


def _described(device: str, revision: str) -> str:
    """The name of a PCI device and revision in libdrm's list, whose lines are `744C, C8, AMD Radeon RX 7900 XTX`."""
    wanted = device.removeprefix("0x"), revision.removeprefix("0x")
    lines = (line.split(",", 2) for line in told(DESCRIPTIONS).splitlines() if line.count(",") > 1)
    return next((name.strip() for one, two, name in lines if (one.strip().lower(), two.strip().lower()) == wanted), "")


def _rocm_smi() -> dict[str, dict[str, Any]]:
    """rocm-smi's cards by their names there; none where it is missing or prints something else."""
    text = answer("rocm-smi", "--showproductname", "--showid", "--showmeminfo", "vram", "--json")
    try:
        given = json.loads(text[text.index("{") :]) if "{" in text else {}
    except (ValueError, RecursionError):
        return {}
    return {name: entry for name, entry in given.items() if isinstance(entry, dict) and name.startswith("card")}


def _words(entry: dict[str, Any], *names: str) -> list[str]:
    return [str(entry.get(name, "")).strip() for name in names]


def _size(entry: dict[str, Any], name: str) -> int:
    return integer(str(entry.get(name, ""))) or 0


def _intel() -> list[FoundGpu]:
    """Arc cards. The open drivers tell of no free memory: its size is that of the window on it (resizable BAR)."""
    found = []
    for card in (card for card in _cards() if told(f"{card}/vendor") == INTEL):
        slot = re.search(r"PCI_SLOT_NAME=(\S+)", told(f"{card}/uevent"))
        quoted = re.findall(r'"([^"]*)"', answer("lspci", "-mm", "-s", slot[1])) if slot else []
        above = card.rpartition("/")[0]
        total = integer(told(f"{above}/lmem_total_bytes")) or _window(told(f"{card}/resource")) or 0
        own = total if total >= LEAST_OF_ITS_OWN else None
        sizes = own, integer(told(f"{above}/lmem_avail_bytes"))
        found.append(_gpu(bracketed(quoted[2]) if len(quoted) > 2 else (), "Intel", sizes, "/sys", own is None))
    return found


def _window(resource: str) -> int | None:
    """Bytes of the third region of a PCI device, from the `start end flags` of its lines."""
    lines = [line.split() for line in resource.splitlines()]
    if len(lines) < 3 or len(lines[2]) != 3:
        return None
    start, end = (integer(part, 16) for part in lines[2][:2])
    return end - start + 1 if start and end else None


def _windows() -> list[FoundGpu]:
    """Cards of AMD and Intel by the names that Windows has for them; of their memory it tells nothing useful."""
    marks = {"AMD": ("radeon", "amd"), "Intel": ("intel", "arc")}
    named = [str(name).strip() for name in listed("gpus")]
    of = [
        (name, next((v for v, words in marks.items() if any(w in name.lower() for w in words)), "")) for name in named
    ]
    own = re.compile(r"radeon (?:rx|pro|ai pro|vii|instinct)|\barc\b", re.IGNORECASE)
    return [_gpu((name,), v, (None, None), "Windows", not own.search(name)) for name, v in of if v]


def _cards() -> list[str]:
    """The folders of all PCI devices with a graphics driver."""
    return [f"{card}/device" for card in entries("/sys/class/drm", "card*") if re.fullmatch(r".*/card\d+", card)]


def _apple() -> list[FoundGpu]:
    """The GPU of an Apple chip: the number of its cores tells two sizes of a chip apart.

    Of the memory it may have what is free, and no more than a limit that the user has set (iogpu.wired_limit_mb).
    """
    chip = sysctl().get("machdep.cpu.brand_string", "")
    if not chip.startswith("Apple"):
        return []
    cores = re.search(r'"gpu-core-count"\s*=\s*(\d+)', answer("ioreg", "-rc", "AGXAccelerator", "-d1"))
    names = (*([f"{chip} {cores[1]}-core GPU"] if cores else []), chip)
    limit = (integer(sysctl().get("iogpu.wired_limit_mb", "")) or 0) * MIB
    free = min(filter(None, (memory().free_bytes, limit)), default=None)
    return [_gpu(names, "Apple", (memory().total_bytes, free), "sysctl", True).but(limit_bytes=limit or None)]


def _gpu(
    names: tuple[str, ...], vendor: str, sizes: tuple[int | None, int | None], told_by: str, shared: bool = False
) -> FoundGpu:
    total, free = sizes
    return FoundGpu(names=names, vendor=vendor, memory_bytes=total, free_bytes=free, shared=shared, told_by=told_by)
