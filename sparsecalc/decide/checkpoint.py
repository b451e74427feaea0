"""Hold a count against a checkpoint's headers: elements and bytes by dtype, and a name for every difference."""

import re
from collections.abc import Sequence

from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Workload
from sparsecalc.documents.explain import ExplainLine
from sparsecalc.documents.verify import Checkpoint, Pair, StoredFormat
from sparsecalc.estimate.costs import params
from sparsecalc.library.formats import precision_for
from sparsecalc.library.hub import StoredTensor, stored_tensors
from sparsecalc.library.models import LoadedModel, is_hub_id

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
_SCALES = _KINDS[0][0]


def checkpoint(tensors: Sequence[StoredTensor], loaded: LoadedModel, repo_id: str) -> Checkpoint:
    """What the tensors of a repository are beside the ledger's parameters and bytes.

    Bytes are compared for what the ledger counts: the stored tensors and their scales, without towers, prediction
    layers, buffers and second copies.
    """
    if not tensors:
        raise InputError("the checkpoint's headers name no tensors", where=loaded.spec.id)
    counted, stored = params(loaded.spec).total, sum(tensor.elements for tensor in tensors)
    lines = _explained(tensors, loaded)
    precision = precision_for(loaded.spec)
    held = sum(tensor.nbytes for tensor in tensors if _kind(tensor, loaded) in (None, _SCALES))
    return Checkpoint(
        repo_id=repo_id,
        params=Pair(predicted=counted, actual=stored),
        weights_bytes=Pair(predicted=int(loaded.spec.ops(Workload()).sum(precision.weight_bytes)), actual=held),
        weights_dtype=precision.name,
        by_dtype=_formats(tensors),
        explained=lines,
        unexplained=stored - counted - int(sum(line.value for line in lines)),
    )


def fetch_checkpoint(loaded: LoadedModel) -> Checkpoint:
    """The checkpoint of the repository that the model came from, or that its spec names.

    Raises InputError where none is known, or the Hub does not give its headers.
    """
    repo_id = loaded.facts.get("hub_id") or loaded.origin
    if not is_hub_id(repo_id):
        raise InputError("no Hub repository is known for it", where=loaded.spec.id, hint="Name org/name itself")
    return checkpoint(stored_tensors(repo_id), loaded, repo_id)


def _formats(tensors: Sequence[StoredTensor]) -> list[StoredFormat]:
    """Tensors, elements and bytes of each dtype, the largest first."""
    formats = []
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        same = [tensor for tensor in tensors if tensor.dtype == dtype]
        elements, nbytes = sum(tensor.elements for tensor in same), sum(tensor.nbytes for tensor in same)
        formats.append(StoredFormat(dtype=dtype, tensors=len(same), elements=elements, bytes=nbytes))
    return sorted(formats, key=lambda entry: -entry.bytes)


def _explained(tensors: Sequence[StoredTensor], loaded: LoadedModel) -> list[ExplainLine]:
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
