"""The placement as llama.cpp spells it, read from options: -ngl, -ncmoe, -cmoe, -ot, -sm, -ts, and the host's."""

import re
import warnings
from collections.abc import Sequence
from typing import Any, Literal, cast

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.text import brief, printable
from sparsecalc.estimate.places import ALL, LlamaLayers, Override

NAMES = ("n_gpu_layers", "n_cpu_moe", "cpu_moe", "override_tensor", "split_mode", "tensor_split", "threads", "host")
LONGEST_PATTERN = 400
MOST_OVERRIDES = 64
MOST_REPEATS = 4
"""Unbounded repeats that one alternative of a pattern may have, lest it take for ever to match."""
MOST_OPTIONAL, MOST_CHOICES = 10, 6
"""The same of optional parts, and of groups that hold a choice."""
MOST_THREADS = 4096
MOST_CARDS = 16
_CARD = re.compile(r"(?:CUDA|ROCm|HIP|Vulkan|SYCL|Metal|MTL|OpenCL|CANN|MUSA)(\d{0,3})", re.IGNORECASE)


class HostAsked(Frozen):
    """What is told of llama.cpp's placement, of the host and its threads; None: not said."""

    n_gpu_layers: int | None = None
    n_cpu_moe: int | None = None
    overrides: tuple[Override, ...] = ()
    split_mode: Literal["layer", "row", "none"] | None = None
    tensor_split: tuple[float, ...] = ()
    threads: int | None = None
    host: str | None = None
    typed: tuple[tuple[str, object], ...] = ()
    """As typed, for the document."""

    @property
    def places_layers(self) -> bool:
        """Whether anything is said of which tensors lie where."""
        told = self.n_gpu_layers is not None or self.n_cpu_moe is not None
        return told or bool(self.overrides or self.split_mode or self.tensor_split)

    def for_dense(self) -> "HostAsked":
        """The same for a model without experts."""
        typed = tuple(entry for entry in self.typed if entry[0] not in ("n_cpu_moe", "cpu_moe", "override_tensor"))
        return self.but(n_cpu_moe=None, overrides=(), typed=typed)

    def placed(self, cards: int) -> LlamaLayers:
        """The placement on so many cards. Raises InputError where proportions or an override name more of them."""
        if self.tensor_split and len(self.tensor_split) != cards:
            text = f"--tensor-split has {len(self.tensor_split)} values for {cards} devices"
            raise InputError(text, hint="Give one for each: --num-gpus says how many there are")
        for override in self.overrides:
            if override.place > cards:
                raise InputError(f"-ot {brief(override.text)} names a device beyond the {cards} of this machine")
        return LlamaLayers(
            gpu_layers=ALL if self.n_gpu_layers is None else self.n_gpu_layers,
            cpu_moe_layers=self.n_cpu_moe or 0,
            overrides=self.overrides,
            cards=cards,
            tensor_split=self.tensor_split,
            by_rows=self.split_mode == "row",
        )


def host_asked(told: dict[str, Any]) -> HostAsked:
    """The options of `NAMES`, checked. Raises InputError in one line for each that makes no sense."""
    given = {name: told[name] for name in NAMES if not (told.get(name) is None or told[name] in ("", [], ()))}
    given = {name: value for name, value in given.items() if value is not False}
    split = str(given.get("split_mode", "")).strip().lower()
    if split and split not in ("layer", "row", "none"):
        raise InputError(f"--split-mode is {brief(given['split_mode'])}", hint="It is layer, row or none")
    return HostAsked(
        n_gpu_layers=_gpu_layers(given.get("n_gpu_layers")),
        n_cpu_moe=_cpu_moe(given.get("n_cpu_moe"), bool(given.get("cpu_moe"))),
        overrides=_overrides(given.get("override_tensor", ())),
        split_mode=cast(Literal["layer", "row", "none"], split) if split else None,
        tensor_split=_proportions(given.get("tensor_split")),
        threads=_between("--threads", given.get("threads"), 1, MOST_THREADS),
        host=given.get("host"),
        typed=tuple((name, _shown(value)) for name, value in given.items()),
    )


def _shown(value: Any) -> object:
    texts = [value] if isinstance(value, str) else value
    return printable(",".join(map(str, texts)), 1000) if isinstance(texts, list | tuple) else value


