"""Hold a count against a checkpoint's headers, and name every difference."""

import re
from collections.abc import Iterable

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import printable
from sparsecalc.decide.report import ExplainLine, ImportReport
from sparsecalc.estimate.costs import params
from sparsecalc.estimate.results import Warn
from sparsecalc.library.hub import StoredTensor
from sparsecalc.library.models import LoadedModel

_KINDS = (
    (
        "scales and zero points of quantized weights",
        r"(scale|scales|scale_inv|scale_2|qzeros|g_idx|absmax|quant_map|quant_state\S*|zero_point|weight_shape)$",
    ),
    ("multi-token-prediction layers", r"(^|\.)(mtp|mtp_\w+|nextn\w*)\."),
    (
        "vision, audio and other towers",
        r"(^|\.)(vision\w*|visual|audio\w*|image_\w+|multi_modal_projector|mm_projector|img_projector|embed_vision|embed_audio)(\.|$)",
    ),
    (
        "buffers, which transformers does not count as parameters",
        r"(inv_freq|e_score_correction_bias|expert_bias|masked_bias|attn\.bias|attention\.bias|position_ids|rotary_emb\.\w+)$",
    ),
)


def import_report(loaded: LoadedModel, tensors: Iterable[StoredTensor] | None, written: str) -> ImportReport:
    """What a checkpoint stores beside what its config says, the difference split into named kinds.

    `tensors` is None where there is no checkpoint to look at.
    """
    spec = loaded.spec
    counted = params(spec).total
    warnings = [Warn(code=note.code, text=note.text, model=spec.id) for note in loaded.notes]
    stored = difference = unexplained = None
    lines: list[ExplainLine] = []
    if tensors is not None:
        tensors = list(tensors)
        if not tensors:
            raise InputError("the checkpoint's headers name no tensors", where=spec.id)
        stored = sum(tensor.elements for tensor in tensors)
        difference = stored - counted
        lines = _explained(tensors, loaded)
        unexplained = difference - int(sum(line.value for line in lines))
        if unexplained:
            text = f"{unexplained:+,} stored elements are not explained: the count or the config may be wrong"
            warnings.append(Warn(code="unexplained", text=text, model=spec.id))
    return ImportReport(
        command="import",
        inputs={"model": spec.id, "origin": loaded.origin},
        warnings=warnings,
        model=spec.id,
        written=printable(written, 1000),
        counted_total=counted,
        stored_elements=stored,
        difference=difference,
        explained=lines,
        unexplained=unexplained,
    )


def _explained(tensors: list[StoredTensor], loaded: LoadedModel) -> list[ExplainLine]:
    """One line per kind of tensor that a checkpoint has beyond the counted parameters, or packs more tightly."""
    sums: dict[str, list[int]] = {}
    for tensor in tensors:
        if kind := _kind(tensor, loaded):
            sums.setdefault(kind, []).append(tensor.elements)
    lines = [
        ExplainLine(label=kind, formula=f"{len(found)} tensors", value=sum(found), source="safetensors headers")
        for kind, found in sums.items()
    ]
    packed = sum(_hidden_by_packing(tensor) for tensor in tensors if not _kind(tensor, loaded))
    if packed:
        label = "weights packed several to a stored element (4-bit in 8- or 32-bit)"
        lines.append(ExplainLine(label=label, formula="stored - held", value=-packed, source="safetensors headers"))
    return lines


def _kind(tensor: StoredTensor, loaded: LoadedModel) -> str | None:
    layer = re.search(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.", tensor.name)
    tower = re.search(_KINDS[2][1], tensor.name)
    if layer and not tower and int(layer.group(1)) >= loaded.spec.num_hidden_layers:
        return _KINDS[1][0]
    if loaded.spec.tie_word_embeddings and re.search(r"(^|\.)(lm_head|output|embed_out)\.weight$", tensor.name):
        return "a tied table stored twice"
    return next((kind for kind, pattern in _KINDS if re.search(pattern, tensor.name)), None)


def _hidden_by_packing(tensor: StoredTensor) -> int:
    """Weights that a packed tensor holds beyond its stored elements."""
    if tensor.dtype == "U8" and re.search(r"(_blocks|weight|weight_packed)$", tensor.name):
        return tensor.elements
    if tensor.dtype == "I32" and re.search(r"(qweight|weight_packed)$", tensor.name):
        return 7 * tensor.elements
    return 0
