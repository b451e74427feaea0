"""One step of multi-token prediction as a model of its own: what drafts one more token."""

from collections.abc import Sequence

from sparsecalc.model.basic_parts import Norm, Projection
from sparsecalc.model.spec import Layer, LayerGroup, ModelSpec


def prediction_model(spec: ModelSpec, layers: Sequence[Layer]) -> ModelSpec:
    """A map 2 H -> H from the embedding and the hidden state, the step's layers, a norm, and the model's own LM head.

    Source: arXiv:2412.19437, section 2.2. Formats are those of the model's layers of the same kind, else of its last.
    """
    known = [(group.layer, group.formats) for group in spec.layer_groups]
    groups = tuple(
        LayerGroup(
            layer=layer,
            positions=(position,),
            formats=next((formats for same, formats in known if same == layer), known[-1][1]),
        )
        for position, layer in enumerate(layers)
    )
    joined = Projection(name="eh_proj", in_features=2 * spec.hidden_size, out_features=spec.hidden_size)
    return spec.but(
        id=f"{spec.id}, prediction step",
        layer_groups=groups,
        final=(joined, Norm(size=spec.hidden_size)),
        notes=(),
        mtp=(),
        mtp_layers=(),
        techniques=(),
    )
