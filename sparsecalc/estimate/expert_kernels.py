"""The fused layer of experts: its kernel on one rank, and which rank is the busiest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sparsecalc.core.arrays import Number, most
from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.kernel import ACTIVATION_BYTES, Kernel, Setting
from sparsecalc.estimate.placement import Placement


@dataclass(frozen=True, slots=True)
class ExpertsLoad:
    """What a step leaves to one rank's layer of experts."""

    tokens: Number
    """Of the whole step: they choose the tile."""
    own_tokens: Number
    """Tokens whose weighted sums the rank keeps."""
    held_pairs: Number
    """Token-expert pairs whose intermediate results it keeps."""
    pairs: Number
    """Token-expert pairs that it computes."""
    distinct: Number
    """Experts whose weights it reads."""


def fused_experts(
    ops: list[Op], read_share: Number, works: Sequence[Workload], whole: Sequence[Workload], setting: Setting
) -> Iterator[Kernel]:
    """The fused layer of experts of the busiest rank: of the tokens of all copies of the attention (`whole`).

    Fused kernels keep the intermediate results of all T * k pairs whole on every rank, but where pairs are dispatched
    to their rank (data-parallel attention).
    """
    first, plan = ops[0], setting.placement
    if not first.num_experts_per_tok:
        return
    own, tokens = (sum(work.tokens for work in each) for each in (works, whole))
    all_pairs = first.tokens * tokens / most(own, 1)
    pairs, distinct = _busiest_rank(first, all_pairs, read_share, whole, plan)
    held = pairs if plan.dp > 1 and plan.ep > 1 else all_pairs
    yield experts_kernel(ops, ExpertsLoad(tokens, own, held, pairs, distinct), setting)


def experts_kernel(ops: Sequence[Op], load: ExpertsLoad, setting: Setting) -> Kernel:
    """A fused layer of experts on one rank: sort, up, activation, down, weighted sum.

    flops = 2 * elements per expert * (pairs + distinct * tile / 2)     half a tile of rows is wasted per expert, unless
                                                                        the device has no matrix units
    bytes = distinct * bytes per expert + inputs and outputs of the rank's pairs
    elementwise: the intermediate results of the pairs that it keeps, and a row of each token
    """
    first, split = ops[0], setting.placement.moe_tp
    elements = sum(op.matrices * op.rows * op.cols for op in ops) / first.num_experts / split
    stored = sum(setting.dense_weight_bytes(op) for op in ops) / first.num_experts / split
    inner_in = sum(op.cols / split for op in ops[1:])
    per_pair_out = sum(op.rows * (op.matrices // op.num_experts) / split for op in ops[:-1]) + ops[-1].rows
    form, dtype = setting.form(first)
    return Kernel(
        name="experts",
        component=first.component,
        family="experts",
        form=form,
        dtype=dtype,
        stored=setting.stored(first),
        group=first.group,
        layers=first.layers,
        flops=2 * elements * load.pairs,
        padding_flops=elements * load.distinct * tile_rows(load.tokens),
        weight_bytes=load.distinct * stored,
        distinct=load.distinct,
        extent=load.pairs / most(load.distinct, 1e-9),
        activation_bytes=ACTIVATION_BYTES * load.pairs * (first.cols + inner_in + per_pair_out),
        vector_bytes=ACTIVATION_BYTES * (load.held_pairs * (per_pair_out + inner_in) + load.own_tokens * first.cols),
        speedup=setting.speedup(first),
        technique=first.technique,
        scope="experts",
    )


def _busiest_rank(
    op: Op, all_pairs: Number, read_share: Number, whole: Sequence[Workload], plan: Placement
) -> tuple[Number, Number]:
    """Token-expert pairs and distinct experts of the busiest rank of expert parallelism."""
    if plan.ep == 1:
        return all_pairs, op.num_experts * read_share
    tokens, sequences = (
        sum(counts) for counts in zip(*((work.tokens, work.batch_size) for work in whole), strict=True)
    )
    load = whole[0].routing.busiest_rank(
        op.num_experts,
        op.expected_experts_per_tok,
        tokens,
        plan.ep,
        replicas=plan.eplb_replicas or 0,
        balanced=plan.eplb_replicas is not None,
        sequences=sequences,
    )
    return load.pairs * all_pairs / (tokens * op.expected_experts_per_tok), load.distinct


def tile_rows(tokens: Number) -> Number:
    """Rows of a tile that fused experts' kernels choose for so many tokens. Source: vLLM, fused_moe default config."""
    return 16 + 16 * (tokens > 32) + 32 * (tokens > 96) + 64 * (tokens > 512)
