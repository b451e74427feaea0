"""What training a model takes: bytes per device by part, FLOPs of a step. Every figure a sum over the model's ops.

    states    = weights + gradients + optimizer states + master copy, of all parameters, used by a token or not
    ZeRO      1 divides optimizer states and master copy over the n devices, 2 gradients too, 3 weights too
    experts   with expert parallelism a device holds 1/ep of them, and ZeRO divides that over n/ep devices
    LoRA      adapters of r * (in + out) parameters per targeted matrix, E times for experts; all else is frozen

Sources: ZeRO, arXiv:1910.02054; LoRA, arXiv:2106.09685; QLoRA, arXiv:2305.14314; checkpointing, arXiv:2205.05198.
"""

from collections.abc import Iterable
from functools import cache
from math import ceil
from typing import Any, Literal

from sparsecalc.core.arrays import Number
from sparsecalc.core.components import Component
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.number_format import NumberFormat
from sparsecalc.core.ops import Ledger, Op
from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.data_files import read_data
from sparsecalc.estimate.training_activations import FP32, INDEX, Kernels, TrainingStep, kept, saved_by, saved_by_layer
from sparsecalc.model.spec import ModelSpec

Method = Literal["full", "lora", "qlora"]
Target = Literal["all", "attention", "ffn"]
Checkpointing = Literal["none", "selective", "full"]

TARGETS: dict[Target, frozenset[Component]] = {
    "all": frozenset(("attention", "dense_ffn", "routed_experts", "shared_experts", "state_space")),
    "attention": frozenset(("attention",)),
    "ffn": frozenset(("dense_ffn", "routed_experts", "shared_experts")),
}
"""Components whose matrices get adapters; router, embedding, LM head and projections outside the layers get none."""

EVERYTHING: frozenset[Component] = frozenset(
    ("embedding", "norm", "router", "lm_head", "other", *TARGETS["all"]),
)


@cache
def training_data() -> Any:
    """data/training.json: optimizers, formats and utilizations, with their sources."""
    return read_data("training.json")


class Optimizer(Frozen):
    """Bytes per trained parameter that an optimizer keeps."""

    id: str
    state_bytes_per_param: float
    master_copy: bool
    """Whether half-precision weights have a copy in fp32 beside them."""
    source: str


class Recipe(Frozen):
    """How a model is trained. `batch_size` counts the sequences of one device in one pass."""

    method: Method = "full"
    rank: int = 16
    target: Target = "all"
    batch_size: int = 1
    seq_len: int = 2048
    grad_accum: int = 1
    compute: NumberFormat
    """Format of activations, gradients and trained weights."""
    base: Precision
    """Formats of the model's own weights."""
    optimizer: Optimizer
    checkpointing: Checkpointing = "none"
    kernels: Kernels = "torch"
    fused_loss: bool = False
    num_gpus: int = 1
    zero: int = 0
    ep: int = 1

    @property
    def size(self) -> int:
        """Bytes per activation."""
        return int(self.compute.bits) // 8

    @property
    def trained(self) -> frozenset[Component]:
        """Components with weights that are trained."""
        return EVERYTHING if self.method == "full" else TARGETS[self.target]

    @property
    def work(self) -> Workload:
        """One pass of one device."""
        return Workload.prefill(self.seq_len, self.batch_size)


class TrainingMemory(Frozen):
    """Bytes on one device at the peak of a step; `total_bytes` is the sum of the other fields."""

    weights_bytes: int
    """Bytes of the model's own weights."""
    adapters_bytes: int
    """Bytes of LoRA's adapters."""
    gradients_bytes: int
    """Bytes of the gradients of all trained parameters."""
    optimizer_bytes: int
    """Bytes of the optimizer's states."""
    master_bytes: int
    """Bytes of the copy in fp32 of weights that are trained in half precision."""
    gathered_bytes: int
    """Bytes of one layer's whole weights and gradients under ZeRO, or of one matrix that is dequantized."""
    activations_bytes: int
    """Bytes kept from the forward pass to the backward pass."""
    logits_bytes: int
    """Bytes of the logits and their gradient."""
    recomputed_bytes: int
    """Bytes of one layer that checkpointing computes again, as far as they exceed the logits."""
    total_bytes: int = 0
    """Sum of the fields above."""


