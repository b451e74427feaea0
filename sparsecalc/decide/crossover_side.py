"""One model along the axis of a crossover: what it costs at each point."""

import re
from dataclasses import replace

from sparsecalc.core.errors import InputError
from sparsecalc.core.ops import Ledger
from sparsecalc.core.workload import Workload
from sparsecalc.decide.model_name import load_variant, split_name
from sparsecalc.decide.predict import Case, usd_per_million_tokens
from sparsecalc.decide.question import Question
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.documents.crossover import Axis, Costs
from sparsecalc.estimate.fit import budget_bytes, bytes_per_gpu
from sparsecalc.estimate.serving import tpot_seconds
from sparsecalc.estimate.step import Step, step_time
from sparsecalc.model.spec import Layer, LayerGroup, ModelSpec

VARIED = re.compile(r"(?<=\+)(unstructured=|neurons=|layers=|block=\d+x\d+@)[^+,]*", re.IGNORECASE)
"""Techniques whose value is a sparsity that may be any number."""
FEED_FORWARD = ("dense_ffn", "routed_experts", "shared_experts", "router", "network")


class Side:
    """A model, the axis that it is moved along, and the question that stays the same."""

    def __init__(
        self, name: str, over: Axis, question: Question, gpu: Accelerator, sparsity: float | None = None
    ) -> None:
        """`sparsity`: the model's technique is varied, and the model is described with this value of it."""
        self.over, self.gpu, self.varied = over, gpu, sparsity is not None
        self.name = name
        if sparsity is not None:
            with_technique = name if VARIED.search(name) else f"{name}+unstructured=0"
            self.name = VARIED.sub(rf"\g<1>{sparsity:.9g}", with_technique)
        self.variant = load_variant(self.name, question.dtype, question.kv_cache_dtype)
        self.spec = self.variant.loaded.spec
        self.has_experts = any(op.kind == "experts" for op in self.spec.ops(Workload()))
        self.question = question if self.has_experts else question.for_dense()
        self.case = Case(self.spec, self.variant.precision, self.question, gpu)

    @property
    def label(self) -> str:
        """As it is typed; a value that is varied is S."""
        name = VARIED.sub(r"\1S", self.name) if self.varied else self.name
        return name if split_name(name)[1] else self.spec.id

    def costs(self, at: float) -> Costs:
        """What the model costs at a point of the axis."""
        if self.over == "tokens":
            return _layer_costs(self.case, int(at))
        if self.over == "batch":
            return _costs(self.case, self.question.but(batch_size=int(at), concurrency=None))
        if self.over == "context":
            return _costs(self.case, self.question.but(context_len=int(at), prompt_len=None, output_len=None))
        if self.over == "skew" and self.has_experts:
            asked = self.question.but(routing=f"zipf:{at:.9g}")
            return _costs(Case(self.spec, self.variant.precision, asked, self.gpu), asked)
        if self.varied:
            return self._sparse_costs(at)
        return _costs(self.case, self.question)

    def _sparse_costs(self, at: float) -> Costs:
        name = VARIED.sub(rf"\g<1>{at:.9g}", self.name)
        found = load_variant(name, self.question.dtype, self.question.kv_cache_dtype)
        return _costs(Case(found.loaded.spec, found.precision, self.question, self.gpu), self.question)

    def ledger(self) -> Ledger:
        """A step of one token; over `tokens`, of the feed-forward layer alone."""
        spec = feed_forward_layer(self.spec) if self.over == "tokens" else self.spec
        return spec.ops(Workload.decode(1))


def feed_forward_layer(spec: ModelSpec) -> ModelSpec:
    """A model of one layer with nothing but a feed-forward: that of most layers, of those with experts if there are.

    Raises InputError where no layer has one.
    """
    groups = [group for group in spec.layer_groups if group.layer.feed_forwards]
    if not groups:
        raise InputError(f"{spec.id} has no feed-forward layers", hint="Take another axis: --over batch")
    main = max(
        groups, key=lambda group: (any(hasattr(p, "num_experts") for p in group.layer.feed_forwards), group.count)
    )
    alone = LayerGroup(layer=Layer(feed_forwards=main.layer.feed_forwards), positions=(0,))
    return spec.but(tables=(), layer_groups=(alone,), final=(), head=None)


def _layer_costs(case: Case, tokens: int) -> Costs:
    """One feed-forward layer on `tokens` tokens, with its all-reduce; the engine's own time is left out."""
    work = Workload.decode(1, tokens, routing=case.routing)
    step = step_time(feed_forward_layer(case.spec), work, case.precision, case.device, case.plan.but(pp=1))
    seconds = sum(value for name, value in step.by_component().items() if name in FEED_FORWARD)
    return Costs(seconds=seconds, bytes_read=_bytes_read(case, work, step))


def _costs(case: Case, question: Question) -> Costs:
    """A decode step at the batch and context; TPOT and dollars of the closed loop that is asked for."""
    load = question.load()
    work = case.plain(load)
    step = case.step([work])
    loop = case.loop(load, question)
    tpot = tpot_seconds(loop, case.step, case.decode).seconds
    held = bytes_per_gpu(case.spec, case.precision, load, case.plan).total
    price = case.gpu.usd_per_hour.value * case.plan.num_gpus if case.gpu.usd_per_hour else None
    return Costs(
        seconds=step.seconds,
        bytes_read=_bytes_read(case, work, step),
        tpot_seconds=tpot,
        bytes_per_gpu=held,
        usd_per_million_output_tokens=usd_per_million_tokens(price, tpot / loop.concurrency),
        fits=held <= budget_bytes(case.gpu, question.device_memory_share),
    )


def _bytes_read(case: Case, work: Workload, step: Step) -> float:
    """Weights and caches by the step's kernels; those of sparse weights carry dense bytes and a speedup instead."""
    precision = case.precision
    pruned = Ledger(op for op in case.spec.ops(work) if op.storage)
    dense = pruned.sum(lambda op: precision.read_weight_bytes(replace(op, storage=None)))
    kept = pruned.sum(precision.read_weight_bytes) / dense if dense else 1.0
    return float(
        sum(
            (kernel.weight_bytes * (kept if kernel.technique else 1.0) + kernel.cache_bytes) * kernel.layers
            for kernel in (time.kernel for time in step.times)
        )
    )
