"""A `ModelSpec` from the real architecture itself, for model families without a reader.

Every tensor of the meta model becomes a weight of its layer; FLOPs, attention and caches are measured by forward passes
on meta (`traces.py`). Equal layers are one group. The spec is made of the same nouns as a reader's.
"""

from typing import Any

import transformers
from torch import nn

from sparsecalc.core.errors import InputError
from sparsecalc.core.notes import Note
from sparsecalc.core.text import printable
from sparsecalc.library.models import LoadedModel, find_config
from sparsecalc.measure.architecture.meta_model import meta_model
from sparsecalc.measure.architecture.model_inputs import text_config
from sparsecalc.measure.architecture.named_class import check_class
from sparsecalc.measure.architecture.tensor_components import TensorComponents
from sparsecalc.measure.derive.derived_layers import derived_layers, final_parts
from sparsecalc.measure.derive.layer_places import layer_finder
from sparsecalc.measure.derive.stored_weights import is_table, stored_weights
from sparsecalc.measure.derive.traces import Traces, trace
from sparsecalc.model.basic_parts import Head, Table
from sparsecalc.model.spec import ModelSpec, group_layers
from sparsecalc.read.fields import Fields
from sparsecalc.read.stored.resolve import as_stored


def load_derived(name: str) -> LoadedModel:
    """Like `load_model`, but the spec is derived from transformers' own class instead of read by a family's reader."""
    transformers.logging.set_verbosity_error()
    source = find_config(name)
    return source.as_model(derive_spec(source.config, source.name, where=source.where))


def derive_spec(config: Any, name: str, *, where: str = "") -> ModelSpec:
    """The spec of the architecture that transformers builds from `config`.

    Raises InputError where transformers has no such model_type, or cannot build it.
    """
    if not isinstance(config, dict):
        raise InputError("a model config is a JSON object", where=where)
    try:
        check_class(config)
        model = meta_model(config)
    except InputError as error:
        raise InputError(error.text, where=where, hint="--from-architecture needs a type that it has") from error
    traces, text = trace(model), text_config(model)
    stored = stored_weights(model, traces)
    layers = derived_layers(model, stored, traces)
    tables, head = _tables(model), _head(model)
    fields = Fields(config, str(config.get("model_type")), where=where)
    spec = ModelSpec(
        id=printable(name, 100) or "model",
        model_type=str(text.model_type),
        hidden_size=_hidden_size(model, tables),
        vocab_size=next((table.rows for table in tables if table.is_input), 0),
        tie_word_embeddings=bool(head and head.tied),
        tables=tables,
        layer_groups=group_layers(layers),
        final=final_parts(stored, traces),
        head=head,
    )
    spec = as_stored(spec, fields, spec.model_type)
    return spec.but(notes=(*fields.notes, _note(model, traces)))


def _tables(model: nn.Module) -> tuple[Table, ...]:
    """Lookup tables outside the layers."""
    components, find = TensorComponents(model), layer_finder(model)
    return tuple(
        Table(
            name=name.removesuffix(".weight").rpartition(".")[2],
            rows=tensor.shape[0],
            size=tensor.shape[1],
            is_input=components.modules[name.rpartition(".")[0]] in (components.embedding, components.head),
        )
        for name, tensor in model.named_parameters()
        if is_table(components, name, tensor, find(name))
    )


def _head(model: nn.Module) -> Head | None:
    """The LM head; tied where its matrix is the input table."""
    components = TensorComponents(model)
    head: Any = components.head
    matrix = getattr(head, "weight", None)
    if matrix is None or matrix.dim() != 2:
        return None
    bias = next((name for name, tensor in model.named_parameters() if tensor is getattr(head, "bias", None)), "")
    return Head(
        in_features=matrix.shape[1],
        out_features=matrix.shape[0],
        bias=components.modules[bias.rpartition(".")[0]] is head if bias else False,
        tied=any(matrix is tensor for tensor in components.embedding.parameters()),
    )


def _hidden_size(model: nn.Module, tables: tuple[Table, ...]) -> int:
    size = getattr(text_config(model), "hidden_size", None)
    return int(size) if isinstance(size, int) else next((table.size for table in tables), 0)


def _note(model: nn.Module, traces: Traces) -> Note:
    text = f"derived from transformers {transformers.__version__}'s {type(model).__name__}, not by a family's reader"
    if any(held.state for held in traces.held.values()):
        text += "; state updates are counted by formula"
    if traces.left_out:
        text += "; not measured: " + "; ".join(traces.left_out)
    return Note(code="from-architecture", text=printable(text, 1000))
