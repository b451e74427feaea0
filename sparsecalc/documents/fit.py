"""The document of `fit`: on how many of which devices a model fits, in which precision, and how fast it is there."""

from dataclasses import field
from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document


class Remedy(Frozen):
    """One change with which a model that does not fit would."""

    change: str
    """What changes: devices, format, context or offload."""
    num_gpus: int
    """Devices of the kind."""
    dtype: str
    """Number format of the weights."""
    context_len: int
    """Tokens per sequence."""
    host_memory_bytes: int = 0
    """Bytes that lie in host memory."""
    option: str = ""
    """The option that says so."""
    decode_seconds: float | None = None
    """Seconds of a decode step then; None where the usual host has less memory than that takes."""


class FitRow(Frozen):
    """A model on one kind of device."""

    model: str
    """Id of the model."""
    total_params: int
    """Parameters."""
    active_params: int
    """Parameters that a token uses."""
    accelerator: str
    """Id of the accelerator."""
    num_gpus: int
    """The least number of them that holds the load; where it does not fit, the largest that was tried."""
    placement: str
    """How they share the model."""
    engine: str
    """The engine whose memory it is."""
    dtype: str
    """Number format of the weights: the best in which the model can be had and that fits; empty where none fits."""
    checkpoint: str
    """What to load: a repository of the Hub, or the model as it was named."""
    fits: bool
    """Whether it fits."""
    is_fast_enough: bool
    """Whether a token comes within the seconds that are asked for, or in which people read comfortably."""
    reason: str
    """Why it does not fit; empty where it does."""
    weights_bytes_per_gpu: int | None
    """Bytes of weights on the fullest device; None where no precision can be placed."""
    batch_size: int
    """Sequences that were asked for."""
    context_len: int
    """Tokens of each."""
    largest_batch_size: int | None
    """The most sequences of this context that fit; None where it does not fit."""
    largest_context_len: int | None
    """The longest context of so many sequences that fits and that the model allows; None where it does not fit."""
    decode_seconds: float | None
    """Seconds of a decode step at this load; None where it does not fit."""
    decode_seconds_low: float | None
    """Lower end of its 80 % band."""
    decode_seconds_high: float | None
    """Upper end of its 80 % band."""
    output_tokens_per_second: float | None
    """Tokens of all sequences per second of decoding."""
    usd_per_hour: float | None
    """US dollars per hour of the devices; None without a price."""
    usd_per_million_output_tokens: float | None
    """US dollars per million tokens of decoding; None without a price."""
    command: str = ""
    """What to type so that it is served so, with `--commands`; empty where the engine has no command."""
    would_fit: list[Remedy] = field(default_factory=list)
    """Where it does not fit: what would make it fit."""


class FitReport(Document):
    """On how many of which devices models fit, in which precision, and how fast they are there; best first."""

    rows: list[FitRow]
    """Best first: what fits and is fast enough, then what fits, then what does not."""
    fits: bool
    """Whether each model fits somewhere, in the time that is asked for; of all models on a device: any does."""
    models_looked_at: int
    """Models in all."""
    rows_left_out: int
    """Rows behind those that are given (--limit)."""
    text: list[str]
    """The answer in words."""

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each model on each kind of device, without what would make it fit."""
        return [{key: value for key, value in row.to_dict().items() if key != "would_fit"} for row in self.rows]
