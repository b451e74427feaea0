"""Timings of one piece of work, and their statistics."""

from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Samples:
    """Seconds of each kept sample, in the order in which they were taken."""

    seconds: list[float]
    rejected: int = 0
    """Samples left out because the process was preempted."""
    method: str = "wall clock"
    """wall clock, cuda graph or cuda eager."""
    kept: list[int] = field(default_factory=list)
    """Places of the kept samples among all that were taken."""

    def with_seconds(self, seconds: list[float]) -> "Samples":
        """Other seconds from the same samples."""
        return replace(self, seconds=seconds)

    @property
    def median(self) -> float:
        """The middle sample, in seconds."""
        return quantile(self.seconds, 0.5)

    @property
    def p10(self) -> float:
        """The 10th percentile, in seconds."""
        return quantile(self.seconds, 0.1)

    @property
    def p90(self) -> float:
        """The 90th percentile, in seconds."""
        return quantile(self.seconds, 0.9)

    @property
    def outliers(self) -> list[float]:
        """Samples further above the upper quartile than three times the distance between the quartiles."""
        low, high = quantile(self.seconds, 0.25), quantile(self.seconds, 0.75)
        return [value for value in self.seconds if value > high + 3 * (high - low)]


def quantile(values: list[float], share: float) -> float:
    """The value below which `share` of `values` lie, interpolated between neighbours."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
