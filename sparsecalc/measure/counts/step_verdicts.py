"""FLOPs and caches of real forward passes on the meta device beside the ledger's."""

from dataclasses import dataclass, field

from torch import nn

from sparsecalc.core.ops import Ledger
from sparsecalc.core.workload import Phase, Workload
from sparsecalc.documents.verify import FlopsPair, Verdict
from sparsecalc.measure.architecture.tensor_components import TensorComponents
from sparsecalc.measure.counts.cache_verdicts import cache_verdicts
from sparsecalc.measure.counts.step_flops import StepFlops, count_step
from sparsecalc.model.attention import Gqa
from sparsecalc.model.block_sparse import BlockSparseAttention
from sparsecalc.model.latent import CompressedAttention, Mla
from sparsecalc.model.spec import ModelSpec

PROMPTS = (8, 24)
"""Lengths of the prompts that are counted; the second is also the context of the decode step.

It is longer where a window, a chunk or a choice of tokens would not bound anything otherwise: see `_prompts`.
"""
PAST_LIMIT = 8
"""By how many tokens such a prompt passes the limit."""
LONGEST = 2**20
"""The largest such limit that is passed."""
_LIMITS = ("sliding_window", "attention_chunk_size", "index_topk")
_BOUNDED = (Gqa, Mla, CompressedAttention, BlockSparseAttention)
"""Mixers that run over a whole prompt at once, so that a prompt as long as their limits takes no time."""


@dataclass
class PassVerdicts:
    """Verdicts of a prompt, a longer prompt and a decode step after it."""

    steps: list[list[Verdict]] = field(default_factory=list)
    """Of each step, FLOPs by component."""
    caches: dict[str, Verdict] = field(default_factory=dict)
    """`kv_cache` and `state` after the longer prompt, where the architecture has them."""
    left_out: list[str] = field(default_factory=list)
    """What was not compared, in words."""

    @property
    def worst(self) -> FlopsPair | None:
        """The step with the largest error; errors of components must not cancel, so they are added without sign."""
        pairs = [_flops_pair(step) for step in self.steps]
        return max(pairs, key=lambda pair: pair.relative_error, default=None)

    def miss(self, text: str) -> None:
        """Say once what was not compared."""
        if text not in self.left_out:
            self.left_out.append(text)


def _flops_pair(step: list[Verdict]) -> FlopsPair:
    counted = sum(verdict.actual for verdict in step)
    error = sum(abs(verdict.predicted - verdict.actual) for verdict in step) / max(1, counted)
    return FlopsPair(predicted=sum(verdict.predicted for verdict in step), counted=counted, relative_error=error)


def pass_verdicts(spec: ModelSpec, model: nn.Module) -> PassVerdicts:
    """Run the model on meta and hold its steps and caches against the ledger. Raises CountingError."""
    components, verdicts, cache = TensorComponents(model), PassVerdicts(), None
    first, second = _prompts(spec)
    for new, past in ((first, 0), (second, 0), (1, second)):
        if past and (spec.encoder_decoder or cache is None):
            verdicts.miss("decode step: this architecture has no cache that can be built on meta")
            continue
        counted, after = count_step(model, components, new, past, cache)
        phase: Phase = "prefill" if new > 1 else "decode"
        work = Workload(phase=phase, new_tokens=new, context_len=new + past, latent_attention="expanded")
        verdicts.steps.append(_step(spec, work, counted))
        if new == second:
            cache = after
            verdicts.caches = {} if cache is None else cache_verdicts(spec, model, cache, second)
        if counted.state_updates:
            verdicts.miss("state updates of recurrent mixers: counted by formula (no fast kernel on meta)")
    if any(isinstance(mixer, Mla) for group in spec.layer_groups for mixer in group.layer.mixers):
        verdicts.miss("latent attention is compared in its expanded form, which transformers runs; engines absorb it")
    return verdicts


def _prompts(spec: ModelSpec) -> tuple[int, int]:
    """Lengths of the prompts: the second passes every limit that a layer sets to what a token sees.

    Recurrent layers run token by token, which would take minutes.
    """
    mixers = [mixer for group in spec.layer_groups for mixer in group.layer.mixers]
    if any(not isinstance(mixer, _BOUNDED) for mixer in mixers):
        return PROMPTS
    limits = [getattr(mixer, name, None) or 0 for mixer in mixers for name in _LIMITS]
    return PROMPTS[0], max(PROMPTS[1], *(limit + PAST_LIMIT for limit in limits if PROMPTS[1] <= limit <= LONGEST), 0)


def _step(spec: ModelSpec, work: Workload, counted: StepFlops) -> list[Verdict]:
    """Products with weights by component, and attention, as the ledger and the counter have them."""
    rows, square = spec.ops(work), spec.ops(work.but(causal=False))
    ours: dict[str, int] = {}
    for op in rows:
        if op.kind in ("matmul", "experts") and op.role != "state_update":
            ours[op.component] = ours.get(op.component, 0) + op.flops * op.layers
    real: dict[str, int] = {str(part): value for part, value in counted.weights.items()}
    if counted.attention or not counted.square:
        ours["scores and values"] = _attention(rows, indexer=False)
        ours["indexer's scores (full square)"] = _attention(square, indexer=True)
        real["indexer's scores (full square)"] = counted.square
        real["scores and values"] = counted.attention
    else:
        ours["scores and values (full square)"] = _attention(square, indexer=False)
        real["scores and values (full square)"] = counted.square
    step = f"{work.phase} of {work.new_tokens} after {work.past}"
    return [
        Verdict(figure=f"FLOPs, {step}: {part}", predicted=ours.get(part, 0), actual=real.get(part, 0))
        for part in {**ours, **real}
        if ours.get(part) or real.get(part)
    ]


def _attention(rows: Ledger, *, indexer: bool) -> int:
    return int(rows.sum("flops", lambda op: op.kind == "attention" and (op.role == "indexer") == indexer))