class TrainingFlops(Frozen):
    """FLOPs of one pass of one device, forward and backward."""

    forward: int
    """FLOPs of the forward pass."""
    backward: int
    """FLOPs of the backward pass."""
    attention: int
    """FLOPs of attention scores and values, contained in forward and backward."""
    adapters: int
    """FLOPs of adapters, contained in forward and backward."""
    recomputed: int
    """FLOPs that checkpointing computes again, beside forward and backward."""

    @property
    def model(self) -> int:
        """What MFU counts: forward and backward, nothing computed twice."""
        return self.forward + self.backward


def is_adapted(op: Op, recipe: Recipe) -> bool:
    """Whether the op's matrices get LoRA adapters: products with stored weights, inside layers, targeted."""
    product = op.kind in ("matmul", "experts") and op.matrices > 0 and not op.tied and op.group != ""
    return recipe.method != "full" and product and op.component in TARGETS[recipe.target]


def adapter_params(op: Op, rank: int) -> int:
    """matrices * r * (in + out) of one layer. Source: LoRA, arXiv:2106.09685, section 4."""
    return op.matrices * rank * (op.rows + op.cols)


def trained_params(rows: Ledger, recipe: Recipe) -> tuple[int, int]:
    """Trained parameters outside and inside routed experts: all of the model's, or the adapters."""

    def count(op: Op) -> int:
        if recipe.method == "full":
            return op.params
        return adapter_params(op, recipe.rank) if is_adapted(op, recipe) else 0

    return int(rows.sum(count, lambda op: not is_expert(op))), int(rows.sum(count, is_expert))


def is_expert(op: Op) -> bool:
    """Whether the op is of routed experts, which expert parallelism splits."""
    return op.kind == "experts" and op.component == "routed_experts"


def training_memory(spec: ModelSpec, recipe: Recipe) -> TrainingMemory:
    """Bytes per device by part.

        weights      base format, all experts            gradients   2 (fp32: 4) per trained parameter
        optimizer    8 (AdamW) per trained parameter     master      4 per trained parameter in half precision
        logits       t * V * (a + 4 + 4): logits, their log-softmax and its gradient; 0 with a fused loss

    Source of the states: ZeRO, arXiv:1910.02054, section 3.1; what other optimizers keep: data/training.json.
    """
    rows = spec.ops(recipe.work)
    dense, experts = trained_params(rows, recipe)
    formats = training_data()["training_formats"][recipe.compute.id]
    master = formats["master_bytes"] if recipe.optimizer.master_copy else 0

    def share(outside: float, inside: float, divided_from: int) -> int:
        """Bytes per device of what lies outside and inside routed experts."""
        if recipe.zero >= divided_from:
            return ceil((outside + inside) / recipe.num_gpus)
        return ceil(outside) + ceil(inside / recipe.ep)

    def per_param(nbytes: float, divided_from: int) -> int:
        return share(nbytes * dense, nbytes * experts, divided_from)

    base = [rows.sum(recipe.base.weight_bytes, where) for where in (lambda op: not is_expert(op), is_expert)]
    activations, layer, logits = activation_bytes(spec, recipe)
    parts = {
        "weights_bytes": share(base[0], base[1], 3),
        "adapters_bytes": 0 if recipe.method == "full" else per_param(recipe.size, 3),
        "gradients_bytes": per_param(formats["gradient_bytes"], 2),
        "optimizer_bytes": per_param(recipe.optimizer.state_bytes_per_param, 1),
        "master_bytes": per_param(master, 1),
        "gathered_bytes": _gathered_bytes(spec, rows, recipe),
        "activations_bytes": activations,
        "logits_bytes": logits,
        "recomputed_bytes": max(0, layer - logits),
    }
    return TrainingMemory(**parts, total_bytes=sum(parts.values()))


def _gathered_bytes(spec: ModelSpec, rows: Ledger, recipe: Recipe) -> int:
    """The largest layer that ZeRO holds whole for a moment, and the largest matrix that leaves its quantized form.

    ZeRO-2 and 3: its gradients before they are divided; ZeRO-3: its weights too. Nothing on a single device.
    """

    def whole(op: Op) -> float:
        nbytes = recipe.base.weight_bytes(op) if recipe.zero == 3 else 0
        nbytes += op.params * recipe.size if recipe.zero >= 2 and recipe.method == "full" else 0
        return nbytes / recipe.ep if is_expert(op) else nbytes

    units = [Ledger(group.layer.ops(recipe.work)) for group in spec.layer_groups]
    units += [Ledger([op]) for op in rows if not op.group]
    gathered = ceil(max(unit.sum(whole) for unit in units)) if recipe.num_gpus > 1 else 0
    quantized = [op.rows * op.cols for op in rows if _is_quantized(op, recipe)]
    return gathered + max(quantized, default=0) * recipe.size