def _between(name: str, value: int | None, least: int, most: int) -> int | None:
    if value is not None and not least <= value <= most:
        raise InputError(f"{name} is {value}", hint=f"It must be between {least} and {most:,}")
    return value


def _gpu_layers(text: Any) -> int | None:
    """A number of layers; `all` and `auto` are all of them, as -1 and -2 are."""
    if text is None or str(text).strip().lower() in ("all", "auto", "-1", "-2"):
        return None if text is None else ALL
    try:
        layers = int(str(text).strip())
    except ValueError:
        layers = -1
    if not 0 <= layers <= 2**31:
        raise InputError(f"--n-gpu-layers is {brief(text)}", hint="It is a number of layers, 0 or more, or all")
    return min(layers, ALL)


def _cpu_moe(count: int | None, every: bool) -> int | None:
    found = _between("--n-cpu-moe", count, 0, 2**31)
    return ALL if every else None if found is None else min(found, ALL)


def _proportions(text: str | None) -> tuple[float, ...]:
    if not text:
        return ()
    try:
        values = tuple(float(part) for part in re.split("[,/]", text))
    except ValueError:
        values = ()
    good = all(0 <= value <= 1e9 for value in values) and sum(values) > 0
    if not good or len(values) > MOST_CARDS:
        raise InputError(f"--tensor-split is {brief(text)}", hint="Proportions, one for each device: 3,1")
    return values


def _overrides(typed: str | Sequence[str]) -> tuple[Override, ...]:
    """`REGEX=CPU`, several of them joined by commas or given one by one."""
    texts = [typed] if isinstance(typed, str) else list(typed)
    parts = [part.strip() for text in texts for part in text.split(",") if part.strip()]
    if len(parts) > MOST_OVERRIDES:
        raise InputError(f"-ot has {len(parts)} overrides", hint=f"It takes at most {MOST_OVERRIDES}")
    return tuple(map(_override, parts))


def _override(text: str) -> Override:
    pattern, equals, device = text.partition("=")
    device = device.strip()
    card = _CARD.fullmatch(device)
    if not pattern or not equals or not (card or device.upper() == "CPU" or device.lower().endswith("_host")):
        hint = r"Such as '\.ffn_.*_exps\.=CPU': a pattern of tensor names, and CPU or a device (CUDA0, Vulkan1)"
        raise InputError(f"-ot is {brief(text)}", hint=hint)
    place = min(int(card[1] or 0), MOST_CARDS) + 1 if card else 0
    return Override(pattern=_pattern(pattern), place=place, text=printable(text, 100))


def _pattern(text: str) -> re.Pattern[str]:
    """A regular expression that matches in little time. Raises InputError where it is none, or may not end."""
    if len(text) > LONGEST_PATTERN:
        raise InputError(f"a pattern of -ot has {len(text)} characters", hint=f"It takes at most {LONGEST_PATTERN}")
    if _may_run_away(text):
        hint = f"No repeated group may hold a choice or repeat, and no choice more than {MOST_REPEATS} repeats"
        raise InputError(f"-ot: the pattern {brief(text)} may take for ever to match", hint=hint)
    try:
        with warnings.catch_warnings(action="ignore"):  # of sets that a later Python may read otherwise
            return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise InputError(f"-ot: {brief(text)} is not a regular expression") from error


def _may_run_away(text: str) -> bool:
    """Whether a group that is repeated holds a repeat or a choice, or many of them follow each other."""
    plain = re.sub(r"\[\^?\]?(?:\\.|[^\]\\])*\]", "c", re.sub(r"\\.", "c", text))
    if (
        len(re.findall(r"(?<![(*+?}])\?", plain)) > MOST_OPTIONAL
        or len(re.findall(r"\([^()]*\|", plain)) > MOST_CHOICES
    ):
        return True
    inside, repeats = [False], 0
    for at, char in enumerate(plain):
        repeated = char in "*+{"
        if char == "(":
            inside.append(False)
        elif char == ")" and len(inside) > 1:
            held = inside.pop()
            if held and plain[at + 1 : at + 2] in ("*", "+", "{"):
                return True
            inside[-1] = inside[-1] or held
        elif char == "|" or repeated:
            inside[-1] = True
        repeats = 0 if char == "|" and len(inside) == 1 else repeats + repeated
        if repeats > MOST_REPEATS:
            return True
    return False
