"""The document of `compare`."""

from collections.abc import Callable
from typing import Any, Literal

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document
from sparsecalc.documents.show import ModelReport


class Ratio(Frozen):
    """One model's figures divided by the first model's; None where the first model's figure is zero or unknown."""

    model: str
    """Id of the model."""
    to: str
    """Id of the first model."""
    total: float | None
    """Ratio of all parameters."""
    active: float | None
    """Ratio of the parameters that one token uses."""
    prefill_flops_per_token: float | None
    """Ratio of the FLOPs per token of a prompt."""
    decode_flops_per_token: float | None
    """Ratio of the FLOPs of one decoded token."""
    weights_bytes: float | None
    """Ratio of the bytes of all weights."""
    kv_cache_bytes_per_token: float | None
    """Ratio of the bytes that the KV cache grows by per token."""
    total_bytes: float | None
    """Ratio of the bytes of all memory."""
    prefill_seconds: float | None = None
    """Ratio of the seconds of one prompt; None without `--gpu`, as all below."""
    decode_seconds: float | None = None
    """Ratio of the seconds of one decode step."""
    decode_seconds_low: float | None = None
    """Lower end of that ratio's 80 % band. Errors that both models share on one device cancel in it."""
    decode_seconds_high: float | None = None
    """Upper end of that ratio's 80 % band."""
    tpot_seconds: float | None = None
    """Ratio of the times per output token (TPOT)."""
    usd_per_million_output_tokens: float | None = None
    """Ratio of the prices; None where an accelerator has no price."""


RATIOS: dict[str, Callable[[ModelReport], float]] = {
    "total": lambda model: model.params.total,
    "active": lambda model: model.params.active,
    "prefill_flops_per_token": lambda model: model.flops.prefill_per_token,
    "decode_flops_per_token": lambda model: model.flops.decode_per_token,
    "weights_bytes": lambda model: model.memory.weights_bytes,
    "kv_cache_bytes_per_token": lambda model: model.memory.kv_cache_bytes_per_token,
    "total_bytes": lambda model: model.memory.total_bytes,
}
"""The figure that each field of `Ratio` is taken of, as far as it needs no accelerator."""


class ChoiceRange(Frozen):
    """Loads at which one model costs the least."""

    model: str
    """Id of the model."""
    concurrency_low: int
    """Fewest requests in flight, of those that were looked at."""
    concurrency_high: int
    """Most requests in flight, of those that were looked at."""
    ratio_low: float
    """What it costs over the next best model, where it is ahead the most."""
    ratio_high: float
    """The same where it is ahead the least."""


class Choice(Frozen):
    """What the choice between the models depends on, on one accelerator: which is least at which loads."""

    accelerator: str
    """Id of the accelerator."""
    num_gpus: int
    """Number of devices."""
    cost: Literal["usd_per_million_output_tokens", "seconds_per_output_token"]
    """What is compared: the price, or, of accelerators without one, the time of all requests together."""
    ranges: list[ChoiceRange]
    """Ranges of requests in flight, rising."""


class CompareReport(Document):
    """Several models side by side, their ratios to the first, and a conclusion in words."""

    models: list[ModelReport]
    """The models, in the order in which they were named."""
    ratios: list[Ratio]
    """Each model's figures divided by the first model's, the first model's own among them."""
    answer: str | None
    """Which model is the cheapest at what was asked, in one sentence; None without `--gpu`."""
    choices: list[Choice]
    """What the choice depends on; none without `--gpu`, or where fewer than two models fit."""
    conclusion: list[str]
    """Sentences that are computed from the figures, the last of them from `choices`."""

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each point of the models' grids; a row for each model where they have none."""
        points = [row for model in self.models for row in model.grid_rows()]
        return points or [model.to_dict() for model in self.models]
