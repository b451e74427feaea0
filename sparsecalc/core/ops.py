"""One step of a model as a list of `Op`s. Everything the tool says is a sum over this list.

Parameters, FLOPs, bytes of weights, KV cache and recurrent state are columns of the same rows, so that what is
*stored*, what is *read* and what is *computed* can never drift apart.

Symbols used in this package: B batch, T new tokens per sequence, S context (past and new), H hidden_size,
E experts, k experts per token.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sparsecalc.core.arrays import Number
from sparsecalc.core.components import COMPONENTS, Component, Kind, Role
from sparsecalc.core.expert_shares import expected_experts_per_tok

if TYPE_CHECKING:
    from sparsecalc.core.number_format import NumberFormat
    from sparsecalc.core.storage import Storage

StoredAs = tuple[tuple["NumberFormat", int], ...]
"""Number formats of an op's matrices as a checkpoint stores them, each with how many of them have it."""

OpFormats = tuple[tuple[tuple[str, str], StoredAs], ...]
"""Formats of a layer's ops, by (component, name); ops that are left out are stored unquantized."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One operation of one step, with what it stores, reads and computes *per layer*; it stands for `layers` layers.

    Stored elements are `matrices` matrices of `rows` x `cols` (rows: output features, as torch.nn.Linear stores
    them) and `vectors` further elements (biases, gains, per-channel constants) that no quantizer touches.
    """

    name: str
    component: Component
    kind: Kind
    role: Role = ""
    layers: int = 1
    group: str = ""
    rows: int = 0
    cols: int = 0
    matrices: int = 0
    vectors: int = 0
    tied: bool = False
    """The weights are another op's: used here, stored there."""
    num_experts_per_tok: int = 1
    num_experts: int = 1
    """A token uses `num_experts_per_tok` of `num_experts` equal shares of the weights (1 of 1 except experts)."""
    zero_experts: int = 0
    """Experts that take part in routing and compute nothing."""
    read_share: Number = 1
    """Expected share of the stored weights that this step reads (distinct experts / experts; rows of a table)."""
    tokens: Number = 0
    """Rows of the activation matrix, M of an M x N x K product (routed experts: B*T*k rows in all)."""
    flops: Number = 0
    """2 per multiply-accumulate of matrix products, attention scores and values, and state updates."""
    kv_elements_per_token: int = 0
    """Cache elements that one more token of one sequence adds before any window fills."""
    kv_elements: Number = 0
    """Cache elements held by all sequences at the end of the step, windows applied."""
    index_elements_per_token: int = 0
    """Elements of a sparse indexer's own key cache per token: beside the KV cache, not part of it."""
    index_elements: Number = 0
    state_elements: Number = 0
    """Elements of recurrent state of all sequences, of constant size in the context."""
    state_is_fp32: bool = False
    """Whether the reference implementation keeps the state in fp32, whatever the activations are."""
    activation_elements: Number = 0
    """Elements of inputs and outputs that the op moves."""
    scratch_elements: Number = 0
    """Elements of the op's output that must be held at once."""
    heads: int = 0
    """Query heads of an attention op."""
    kv_heads: int = 0
    """Key-value heads whose cache an attention op reads; 0: a latent that all heads share."""
    cache_read_elements: Number = 0
    """Cache elements that the step reads: all visible ones, or those that a sparse attention selects."""
    shards: int = 0
    """Most devices that can each hold a part of the op's weights or cache; more hold copies. 0: any number."""
    note: str = ""
    """The op's own factors in words, for `explain`: what 2 FLOPs are multiplied by."""
    kv_note: str = ""
    """What `kv_elements_per_token` is made of."""
    source: str = ""
    stored_as: StoredAs = ()
    """In which formats the checkpoint stores the matrices; empty: unquantized, or no checkpoint says."""
    storage: "Storage | None" = None
    """How the matrices are stored where they are sparse."""
    technique: str = ""
    """The weights' sparsity as it is typed (`2:4`), for the tables of measured kernels."""
    compute_share: Number = 1
    """Share of the dense products that `flops` counts."""

    @property
    def used_params(self) -> int:
        """Elements of the weights that the op multiplies with, tied or not, in one layer."""
        return self.matrices * self.rows * self.cols + self.vectors

    @property
    def params(self) -> int:
        """Stored elements in one layer: matrices * rows * cols + vectors; none where the weights are tied."""
        return 0 if self.tied else self.used_params

    @property
    def nonzero_params(self) -> int:
        """Of `params`, those whose values are stored: all, unless the matrices are sparse."""
        if self.storage is None or self.tied:
            return self.params
        return self.matrices * self.storage.nonzeros(self.rows, self.cols) + self.vectors

    @property
    def active_params(self) -> int:
        """Stored elements that one token uses: all, or num_experts_per_tok / num_experts of them."""
        return self.params * min(self.num_experts_per_tok, self.num_experts) // self.num_experts

    @property
    def expected_experts_per_tok(self) -> float:
        """Experts with weights that a token is expected to select: k E / (E + Z), Z zero-compute experts."""
        return expected_experts_per_tok(self.num_experts_per_tok, self.num_experts, self.zero_experts)

    @property
    def read_params(self) -> Number:
        """Expected number of weight elements that the step reads in one layer."""
        return self.used_params * self.read_share


