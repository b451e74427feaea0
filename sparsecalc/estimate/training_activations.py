"""What a training step keeps for its backward pass: one formula per kind of part, as rows of saved tensors.

Symbols: t tokens of the step (B * T), H hidden_size, N and K query and key-value heads of width h (values: v),
I intermediate_size, E experts, k per token, r = t * k routed rows, a bytes per activation.

Three sets of kernels:

    fused   FlashAttention, fused norms and fused SwiGLU: what training engines run
    torch   transformers' own modules: scaled_dot_product_attention and grouped_mm experts, its defaults
    eager   the same with attn_implementation and experts_implementation "eager": score matrices are kept

Per layer, in bytes; with bf16 the fused form of a gated dense layer adds up to t * H * (12 + 4 K/N + 6 I/H).

    norm        fused t (a H + 4)      torch, eager  t ((4 + a) H + 4): a copy in fp32, and the normalized row
    attention   t a (H + N h + K (h + v) + N v) + 4 t N;   eager  t a (H + 2 N h + 2 N v) + (4 + a) N * B T^2 (a = 4: 4)
                torch beyond a window: keys and values per query head, t a N (h + v), and a mask of a B T^2
    dense MLP   fused t a (H + 3 I)    torch, eager  t a (H + 4 I): SiLU's result too
    experts     t a H + 4 t E + r (a (2 H + 3 I) + indices);   torch 4 I;   eager 3 H and 4 I

The model types of data/training.json are held against the tensors that torch saves (tests/test_finetune.py). Other
families' own modules may keep more: norms in fp32, dropout masks, recurrences step by step. Parts without a formula are
sums of what their products need. Rotary tables (below 1 %) are left out.
Source: the same count for GPT, arXiv:2205.05198, section 4.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from sparsecalc.core.components import Component
from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload
from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Norm
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.part import Part
from sparsecalc.model.spec import Layer

Kernels = Literal["fused", "torch", "eager"]
FP32 = 4
INDEX = 8
"""Bytes of torch's indices (int64)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """One tensor of one layer that is kept for the backward pass."""

    name: str
    elements: int
    bytes_each: int
    trains: tuple[Component, ...] = ()
    """Kept only where weights of one of these components are trained; empty: kept in any case."""
    scores: bool = False
    """A matrix of attention scores, which selective checkpointing computes again."""
    routed: bool = False
    """Rows of routed tokens: they grow with what a device is sent, not with its own tokens."""

    @property
    def nbytes(self) -> int:
        """elements * bytes_each."""
        return self.elements * self.bytes_each


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStep:
    """One training step as the formulas need it."""

    work: Workload
    size: int
    """Bytes per activation."""
    kernels: Kernels


def saved_by_layer(layer: Layer, step: TrainingStep) -> Iterator[Saved]:
    """Rows of everything that one layer keeps."""
    for part in (*layer.norms, *layer.mixers, *layer.feed_forwards, *layer.extras):
        yield from saved_by(part, step)


def saved_by(part: Part, step: TrainingStep) -> Iterator[Saved]:
    """Rows of everything that one part keeps."""
    if isinstance(part, Norm):
        return _norm(part.name, part.size, 1, part.bias or not part.gain, step)
    if isinstance(part, Gqa):
        return _attention(part, step)
    if isinstance(part, DenseMlp):
        return _dense(part, step, part.hidden_size)
    if isinstance(part, Moe):
        return _experts(part, step)
    return _by_op(part, step)


def _norm(name: str, width: int, rows: int, layer_norm: bool, step: TrainingStep) -> Iterator[Saved]:
    """RMSNorm over `rows` rows per token, `width` elements in all; torch's LayerNorm is fused in any case."""
    tokens = step.work.tokens
    if layer_norm or step.kernels == "fused":
        yield Saved(name=f"{name}: input", elements=tokens * width, bytes_each=step.size)
        yield Saved(name=f"{name}: statistics", elements=tokens * rows * (1 + layer_norm), bytes_each=FP32)
        return
    yield Saved(name=f"{name}: input in fp32", elements=tokens * width, bytes_each=FP32)
    yield Saved(name=f"{name}: statistics", elements=tokens * rows, bytes_each=FP32)
    yield Saved(name=f"{name}: normalized", elements=tokens * width, bytes_each=step.size, trains=("norm",))


def _attention(part: Gqa, step: TrainingStep) -> Iterator[Saved]:
    """Inputs of the projections, q, k, v, what attention returns, and its statistics or score matrices."""
    work, size = step.work, step.size
    tokens, heads, groups = work.tokens, part.num_attention_heads, part.num_key_value_heads
    dim, value_dim = part.head_dim, part.v_head_dim or part.head_dim
    yield Saved(name="attention: input", elements=tokens * part.hidden_size, bytes_each=size, trains=("attention",))
    if part.qk_norm:
        yield from _norm("q, k norm", (heads + groups) * dim, heads + groups, False, step)
    yield Saved(name="queries", elements=tokens * heads * dim, bytes_each=size)
    mixed = tokens * heads * value_dim
    window = part.window
    masked = step.kernels == "torch" and window is not None and work.new_tokens > window
    if step.kernels == "eager":
        pairs = tokens * work.new_tokens * heads
        yield Saved(name="keys, values per query head", elements=tokens * heads * (dim + value_dim), bytes_each=size)
        yield Saved(name="softmax in fp32", elements=pairs, bytes_each=FP32, scores=True)
        if size != FP32:
            yield Saved(name="probabilities", elements=pairs, bytes_each=size, scores=True)
        yield Saved(name="mixed values", elements=mixed, bytes_each=size, trains=("attention",))
    else:
        if part.key_value != "shared":
            copies = heads if masked else groups
            yield Saved(name="keys, values", elements=tokens * copies * (dim + value_dim), bytes_each=size)
        if masked:
            yield Saved(name="mask", elements=tokens * work.new_tokens, bytes_each=size)
        yield Saved(name="mixed values", elements=mixed, bytes_each=size)
        yield Saved(name="log-sum-exp", elements=tokens * heads, bytes_each=FP32)
    if part.output_gate == "per_element":
        yield Saved(name="gate", elements=mixed, bytes_each=size)
        yield Saved(name="gated values", elements=mixed, bytes_each=size, trains=("attention",))


