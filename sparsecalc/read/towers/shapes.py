"""Shapes of stored weights, gathered piece by piece."""

from dataclasses import dataclass, field

from sparsecalc.model.stored import StoredPart
from sparsecalc.read.fields import Fields


@dataclass
class Pieces:
    """StoredPart weights of one tower, in order."""

    stored: list[StoredPart] = field(default_factory=list)

    def add(self, name: str, matrices: int, rows: int, cols: int, vectors: int = 0) -> None:
        """`matrices` matrices of rows x cols, and `vectors` elements beside them."""
        self.stored.append(StoredPart(name=name, matrices=matrices, rows=rows, cols=cols, vectors=vectors))

    def linear(self, name: str, inputs: int, outputs: int, *, count: int = 1, bias: bool = True) -> None:
        """`count` linear maps, each inputs * outputs (+ outputs)."""
        self.add(name, count, outputs, inputs, count * outputs if bias else 0)

    def vector(self, name: str, elements: int) -> None:
        """Gains, biases, tables that no quantizer touches."""
        self.stored.append(StoredPart(name=name, vectors=elements))

    def parts(self, prefix: str) -> list[StoredPart]:
        """The pieces under the name of what they belong to."""
        return [piece.but(name=f"{prefix}.{piece.name}") for piece in self.stored]


def transformer_layers(
    pieces: Pieces, count: int, hidden: int, width: int, *, bias: bool, norm: int, gated: bool = False
) -> None:
    """`count` encoder layers: four H x H maps of the attention, an MLP of two maps (three gated), norms of `norm`."""
    pieces.linear("layers.attention", hidden, hidden, count=4 * count, bias=bias)
    pieces.linear("layers.mlp.up", hidden, width, count=(1 + gated) * count, bias=bias)
    pieces.linear("layers.mlp.down", width, hidden, count=count, bias=bias)
    pieces.vector("layers.norms", norm * count)


def side(config: Fields, key: str) -> int:
    """A size that configs write as a number or as a pair of equal numbers."""
    value = config.raw(key)
    if isinstance(value, list) and len(value) == 2 and value[0] == value[1]:
        return Fields({key: value[0]}, "", where=config.where, nested=True).size(key)
    return config.size(key)
