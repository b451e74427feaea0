"""What every technique has in common, and the arithmetic of work that only a share of the tokens needs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Self, TypeVar

from sparsecalc.core.arrays import Number, is_array, most
from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.ops import Ledger, Op
from sparsecalc.core.text import brief
from sparsecalc.core.workload import Workload
from sparsecalc.data_files import read_data
from sparsecalc.model.part import Part
from sparsecalc.model.spec import LayerGroup, ModelSpec

LARGEST_COUNT = 2**30
P = TypeVar("P", bound=Part)


class Technique(Frozen):
    """A change of a model, appended to its name: `+heads=0.5`.

    `apply` gives the changed spec, or the same spec where the technique changes nothing. What it costs, what it does
    not save and where that is known from stands in data/techniques.json.
    """

    name: ClassVar[str]
    family: ClassVar[str] = ""
    """Only one technique of a family can be applied."""
    varied: ClassVar[str] = ""
    """Pattern of what stands before its sparsity where that may be any number, for `crossover --over sparsity`."""

    @classmethod
    def parse(cls, value: str) -> Self:
        """The technique with the value after `=`. Raises InputError where the value is malformed or out of range."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """As it is typed: `heads=0.5`."""
        value = ",".join(f"{value:g}" if isinstance(value, float) else str(value) for value in vars(self).values())
        return f"{self.name}={value}"

    def apply(self, spec: ModelSpec) -> ModelSpec:
        """The changed spec. Raises InputError where the model has nothing that the technique could change."""
        return spec.but(techniques=(*spec.techniques, self))

    def rewrite(self, rows: Ledger, work: Workload) -> Ledger:
        """The changed ledger of one step."""
        return rows

    def facts(self) -> dict[str, Any]:
        """Its entry of data/techniques.json: source, not_saved."""
        entry: dict[str, Any] = read_data("techniques.json")["techniques"][self.name]
        return entry

    @property
    def not_saved(self) -> list[str]:
        """What the technique leaves as it was, or costs: a sentence each."""
        return [str(text) for text in self.facts()["not_saved"]]


def number(name: str, value: str, example: str) -> float:
    """A plain number. Raises InputError."""
    try:
        return float(value)
    except ValueError:
        what = f"its value {brief(value)} is not a number" if value else "its value is missing"
        raise InputError(f"{name}: {what}", hint=f"Example: +{name}={example}") from None


def sparsity(name: str, value: str) -> float:
    """A share that is left out: at least 0, below 1."""
    share = number(name, value, "0.5")
    if not 0 <= share < 1:
        raise InputError(
            f"{name}: the sparsity is {brief(value)}", hint=f"It must be at least 0 and below 1: {name}=0.5"
        )
    return share


def kept_share(name: str, value: str) -> float:
    """A share that is kept: above 0, at most 1."""
    share = number(name, value, "0.5")
    if not 0 < share <= 1:
        raise InputError(f"{name}: the kept share is {brief(value)}", hint=f"It must be in (0, 1]: {name}=0.5")
    return share


def count(name: str, value: str, example: str) -> int:
    """A positive integer."""
    if not (value.isascii() and value.isdigit() and len(value) < 12 and 0 < int(value) <= LARGEST_COUNT):
        what = f"its value is {brief(value)}" if value else "its value is missing"
        raise InputError(f"{name}: {what}", hint=f"It must be a positive integer: +{name}={example}")
    return int(value)


def scaled(value: Number, share: Number) -> Number:
    """`value * share`, rounded where both are plain numbers."""
    product = value * share
    return product if is_array(product) else round(product)


def reached(read_share: Number, share: float, tokens: Number) -> Number:
    """Expected share of weights that at least one token reads, where each token needs them with probability `share`.

        1 - (1 - p * share) ** tokens,   p = 1 - (1 - read_share) ** (1 / tokens)

    p: a single token's chance to read them without the technique (1 for dense weights, k / E for experts).
    Tokens choose independently of each other.
    """
    each = 1 - (1 - read_share) ** (1 / most(tokens, 1))
    return 1 - (1 - each * share) ** tokens


def thinned(op: Op, share: float, tokens: Number, cache_share: float | None = None) -> Op:
    """`op` as run by `share` of the tokens: their FLOPs and activations, the weights that any of them needs.

    `cache_share`: of the cache's reads; as `share` where None.
    """
    return replace(
        op,
        flops=scaled(op.flops, share),
        read_share=reached(op.read_share, share, tokens),
        activation_elements=scaled(op.activation_elements, share),
        cache_read_elements=op.cache_read_elements * (share if cache_share is None else cache_share),
        compute_share=op.compute_share * share,
    )


def change_parts(spec: ModelSpec, change: Callable[[Part], Part]) -> ModelSpec:
    """The spec with every mixer and feed-forward as `change` returns it."""

    def changed(group: LayerGroup) -> LayerGroup:
        layer = group.layer
        mixers, forwards = tuple(map(change, layer.mixers)), tuple(map(change, layer.feed_forwards))
        return group.but(layer=layer.but(mixers=mixers, feed_forwards=forwards))

    return spec.but(layer_groups=tuple(map(changed, spec.layer_groups)))


def parts_of(spec: ModelSpec, kind: type[P]) -> list[P]:
    """The mixers and feed-forwards of one class, in order of the layer groups."""
    layers = [group.layer for group in spec.layer_groups]
    parts = [part for layer in layers for part in (*layer.mixers, *layer.feed_forwards)]
    return [part for part in parts if isinstance(part, kind)]


def refuse(technique: Technique, spec: ModelSpec, lacks: str, hint: str) -> InputError:
    """The error for a model that the technique does not fit."""
    return InputError(f"{technique.text}: {spec.id} has no {lacks}", hint=hint)