def _dense(part: DenseMlp, step: TrainingStep, input_width: int) -> Iterator[Saved]:
    """Input, gate and up, SiLU's result where it is not computed again, and the product that goes down."""
    tokens, wide = step.work.tokens, step.work.tokens * part.intermediate_size
    own: tuple[Component, ...] = (part.component,)
    if input_width:
        yield Saved(name="mlp: input", elements=tokens * input_width, bytes_each=step.size, trains=own)
    yield from _hidden("mlp", wide, part.gated, own, step)


def _hidden(
    name: str, wide: int, gated: bool, own: tuple[Component, ...], step: TrainingStep, *, routed: bool = False
) -> Iterator[Saved]:
    count, size = 1 if not gated else 2 if step.kernels == "fused" else 3, step.size
    yield Saved(name=f"{name}: up and activation", elements=count * wide, bytes_each=size, routed=routed)
    yield Saved(name=f"{name}: input of down", elements=wide, bytes_each=size, trains=own, routed=routed)


def _experts(part: Moe, step: TrainingStep) -> Iterator[Saved]:
    """Router probabilities, indices, the gathered rows, the experts' inner rows and results; dropless."""
    tokens, size, k = step.work.tokens, step.size, part.num_experts_per_tok
    width, choices = part.expert_input_size or part.hidden_size, tokens * k
    rows = choices * part.num_experts // (part.num_experts + part.zero_experts)
    readers: tuple[Component, ...] = ("router", "shared_experts") if part.shared_intermediate_size else ("router",)
    yield Saved(name="experts: input", elements=tokens * part.hidden_size, bytes_each=size, trains=readers)
    routed_to = part.num_experts + part.zero_experts
    yield Saved(name="router probabilities", elements=tokens * routed_to, bytes_each=FP32)
    yield Saved(name="routing weights", elements=choices, bytes_each=size)
    places = 3 if step.kernels == "eager" else 4
    yield Saved(name="routing indices", elements=places * choices, bytes_each=INDEX)
    own: tuple[Component, ...] = ("routed_experts",)
    yield Saved(name="routed rows", elements=rows * width, bytes_each=size, trains=own, routed=True)
    yield from _hidden("experts", rows * part.moe_intermediate_size, part.gated, own, step, routed=True)
    results = 2 if step.kernels == "eager" else 1
    yield Saved(name="experts: results", elements=results * rows * width, bytes_each=size, routed=True)
    if part.shared_intermediate_size:
        shared = DenseMlp(
            component="shared_experts",
            hidden_size=part.hidden_size,
            intermediate_size=part.shared_intermediate_size,
            gated=part.gated,
        )
        yield from _dense(shared, step, 0)
    if part.shared_gate:
        yield Saved(name="shared expert: result", elements=tokens * part.hidden_size, bytes_each=size)


def _by_op(part: Part, step: TrainingStep) -> Iterator[Saved]:
    """Any other part, op by op: inputs of products (one input for those that read it first), states' in and out."""
    ops = list(part.ops(step.work))
    first = next((op.cols for op in ops if op.kind == "matmul" and op.used_params), 0)
    readers = [op for op in ops if op.kind == "matmul" and op.cols == first and op.used_params]
    if readers:
        trained = tuple(dict.fromkeys(op.component for op in readers))
        yield Saved(
            name=f"{readers[0].name}: input",
            elements=readers[0].tokens * first,
            bytes_each=step.size,
            trains=trained,
        )
    for before, op in zip([None, *ops], ops, strict=False):
        yield from _one_op(op, before, first, step)


def _one_op(op: Op, before: Op | None, first: int, step: TrainingStep) -> Iterator[Saved]:
    after_attention = before is not None and before.kind == "attention"
    own: tuple[Component, ...] = (op.component,)
    if op.kind in ("matmul", "experts") and op.used_params and op.cols != first and not after_attention:
        yield Saved(name=f"{op.name}: input", elements=op.tokens * op.cols, bytes_each=step.size, trains=own)
    elif op.kind == "attention":
        yield Saved(name=f"{op.name}: operands", elements=2 * op.activation_elements, bytes_each=step.size)
    elif op.kind == "scan":
        yield Saved(name=f"{op.name}: operands", elements=op.activation_elements, bytes_each=step.size)
    elif op.kind == "conv":
        yield Saved(name=f"{op.name}: input", elements=op.tokens * op.rows, bytes_each=step.size)
    elif op.kind == "vector" and op.component == "norm":
        yield from _norm(op.name, op.vectors, 1, False, step)


def kept(rows: Iterable[Saved], trained: frozenset[Component], *, scores: bool = True) -> int:
    """Bytes of the rows that are kept where the components in `trained` have weights that are trained."""
    return sum(
        row.nbytes
        for row in rows
        if (not row.trains or trained.intersection(row.trains)) and (scores or not row.scores)
    )
