"""Which data sheet belongs to the name that a device's driver gives it."""

from sparsecalc.device.names import Listed, same_model, spelled

FAR = 0.2
"""Relative difference of memory beyond which a card is another one: drivers keep a part of it."""


def accelerator_of(device_name: str, memory_bytes: int) -> str | None:
    """The id of the accelerator that a driver calls `device_name`; None where none or several would do.

    Names are read as people's are (device/names.py), but for their memory: of a card with several sockets or
    memories, the one whose memory is nearest to `memory_bytes`, and then the socket that the name tells (a name
    without one means SXM). Of shared memory drivers report any part: it only tells two sizes of a chip apart, and
    of processors nothing.
    """
    socket = spelled(device_name).socket or "sxm"

    def fit(sheet: Listed) -> tuple[float, bool]:
        off = min((abs(held - memory_bytes) / held for held in sheet.held_bytes), default=0.0)
        return round(off, 1), bool(sheet.sockets) and socket not in sheet.sockets

    found = sorted((fit(sheet), sheet.id, sheet.shared) for sheet in same_model(device_name))
    if not found or (len(found) > 1 and found[0][0] == found[1][0]):
        return None
    (off, _), name, shared = found[0]
    return name if shared or off <= FAR else None