class Ledger(tuple[Op, ...]):
    """Ops in order, with sums over all layers."""

    __slots__ = ()

    def sum(self, column: str | Callable[[Op], Number], where: Callable[[Op], bool] = lambda op: True) -> float:
        """Sum of `column` times `layers` over the ops that `where` accepts; exact while the column is an integer."""
        value = column if callable(column) else (lambda op: getattr(op, column))
        total: float = sum(value(op) * op.layers for op in self if where(op))
        return total

    def total(self, column: str) -> int:
        """`sum` of an integer column."""
        return int(self.sum(column))

    def by_component(self, column: str) -> dict[Component, int]:
        """`column` summed per component; every component is present, so that ledgers compare."""
        sums: dict[Component, int] = dict.fromkeys(COMPONENTS, 0)
        for op in self:
            sums[op.component] += getattr(op, column) * op.layers
        return sums

    def in_group(self, group: str, layers: int) -> Iterator[Op]:
        """The same ops as rows of one layer group with `layers` layers."""
        return (replace(op, group=group, layers=op.layers * layers) for op in self)

    def stored(self, formats: OpFormats) -> "Ledger":
        """The same ops, in the formats of a checkpoint."""
        known = dict(formats)
        if not known:
            return self
        return Ledger(
            replace(op, stored_as=known[key]) if (key := (op.component, op.name)) in known else op for op in self
        )


def linear(
    name: str,
    component: Component,
    in_features: int,
    out_features: int,
    tokens: Number,
    *,
    bias: bool = False,
    matrices: int = 1,
    tied: bool = False,
    shards: int = 0,
    role: Role = "",
) -> Op:
    """A dense projection, y = x W^T + b: stores in*out (+ out), computes 2 * tokens * in * out per matrix."""
    return Op(
        name=name,
        component=component,
        kind="matmul",
        role=role,
        rows=out_features,
        cols=in_features,
        matrices=matrices,
        vectors=out_features * matrices if bias else 0,
        tied=tied,
        shards=shards,
        tokens=tokens,
        flops=2 * tokens * in_features * out_features * matrices,
        activation_elements=tokens * (in_features + out_features * matrices),
        scratch_elements=tokens * out_features * matrices,
    )


def vector(name: str, component: Component, elements: int, tokens: Number = 0) -> Op:
    """Gains, biases and constants that are applied elementwise: stored and read, but no matrix product."""
    return Op(name=name, component=component, kind="vector", vectors=elements, tokens=tokens, activation_elements=0)


def ledger(*parts: Iterable[Op]) -> Ledger:
    """Join lists of ops into one ledger."""
    return Ledger(op for part in parts for op in part)
