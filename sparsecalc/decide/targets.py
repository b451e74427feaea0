"""Service level objectives: the latencies that a request must not exceed."""

import re
from typing import TYPE_CHECKING, Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief

if TYPE_CHECKING:
    import numpy as np

    from sparsecalc.estimate.replay.served import Served

UNITS = {"": 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "min": 60.0}
NAMES = ("ttft", "tpot", "e2e")
HINT = "Such as ttft=1s,tpot=50ms,e2e=30s"


class Targets(Frozen):
    """Seconds that a request's times may take at most; None: any."""

    ttft: float | None = None
    tpot: float | None = None
    e2e: float | None = None
    text: str | None = None
    """As typed."""

    @property
    def given(self) -> dict[str, float]:
        """The targets that are named."""
        return {name: value for name in NAMES if (value := getattr(self, name)) is not None}

    def met(self, served: "Served") -> "np.ndarray[Any, Any] | None":
        """For each request whether it meets all of them; None where none is named."""
        import numpy as np

        if not self.given:
            return None
        met = np.ones(served.traffic.requests, dtype=bool)
        if self.ttft is not None:
            met &= served.ttft <= self.ttft
        if self.tpot is not None:
            met[served.traffic.output_tokens > 1] &= served.tpot <= self.tpot
        if self.e2e is not None:
            met &= served.e2e <= self.e2e
        return met


def seconds_of(text: str, name: str) -> float:
    """`50ms`, `1s` or `0.05` as seconds. Raises InputError for anything else, and for what is not more than 0."""
    found = re.fullmatch(r"\s*([0-9.]+(?:e-?[0-9]+)?)\s*([a-z]*)\s*", text.lower())
    try:
        value = float(found[1]) * UNITS[found[2]] if found else 0.0
    except (ValueError, KeyError):
        value = 0.0
    if not 0 < value < 1e9:
        raise InputError(f"{name} is {brief(text)}", hint="A time such as 50ms or 1.5s, more than 0")
    return value


def targets_of(text: str | None) -> Targets:
    """The targets of `ttft=1s,tpot=50ms`. Raises InputError for an unknown name or a malformed time."""
    if not text:
        return Targets()
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if not equals or name not in NAMES:
            raise InputError(f"--slo has {brief(part.strip())}", hint=HINT + did_you_mean(name, list(NAMES)))
        if name in found:
            raise InputError(f"--slo names {name} twice", hint=HINT)
        found[name] = seconds_of(value, f"the target of {name}")
    return Targets(**found, text=text)
