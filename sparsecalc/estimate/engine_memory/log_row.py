"""A figure of an engine's log beside what is predicted for it."""

from sparsecalc.core.frozen import Frozen


class LogRow(Frozen):
    """A figure of a log, as it was measured and as it is predicted."""

    id: str
    setup: str
    """Model, device and settings as the source tells them."""
    source: str
    figure: str
    """The field of `EngineMemory` that it is: weights_bytes, kv_cache_bytes, kv_cache_tokens, max_concurrency."""
    given_bytes: bool
    """Whether the cache's bytes were given, so that only its blocks are predicted."""
    measured: float
    predicted: float
    """With the options that a user gives."""
    predicted_as_run: float
    """With what the source tells beyond those: the share, the release, `--enforce-eager`."""
    why: str
    """What is known of a difference."""

    @property
    def refused(self) -> bool:
        """Whether the server found no room for a cache, and did not start."""
        return self.measured < 0

    @property
    def error(self) -> float:
        """predicted / measured - 1, with the options that a user gives."""
        return self.predicted / self.measured - 1

    @property
    def error_as_run(self) -> float:
        """The same, with what the source tells beyond those."""
        return self.predicted_as_run / self.measured - 1