def _is_quantized(op: Op, recipe: Recipe) -> bool:
    if not op.matrices or op.kind not in ("matmul", "experts"):
        return False
    return recipe.base.used_weight_bytes(op) < op.used_params * recipe.size


def activation_bytes(spec: ModelSpec, recipe: Recipe) -> tuple[int, int, int]:
    """Bytes of activations kept, of one layer that is computed again, and of the logits at their peak.

    none       every row of every layer (estimate/activations.py)
    selective  without score matrices: nothing to gain where attention is fused
    full       a * t * H per layer, its input; one layer is computed again at a time
    """
    step = TrainingStep(work=recipe.work, size=recipe.size, kernels=recipe.kernels)
    tokens, layer_input = step.work.tokens, step.work.tokens * spec.hidden_size * recipe.size
    layers = []
    for group in spec.layer_groups:
        rows = list(saved_by_layer(group.layer, step))
        adapters = _adapter_rows(group.layer.ops(step.work), group.layer.label, recipe)
        whole = kept(rows, recipe.trained) + adapters
        again = whole if recipe.checkpointing == "full" else 0
        if recipe.checkpointing == "selective":
            again = whole - adapters - kept(rows, recipe.trained, scores=False)
        layers.append((whole, again, group.count))
    tail = sum(kept(saved_by(part, step), recipe.trained) for part in spec.final) + tokens * INDEX
    if spec.head and recipe.method == "full":
        tail += tokens * spec.head.in_features * recipe.size
    logits = 0
    if spec.head and not recipe.fused_loss:
        logits = tokens * (spec.head.out_features * (recipe.size + 2 * FP32) + INDEX)
    computed_again = max(again for _, again, _ in layers)
    if recipe.checkpointing == "full":
        return tail + layer_input * spec.num_hidden_layers, computed_again, logits
    return tail + sum((whole - again) * count for whole, again, count in layers), computed_again, logits


def _adapter_rows(ops: Iterable[Op], group: str, recipe: Recipe) -> Number:
    """Bytes of the rank-wide rows between the two halves of each adapter of one layer: a * rows * r per matrix."""
    rows = Ledger(ops).in_group(group, 1)
    used = [op for op in rows if is_adapted(op, recipe)]
    return recipe.size * sum(op.layers * recipe.rank * op.flops // (2 * op.rows * op.cols) for op in used)


def training_flops(spec: ModelSpec, recipe: Recipe) -> TrainingFlops:
    """FLOPs of one pass, from the ledger.

        full   forward + 2 * forward                                    (6 N_active D and attention)
        LoRA   forward + forward, twice that for attention scores       (4 N_active D), and 6 N_adapters D
        + forward of the layers with full checkpointing, of the scores with selective

    An adapter's product costs r * (in + out) / (in * out) of its matrix'. Source: arXiv:2205.05198, appendix A.
    """
    rows = spec.ops(recipe.work)
    forward = rows.total("flops")
    adapters = int(rows.sum(lambda op: _adapter_flops(op, recipe)))
    scores = int(rows.sum("flops", lambda op: op.kind == "attention"))
    backward = 2 * forward
    if recipe.method != "full":
        frozen = int(rows.sum("flops", lambda op: op.used_params > 0))
        backward -= frozen
    again = 0
    if recipe.checkpointing == "full":
        again = int(rows.sum(lambda op: op.flops + _adapter_flops(op, recipe), lambda op: op.group != ""))
    elif recipe.checkpointing == "selective":
        again = scores
    return TrainingFlops(
        forward=forward + adapters,
        backward=backward + 2 * adapters,
        attention=3 * scores,
        adapters=3 * adapters,
        recomputed=again,
    )


def _adapter_flops(op: Op, recipe: Recipe) -> Number:
    if not is_adapted(op, recipe):
        return 0
    return op.flops * recipe.rank * (op.rows + op.cols) // (op.rows * op.cols)
