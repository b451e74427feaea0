"""Small parts: norms, tables, extra projections and the LM head."""

from collections.abc import Iterator
from typing import Literal

from sparsecalc.core.arrays import least
from sparsecalc.core.components import Component
from sparsecalc.core.ops import Op, linear, vector
from sparsecalc.core.workload import Workload
from sparsecalc.model.part import Part


class Norm(Part):
    """RMSNorm (gain) or LayerNorm (gain and bias) over `size` features; `gain=False` for one without parameters."""

    kind: Literal["norm"] = "norm"
    name: str = "norm"
    size: int
    bias: bool = False
    gain: bool = True

    def ops(self, work: Workload) -> Iterator[Op]:
        yield vector(self.name, "norm", self.size * (self.gain + self.bias), work.tokens)


class Table(Part):
    """A lookup table of `rows` vectors of `size` elements: token, position or per-layer embeddings."""

    kind: Literal["table"] = "table"
    name: str = "embed_tokens"
    rows: int
    size: int
    is_input: bool = False
    """The input embedding, the table that `active_excl_embedding` leaves out."""
    lookups: int = 0
    """Rows that each token looks up by a hash of the tokens before it: all that is active of it. 0: all counts."""

    def ops(self, work: Workload) -> Iterator[Op]:
        rows = self.lookups or 1
        yield Op(
            name=self.name,
            component="embedding",
            kind="lookup",
            rows=self.rows,
            cols=self.size,
            matrices=1,
            num_experts_per_tok=self.lookups or 1,
            num_experts=self.rows if self.lookups else 1,
            tokens=work.tokens,
            read_share=least(1.0, work.tokens * rows / self.rows),
            activation_elements=work.tokens * rows * self.size,
        )


class Projection(Part):
    """An extra linear map outside mixer and feed-forward (per-layer inputs, LAuReL, AltUp, latent projections)."""

    kind: Literal["projection"] = "projection"
    name: str
    component: Component = "other"
    in_features: int
    out_features: int
    bias: bool = False
    matrices: int = 1
    per_token: int = 1
    """How many rows each token sends through it."""

    def ops(self, work: Workload) -> Iterator[Op]:
        yield linear(
            self.name,
            self.component,
            self.in_features,
            self.out_features,
            work.tokens * self.per_token,
            bias=self.bias,
            matrices=self.matrices,
            role="neurons" if self.component == "dense_ffn" else "",  # one linear map in an MLP's place
        )


class Product(Part):
    """A matrix product of activations, with no stored weights: 2 * rows * in_features * out_features per token."""

    kind: Literal["product"] = "product"
    name: str
    component: Component = "other"
    rows: int
    in_features: int
    out_features: int

    def ops(self, work: Workload) -> Iterator[Op]:
        rows = work.tokens * self.rows
        yield Op(
            name=self.name,
            component=self.component,
            kind="matmul",
            tokens=rows,
            flops=2 * rows * self.in_features * self.out_features,
            activation_elements=rows * (self.in_features + self.out_features),
            scratch_elements=rows * self.out_features,
        )


class Constants(Part):
    """Elements that are stored and applied elementwise: scales, biases, sinks."""

    kind: Literal["constants"] = "constants"
    name: str
    component: Component = "other"
    elements: int

    def ops(self, work: Workload) -> Iterator[Op]:
        yield vector(self.name, self.component, self.elements, work.tokens)


class Head(Part):
    """The LM head, hidden_size -> vocab_size, at the positions whose logits are wanted; tied: the input table again."""

    kind: Literal["head"] = "head"
    in_features: int
    out_features: int
    bias: bool = False
    tied: bool

    def ops(self, work: Workload) -> Iterator[Op]:
        yield linear("lm_head", "lm_head", self.in_features, self.out_features, work.logit_tokens, tied=self.tied)
        if self.bias:
            yield vector("lm_head.bias", "lm_head", self.out_features, work.logit_tokens)
