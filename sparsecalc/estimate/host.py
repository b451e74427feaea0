"""The machine around the devices: its memory, its cores, its link to the devices, and what an engine leaves to it."""

from dataclasses import field
from functools import cache
from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.data_files import read_data
from sparsecalc.device.time_constants import DeviceModel


@cache
def host_table() -> dict[str, Any]:
    """data/host.json."""
    found: dict[str, Any] = read_data("host.json")
    return found


def host_default(name: str) -> float:
    """A constant of data/host.json."""
    return float(host_table()[name]["value"])


class HostRules(Frozen):
    """What an engine leaves to the host. Source: data/host.json."""

    keeps_input: bool = False
    """Whether the input embedding lies in host memory, whatever else does."""
    sends_from: int | None = None
    """Tokens of a step from which weights in host memory are sent to the device and multiplied there; None: never."""
    sends_per_expert: bool = False
    """Whether experts are sent only from `sends_from` times experts / experts per token on."""
    sends: str = "whole tensors"
    """`used experts`: of experts, only those that the step reaches."""
    cpu_profile: str = ""
    """The engine whose constants its kernels have on a CPU."""
    visit_seconds: float = 0.0
    """Seconds of a way to the host and back, without what is carried."""
    sent_share: float = 1.0
    """Share of the link's rate at which weights of mapped files reach a device: they are not pinned."""
    source: str = ""


def host_rules(engine: str, backend: str = "") -> HostRules:
    """Those of an engine by its id, with the constants of its backend."""
    table, backends = host_table()["engines"], host_table()["backends"]
    return HostRules(**table.get(engine, table["other"]), **backends.get(backend, backends[""]))


class Host(Frozen):
    """A host. Rates are bytes per second, peaks FLOP/s, by format."""

    name: str
    memory_bytes_per_second: float
    capacity_bytes: int | None = None
    """Its memory; None: not known, and then nothing is checked."""
    size_is_certain: bool = True
    """Whether that is what the machine has: else it is what such servers commonly have."""
    cores: int | None = None
    threads: int | None = None
    """Threads that compute (-t); None: one for each core."""
    link_bytes_per_second: float = 0.0
    """One direction of the link to one device, after protocol losses: the lesser of the device's and the host's."""
    peak_flops_per_second: dict[str, float] = field(default_factory=dict)
    device: DeviceModel | None = None
    """The time model of its CPU, with this memory and these threads."""
    rules: HostRules = HostRules()
    is_shared: bool = False
    """Whether its memory is the device's own: a chip with both."""
    paged_share: float = 0.0
    """Share of what lies in its memory that does not fit there and is read from disk with each use."""
    notes: tuple[str, ...] = ()

    @property
    def usable_bytes(self) -> int | None:
        """What weights and caches may fill: less what system and programs keep."""
        if self.capacity_bytes is None:
            return None
        return max(0, self.capacity_bytes - int(host_default("kept_free_bytes")))

    def shortage_bytes(self, needed: int) -> int:
        """By how much `needed` bytes are too many; negative where there is room, or nothing is known."""
        usable = self.usable_bytes
        return -1 if usable is None else needed - usable

    @property
    def sending_bytes_per_second(self) -> float:
        """Rate at which weights of mapped files reach one device."""
        return self.link_bytes_per_second * self.rules.sent_share
