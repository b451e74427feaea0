"""How people and drivers spell accelerators: one rule reads model, memory and socket out of a name."""

import re
from functools import cache
from typing import Any, NamedTuple

from sparsecalc.data_files import data_folder, read_data

BRANDS = (
    *("nvidia", "amd", "intel", "apple", "google", "aws", "amazon", "huawei"),
    *("geforce", "rtx", "rx", "radeon", "instinct", "tesla", "arc", "dgx", "hgx"),
)
"""Words that say who made it or how it is sold: left out, also where they are glued to the model's number."""
FILLERS = ("gpu", "gpus", "graphics", "card", "accelerator", "generation", "edition", "corporation", "tensor", "core")
"""Words that tell no two accelerators apart."""
_LEADING = re.compile(rf"^(?:{'|'.join(BRANDS)})+")
_MARKS = re.compile(r"\((?:r|tm|c)\)|[®™©]")
_SPACED_SIZE = re.compile(r"(\d)\s+(?=gi?b\b)")
_SIZE = re.compile(r"(\d+(?=gi?b)|\d{1,3}(?=g$))g(?:i?b)?")
"""`80g`, `80GB` and `80 GiB`, but no `5700G`."""
_MEMORY_KIND = re.compile(r"(?:hbm|gddr|lpddr|ddr)\d\w*")
_RATE = re.compile(r"(ddr\d\w?)-\d+")
_PROCESSOR = re.compile(
    r"\d+th gen\b|\b\d+-cores?\b(?: processor| cpu)?(?! gpu)|(?<=xeon )cpu\b|\bcpu(?= *@)|@.*|\bw/.*|\bwith radeon.*"
)
"""What processors' names say beside the model: generation, number of cores, clock, graphics."""
_SOCKET = re.compile(r"(sxm|pcie|nvl|oam)\d?")
NEAR = 0.02
"""Relative difference up to which a size in GB is that of a data sheet, in GB or GiB, nominal or usable."""


class Spelling(NamedTuple):
    """What a name says: the words of the model, and where they are told, GB of memory and the socket."""

    words: tuple[str, ...]
    memory_gb: int | None
    socket: str | None

    @property
    def model(self) -> str:
        """The words without separators: `RTX 4070 Ti` and `4070ti` are both 4070ti."""
        return "".join(self.words)


class Listed(NamedTuple):
    """The names of one data sheet, as `spelled` and `whole` read them, and its sizes of memory, in GB and in bytes."""

    id: str
    spellings: tuple[Spelling, ...]
    wholes: frozenset[str]
    sizes: tuple[float, ...]
    memory_bytes: int
    held_bytes: tuple[int, ...]
    """Sizes that it is sold with; none of a processor, whose memory is whatever was fitted."""
    shared: bool
    """Whether its memory is the system's, of which drivers report a part."""

    @property
    def sockets(self) -> set[str]:
        """Sockets that the names tell; none where there is only one kind of the card."""
        return {each.socket for each in self.spellings if each.socket}


def spelled(name: str) -> Spelling:
    """Read a name: marks, brands, fillers and kinds of memory left out; case and separators do not matter."""
    words: list[str] = []
    memory, socket = None, None
    for word in _words(_lean(name)):
        if size := _SIZE.fullmatch(word):
            memory = int(size[1])
        elif found := _SOCKET.fullmatch(word):
            socket = found[1]
        elif word not in FILLERS and not _MEMORY_KIND.fullmatch(word):
            words.append(word)
    return Spelling(tuple(words), memory, socket)


def whole(name: str) -> str:
    """Everything that a name says but the brands before it, in one word: `NVIDIA H100 SXM5 80GB` is h100sxm580gb."""
    return _without_brands("".join(_plain(name)))


def _lean(name: str) -> str:
    """A name in lower case without marks, rates of memory, and what processors' names say beside the model."""
    lower = " ".join(_MARKS.sub(" ", name.lower()).split())
    return _SPACED_SIZE.sub(r"\1", _RATE.sub(r"\1", _PROCESSOR.sub(" ", lower)))


def _words(name: str) -> list[str]:
    return [bare for word in _plain(name) if (bare := _without_brands(word))]


def _plain(name: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", _MARKS.sub(" ", name.lower()).replace("+", "plus "))


def _without_brands(word: str) -> str:
    """A word without the brands that it begins with; empty where it is nothing else."""
    return _LEADING.sub("", word)


@cache
def listed() -> tuple[Listed, ...]:
    """The names of every built-in accelerator."""
    names = sorted(path.stem for path in (data_folder() / "accelerators").glob("*.json"))
    return tuple(_listed(read_data(f"accelerators/{name}.json")) for name in names)


def _listed(sheet: dict[str, Any]) -> Listed:
    short = [sheet["id"], re.sub(r"\(.*?\)", " ", sheet["name"]), *sheet["aliases"]]
    sold = (sheet["memory_bytes"], *sheet.get("memory_options_bytes", ()))
    held = [*sold, sheet.get("memory_usable_bytes") or 0]
    return Listed(
        id=sheet["id"],
        spellings=tuple(spelled(each) for each in (*short, sheet["name"])),
        wholes=frozenset(whole(each) for each in (*short, sheet["name"])),
        sizes=tuple(size / unit for size in held for unit in (1e9, 2**30)),
        memory_bytes=sheet["memory_bytes"],
        held_bytes=() if sheet["kind"] == "cpu" else sold,
        shared=sheet["kind"] in ("cpu", "soc"),
    )


def same_model(name: str) -> list[Listed]:
    """Accelerators of the model that a name tells, with any memory and socket.

    Where none is, what stands in parentheses is left out: `AMD Radeon RX 7900 XTX (RADV NAVI31)`.
    """
    plain = _MARKS.sub(" ", name.lower())
    for text in (plain, re.sub(r"\([^()]*\)", " ", plain)):
        model = spelled(text).model
        if found := [sheet for sheet in listed() if model and any(each.model == model for each in sheet.spellings)]:
            return found
    return []


def more_words(name: str) -> list[Listed]:
    """Accelerators that have all words of a name and more: `RTX 6000` may be an Ada or a Blackwell."""
    words = set(spelled(name).words)
    return [sheet for sheet in listed() if words and any(words <= set(each.words) for each in sheet.spellings)]


def named(name: str) -> list[str]:
    """Ids of the accelerators that a name may mean: one where it is clear, none where nothing fits.

    A name that is told in full, or an alias, is that accelerator. Else those of the same model are left that have the
    memory and the socket of the name; of several, the one that the model alone means (its alias), or the SXM one.
    """
    exact = [sheet.id for sheet in listed() if whole(name) in sheet.wholes]
    if exact:
        return exact
    asked, found = spelled(name), same_model(name)
    found = [sheet for sheet in found if asked.memory_gb is None or _holds(sheet, asked.memory_gb)]
    found = [sheet for sheet in found if not asked.socket or not sheet.sockets or asked.socket in sheet.sockets]
    usual = [sheet for sheet in found if asked.model in sheet.wholes] or [
        sheet for sheet in found if not asked.socket and "sxm" in sheet.sockets
    ]
    return [sheet.id for sheet in (usual if len(usual) == 1 else found)]


def _holds(sheet: Listed, memory_gb: int) -> bool:
    return not sheet.held_bytes or any(abs(size / memory_gb - 1) <= NEAR for size in sheet.sizes)
