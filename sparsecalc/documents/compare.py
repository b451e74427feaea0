"""The document of `compare`."""

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document
from sparsecalc.documents.show import ModelReport


class Ratio(Frozen):
    """One model's figures divided by the first model's; None where that figure is zero."""

    model: str
    to: str
    total: float | None
    active: float | None
    prefill_flops_per_token: float | None
    decode_flops_per_token: float | None
    weights_bytes: float | None
    kv_cache_bytes_per_token: float | None
    total_bytes: float | None
    prefill_seconds: float | None = None
    decode_seconds: float | None = None
    decode_seconds_low: float | None = None
    decode_seconds_high: float | None = None
    tpot_seconds: float | None = None
    usd_per_million_output_tokens: float | None = None


class CompareReport(Document):
    """Several models side by side, their ratios to the first, and the conclusion in words."""

    models: list[ModelReport]
    ratios: list[Ratio]
    conclusion: list[str]
