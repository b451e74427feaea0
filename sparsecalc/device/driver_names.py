"""Which data sheet belongs to the name that a device's driver gives it."""

import re

from sparsecalc.data_files import data_folder, read_data

_SOCKETS = {"sxm", "sxm2", "sxm3", "sxm4", "sxm5", "pcie", "nvl"}
_MEMORY = re.compile(r"\d+gb$")


def accelerator_of(device_name: str, memory_bytes: int) -> str | None:
    """The id of the accelerator that a driver calls `device_name`; None where none or several would do.

    Every word of the id must be in the name; of a card with several sockets or memories, the one whose memory is
    nearest to `memory_bytes`, and then the socket that the name tells (a name without one means SXM).
    """
    words = _words(device_name)
    named = words & {*_SOCKETS, "nvl"}
    socket = re.sub(r"\d", "", next(iter(named), "sxm"))
    found: list[tuple[float, bool, str]] = []
    for path in sorted((data_folder() / "accelerators").glob("*.json")):
        own = _words(path.stem)
        if not {word for word in own if word not in _SOCKETS and not _MEMORY.match(word)} <= words:
            continue
        sheet = read_data(f"accelerators/{path.name}")
        off = abs(sheet["memory_bytes"] - memory_bytes) / sheet["memory_bytes"]
        sockets = {re.sub(r"\d", "", word) for word in own & _SOCKETS}
        found.append((round(off, 1), bool(sockets) and socket not in sockets, path.stem))
    best = min(found, default=None)
    if best is None or best[0] > 0.2 or sum(entry[:2] == best[:2] for entry in found) > 1:
        return None
    return best[2]


def _words(name: str) -> set[str]:
    """`NVIDIA GeForce RTX 4090` and `rtx-4090` share rtx and 4090; letters and digits that vendors glue stay so."""
    return set(re.findall(r"[a-z0-9]+", name.lower()))
