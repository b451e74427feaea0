"""What an engine holds beside its KV cache: weights as it lays them out, and the peak of its profile."""

from collections.abc import Iterator
from dataclasses import replace
from math import ceil

from sparsecalc.core.ops import Ledger, Op
from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.costs import activation_bytes
from sparsecalc.estimate.engine_memory.rules import EngineRules, fitted, table
from sparsecalc.estimate.offload import resident_share
from sparsecalc.estimate.placement import Placement
from sparsecalc.model.attention import Gqa
from sparsecalc.model.latent import Mla
from sparsecalc.model.ledgers import Ledgers
from sparsecalc.model.spec import ModelSpec

FUSED = ("q_proj", "k_proj", "v_proj")
"""Projections that engines keep as one matrix."""
ROPE_BYTES = 2
"""Tables of cosines and sines are kept in 16 bits."""


def weight_bytes(model: Ledgers, precision: Precision, plan: Placement, rules: EngineRules, extra: int = 0) -> int:
    """Bytes of weights on one device, as the engine's log prints them ("Model loading took").

        sum over tensors of allocated(bytes / devices that split them) * layers / pp
            + tables of rotary embeddings + `extra` bytes of parts that are not the decoder's

    Tensors are those that the engine makes: query, key and value fused, a mixture's experts stacked, the vocabulary
    padded to a multiple of 64, experts in MXFP4 to the kernel's tiles. A tensor takes what the allocator gives it.
    """
    whole = rules.rule == "static"
    held = sum(_allocated(size, whole) * count for size, count in _tensors(model.ops(Workload()), precision, plan))
    return ceil(held / plan.pp) + rotary_bytes(model.spec) + extra


def _tensors(rows: Ledger, precision: Precision, plan: Placement) -> Iterator[tuple[float, int]]:
    """Bytes on one device of each tensor, and how many of them there are."""
    fused: list[tuple[float, int]] = []
    for op in rows:
        share = resident_share(plan, op) / plan.ways(op)
        matrices = precision.weight_bytes(replace(op, vectors=0))
        yield (precision.weight_bytes(op) - matrices) * share, op.layers
        size = matrices * _padding(op, precision) * share
        if op.name not in FUSED:
            yield size, op.layers
        elif op.name == FUSED[0] or not fused:
            fused.append((size, op.layers))
        else:
            fused[-1] = fused[-1][0] + size, op.layers
    yield from fused


def _allocated(size: float, whole_segments: bool) -> float:
    """Bytes that PyTorch's allocator counts for a tensor, or those of its segments as the driver counts them.

    From 10 MiB on a tensor gets a segment of its own, rounded up to 2 MiB; a rest of at most 1 MiB stays with it.
    """
    rules = table()["allocator"]
    if size < rules["large_bytes"]:
        return size
    segment: float = ceil(size / rules["segment_bytes"]) * rules["segment_bytes"]
    return segment if whole_segments or segment - size <= rules["kept_bytes"] else size


def _padding(op: Op, precision: Precision) -> float:
    """How much larger the engine makes an op's matrices: rows of the vocabulary, tiles of experts' kernels."""
    if op.component in ("embedding", "lm_head") and op.rows:
        unit = table()["vocab_padding"]["value"]
        return float(ceil(op.rows / unit) * unit / op.rows)
    fmt = precision.format_of(op)
    tiles = table()["expert_padding"]["formats"].get(fmt.id if fmt else "")
    if op.kind != "experts" or not tiles:
        return 1.0
    up = not op.name.endswith("down_proj")
    names = ("moe_intermediate_size", "hidden_size") if up else ("hidden_size", "moe_intermediate_size")
    rows, cols = (ceil(size / tiles[name]) * tiles[name] for size, name in zip((op.rows, op.cols), names, strict=True))
    return float(rows * cols / (op.rows * op.cols))


def rotary_bytes(spec: ModelSpec) -> int:
    """Tables of cosines and sines: positions * head_dim * 2 bytes, one for each size of head."""
    sizes = {mixer.head_dim for mixer in spec.mixers if isinstance(mixer, Gqa)}
    sizes |= {mixer.qk_rope_head_dim for mixer in spec.mixers if isinstance(mixer, Mla)}
    return sum(sizes) * (spec.max_position_embeddings or 0) * ROPE_BYTES


def profile_bytes(spec: ModelSpec, precision: Precision, plan: Placement, rules: EngineRules) -> int:
    """Peak of the step that the engine runs to measure itself.

        max(forward pass of max_num_batched_tokens,
            its hidden states + max_num_seqs * vocab_size * sampler bytes)

    A sampler that sorts holds logits in 16 bits, in fp32, sorted with their places, and copies of both: some 38 bytes.
    A part that tensor parallelism splits holds its share; hidden states are whole on every device.
    """
    tokens = rules.max_num_batched_tokens
    # beside the parts: the residual, the layer's input, and the result of its last product
    hidden = int(precision.activations.bits // 8) * tokens * spec.hidden_size
    parts = activation_bytes(spec, precision, tokens) - 2 * hidden
    vocab = spec.head.out_features if spec.head else 0
    sampler = rules.profiled_seqs * vocab * rules.sampler_bytes_per_logit
    return ceil(max(3 * hidden + parts / plan.tp, hidden + sampler))


def graph_bytes(rules: EngineRules) -> int:
    """CUDA graphs: captured batch sizes * bytes of one."""
    return round(rules.graph_sizes * fitted().graph_bytes_per_size)


def other_bytes(plan: Placement, rules: EngineRules) -> int:
    """CUDA context and libraries; communication buffers for the other devices of a tensor-parallel group."""
    others = plan.tp * plan.dp - 1 if rules.fast_links else int(plan.num_gpus > 1)
    return round(fitted().other_bytes + fitted().parallel_bytes * max(others, int(plan.num_gpus > 1)))
