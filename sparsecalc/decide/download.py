"""What the published weights of a model take on disk."""

from sparsecalc.core.frozen import Frozen
from sparsecalc.core.ops import Ledger
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import LoadedModel, is_hub_id

_BESIDE = ("text-decoder-only", "mtp-layers", "vision-experts")
"""Notes on parts that a checkpoint holds and the language model's ledger does not."""


class Download(Frozen):
    """Bytes of the weights in a model's repository, their formats, and whether all parts of the model are in."""

    nbytes: int
    dtype: str
    whole: bool


def download(loaded: LoadedModel, rows: Ledger) -> Download | None:
    """What the weights take that the model's repository ships; None: it is in no repository that is known.

    `rows` are those of any step of the model.

    `download_bytes` of the facts where a source gives it. Else the counted weights in their published formats; and
    where those are unquantized and the Hub's total of parameters is known, the parts beside the language model too.
    """
    spec, facts = loaded.spec, loaded.facts
    if spec.techniques or (spec.stored and spec.stored.origin == "requested"):
        return None
    if not (facts.get("hub_id") or is_hub_id(loaded.origin)):
        return None
    precision = precision_for(spec)
    if given := facts.get("download_bytes"):
        return Download(nbytes=given, dtype=precision.name, whole=True)
    weights, total = rows.sum(precision.weight_bytes), (facts.get("published") or {}).get("hub_total_params")
    if isinstance(total, int) and not _is_quantized(loaded):
        beside = max(0, total - rows.total("params")) * precision.weights.bits / 8
        return Download(nbytes=int(weights + beside), dtype=precision.name, whole=True)
    whole = not any(note.code in _BESIDE for note in spec.notes)
    return Download(nbytes=int(weights), dtype=precision.name, whole=whole)


def _is_quantized(loaded: LoadedModel) -> bool:
    parts = (loaded.config, *(part for part in loaded.config.values() if isinstance(part, dict)))
    return any(part.get("quantization_config") for part in parts)
