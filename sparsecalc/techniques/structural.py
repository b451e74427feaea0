"""A smaller model: narrower MLPs, fewer layers, fewer experts; and experts run with a capacity."""

from dataclasses import replace
from typing import Self

from sparsecalc.core.arrays import Number, is_array, most
from sparsecalc.core.errors import InputError
from sparsecalc.core.ops import Ledger, Op
from sparsecalc.core.text import brief
from sparsecalc.core.workload import Workload
from sparsecalc.model.feed_forward import DenseMlp, Moe, RwkvChannelMix
from sparsecalc.model.part import Part
from sparsecalc.model.shared_transformer import SharedTransformer
from sparsecalc.model.spec import ModelSpec
from sparsecalc.techniques.base import Technique, change_parts, count, kept_share, number, parts_of, refuse

_MOE_HINT = "It needs a mixture of experts, such as mixtral-8x7b"
_WIDTHS = ("intermediate_size", "moe_intermediate_size", "shared_intermediate_size")


class Width(Technique):
    """`width=0.8`: MLPs, experts and shared experts keep 80 % of their neurons, rounded to whole ones.

    Hidden size and attention stay. Source: Minitron, arXiv:2407.14679 (pruning of MLP neurons).
    """

    name = "width"
    kept: float

    @classmethod
    def parse(cls, value: str) -> Self:
        """`0.8`."""
        return cls(kept=kept_share(cls.name, value))

    def apply(self, spec: ModelSpec) -> ModelSpec:
        """The spec with narrower MLPs."""
        if not any(parts_of(spec, kind) for kind in (DenseMlp, Moe, RwkvChannelMix)):
            raise refuse(self, spec, "MLP", "It needs a dense MLP or experts")
        return change_parts(spec, self._narrower)

    def _narrower(self, part: Part) -> Part:
        if not isinstance(part, DenseMlp | Moe | RwkvChannelMix):
            return part
        sizes = {name: value for name, value in vars(part).items() if name in _WIDTHS and value}
        return part.but(**{name: max(1, round(value * self.kept)) for name, value in sizes.items()})


class Depth(Technique):
    """`depth=0.75`: 75 % of the layers are kept, rounded, of each kind in proportion and evenly spaced.

    Which layers a pruner drops does not change the cost where they are equal; here the mix of kinds stays.
    Sources: Minitron, arXiv:2407.14679; ShortGPT, arXiv:2403.03853.
    """

    name = "depth"
    kept: float

    @classmethod
    def parse(cls, value: str) -> Self:
        """`0.75`."""
        return cls(kept=kept_share(cls.name, value))

    def apply(self, spec: ModelSpec) -> ModelSpec:
        """The spec with fewer layers, numbered anew."""
        if parts_of(spec, SharedTransformer):
            raise InputError(f"{self.text}: layers of {spec.id} share weights", hint="Dropping one may drop them all")
        shares = _apportioned([group.count for group in spec.layer_groups], self.kept)
        kept_places = [
            [group.positions[index * group.count // left] for index in range(left)]
            for group, left in zip(spec.layer_groups, shares, strict=True)
        ]
        order = {
            place: index for index, place in enumerate(sorted(place for places in kept_places for place in places))
        }
        groups = [
            group.but(positions=tuple(order[place] for place in places))
            for group, places in zip(spec.layer_groups, kept_places, strict=True)
            if places
        ]
        return spec.but(layer_groups=tuple(groups))


def _apportioned(counts: list[int], kept: float) -> list[int]:
    """How many of each kind are kept: whole numbers that add up to the rounded total, by largest remainders."""
    numbers = [int(count * kept) for count in counts]
    missing = max(1, round(sum(counts) * kept)) - sum(numbers)
    by_remainder = sorted(range(len(counts)), key=lambda place: numbers[place] - counts[place] * kept)
    for place in by_remainder[: max(0, missing)]:
        numbers[place] += 1
    return numbers


class ExpertTechnique(Technique):
    """A technique that changes the mixtures of experts."""

    def apply(self, spec: ModelSpec) -> ModelSpec:
        """The spec with every mixture changed."""
        if not parts_of(spec, Moe):
            raise refuse(self, spec, "mixture of experts", _MOE_HINT)
        return change_parts(spec, lambda part: self._changed(part) if isinstance(part, Moe) else part)

    def _changed(self, moe: Moe) -> Moe:
        raise NotImplementedError

    def _at_most(self, asked: int, held: int) -> None:
        if asked > held:
            raise InputError(f"{self.text}: there are {held} experts", hint=f"At most {held}")


class TopK(ExpertTechnique):
    """`top-k=1`: a token selects one expert. Source: Switch, arXiv:2101.03961."""

    name = "top-k"
    experts: int

    @classmethod
    def parse(cls, value: str) -> Self:
        """`1`."""
        return cls(experts=count(cls.name, value, "1"))

    def _changed(self, moe: Moe) -> Moe:
        self._at_most(self.experts, moe.num_experts)
        return moe.but(num_experts_per_tok=self.experts)


class KeptExperts(ExpertTechnique):
    """`experts=4`: four experts are kept, the others and their rows of the router are dropped.

    Source: Not All Experts are Equal, arXiv:2402.14800.
    """

    name = "experts"
    experts: int

    @classmethod
    def parse(cls, value: str) -> Self:
        """`4`."""
        return cls(experts=count(cls.name, value, "4"))

    def _changed(self, moe: Moe) -> Moe:
        self._at_most(self.experts, moe.num_experts)
        if self.experts < moe.num_experts_per_tok:
            hint = f"Select fewer first: +top-k={self.experts}+{self.text}"
            raise InputError(f"{self.text}: a token selects {moe.num_experts_per_tok}", hint=hint)
        return moe.but(num_experts=self.experts)


class MergedMoe(Moe):
    """Experts merged into fewer; the router still has an output for each original one (M-SMoE, arXiv:2310.01334)."""

    original_experts: int
    """Zero-compute ones among them."""

    @property
    def router_outputs(self) -> int:
        """`original_experts`."""
        return self.original_experts


class Merge(ExpertTechnique):
    """`merge=4`: the experts are merged into four; the router stays.

    A token reaches at most min(k, 4) of them: two of its picks may be one. Source: M-SMoE, arXiv:2310.01334.
    """

    name = "merge"
    experts: int

    @classmethod
    def parse(cls, value: str) -> Self:
        """`4`."""
        return cls(experts=count(cls.name, value, "4"))

    def _changed(self, moe: Moe) -> Moe:
        self._at_most(self.experts, moe.num_experts)
        if self.experts == moe.num_experts:
            return moe
        fewer = {"num_experts": self.experts, "num_experts_per_tok": min(self.experts, moe.num_experts_per_tok)}
        return MergedMoe(**{**vars(moe), **fewer}, original_experts=moe.router_outputs)


class Capacity(Technique):
    """`capacity=1.25`: every expert runs a full buffer of C tokens, used or not; what overflows is dropped.

        C = ceil(capacity * tokens * k / E);   rows computed = E * C;   all experts are read

    Sources: GShard, arXiv:2006.16668; Switch, arXiv:2101.03961, section 2.2.
    """

    name = "capacity"
    factor: float

    @classmethod
    def parse(cls, value: str) -> Self:
        """`1.25`."""
        factor = number(cls.name, value, "1.25")
        if not 0 < factor <= 1000:
            raise InputError(
                f"{cls.name}: the factor is {brief(value)}", hint="It must be in (0, 1000]: +capacity=1.25"
            )
        return cls(factor=factor)

    def apply(self, spec: ModelSpec) -> ModelSpec:
        """The spec with buffers."""
        if not any(map(_is_routed, spec.ops(Workload()))):
            raise refuse(self, spec, "mixture of experts", _MOE_HINT)
        return super().apply(spec)

    def rewrite(self, rows: Ledger, work: Workload) -> Ledger:
        """Experts with padded rows."""
        return Ledger(self._padded(op) if _is_routed(op) else op for op in rows)

    def _padded(self, op: Op) -> Op:
        each = -(-self.factor * op.tokens / op.num_experts // 1)
        rows: Number = op.num_experts * (each if is_array(each) else int(each))
        used = most(op.tokens, 1)
        return replace(
            op,
            tokens=rows,
            flops=op.flops * rows // used,
            read_share=1,
            activation_elements=op.activation_elements * rows // used,
            scratch_elements=op.scratch_elements * rows // used,
        )


def _is_routed(op: Op) -> bool:
    return op.kind == "experts" and op.num_experts_per_tok > 0
