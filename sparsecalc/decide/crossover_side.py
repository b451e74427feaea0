"""One model along the axis of a crossover: what it costs at each point."""

from dataclasses import replace

from sparsecalc.core.errors import InputError
from sparsecalc.core.ops import Ledger
from sparsecalc.core.workload import Workload
from sparsecalc.decide.capacity import HeldMemory, prompt_chunks
from sparsecalc.decide.deploy import deploy
from sparsecalc.decide.model_name import Variant, load_variant, split_name
from sparsecalc.decide.question import Question
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.documents.crossover import Axis, Costs
from sparsecalc.estimate.deployment import Deployment
from sparsecalc.estimate.fit import DeviceMemory
from sparsecalc.estimate.prices import usd_per_hour, usd_per_million_tokens
from sparsecalc.estimate.serving import Copies, tpot_seconds
from sparsecalc.estimate.step import Step, step_time
from sparsecalc.model.spec import Layer, ModelSpec
from sparsecalc.techniques.parse import VARIED

FEED_FORWARD = ("dense_ffn", "routed_experts", "shared_experts", "router", "network")


class CrossoverSide:
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
        self.variant = load_variant(self.name, question.formats.dtype, question.formats.kv_cache_dtype)
        self.spec = self.variant.loaded.spec
        self.has_experts = any(op.kind == "experts" for op in self.variant.model.ops(Workload()))
        self.question = question if self.has_experts else question.for_dense()
        self.deployed = self._deploy(self.variant, self.question)

    @property
    def label(self) -> str:
        """As it is typed; a value that is varied is S."""
        name = VARIED.sub(r"\1S", self.name) if self.varied else self.name
        return name if split_name(name)[1] else self.spec.id

    def costs(self, at: float) -> Costs:
        """What the model costs at a point of the axis."""
        asked, deployed = self.question, self.deployed
        if self.over == "tokens":
            return _layer_costs(deployed, int(at))
        if self.over == "batch":
            asked = asked.at(batch_size=int(at))
        elif self.over == "context":
            asked = asked.at(context_len=int(at))
        elif self.over == "skew" and self.has_experts:
            asked = asked.but(routing=f"zipf:{at:.9g}")
            deployed = self._deploy(self.variant, asked)
        elif self.varied:
            name, formats = VARIED.sub(rf"\g<1>{at:.9g}", self.name), asked.formats
            deployed = self._deploy(load_variant(name, formats.dtype, formats.kv_cache_dtype), asked)
        return _costs(deployed, asked)

    def _deploy(self, variant: Variant, question: Question) -> Deployment:
        return deploy(variant.model, variant.precision, question, self.gpu)

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
    main = max(groups, key=lambda group: (bool(group.layer.mixtures), group.count))
    alone = main.but(layer=Layer(feed_forwards=main.layer.feed_forwards), positions=(0,))
    return spec.but(tables=(), layer_groups=(alone,), final=(), head=None)


def _layer_costs(deployed: Deployment, tokens: int) -> Costs:
    """One feed-forward layer on `tokens` tokens, with its all-reduce; the engine's own time is left out."""
    work = deployed.decode(1, tokens)
    layer, plan = feed_forward_layer(deployed.model.spec), deployed.placement.but(pp=1)
    step = step_time(layer, work, deployed.precision, deployed.device, plan)
    seconds = sum(value for name, value in step.by_component().items() if name in FEED_FORWARD)
    return Costs(seconds=seconds, bytes_read=_bytes_read(deployed, work, step))


def _costs(deployed: Deployment, question: Question) -> Costs:
    """A decode step at the batch and context; TPOT and dollars of the closed loop that is asked for."""
    load, requests, plan = question.load, question.requests, deployed.placement
    work = deployed.decode_of(load)
    step = deployed.step([work])
    prompt = prompt_chunks(deployed, question, requests.prompt_len)
    copies = Copies.of(plan, deployed.model.spec, deployed.device.engine.id)
    tpot = tpot_seconds(requests, prompt, deployed.step, deployed.decode, copies=copies).seconds
    held = DeviceMemory(deployed.model, deployed.precision, plan).at(load).total
    per_hour = usd_per_hour(deployed.gpu, plan.num_gpus)
    return Costs(
        seconds=step.seconds,
        bytes_read=_bytes_read(deployed, work, step),
        tpot_seconds=tpot,
        bytes_per_gpu=held,
        usd_per_million_output_tokens=usd_per_million_tokens(per_hour, tpot / requests.concurrency),
        fits=HeldMemory(deployed, question).fits(load),
    )


def _bytes_read(deployed: Deployment, work: Workload, step: Step) -> float:
    """Weights and caches by the step's kernels; those of sparse weights carry dense bytes and a speedup instead."""
    precision = deployed.precision
    pruned = Ledger(op for op in deployed.model.ops(work) if op.storage)
    dense = pruned.sum(lambda op: precision.read_weight_bytes(replace(op, storage=None)))
    kept = pruned.sum(precision.read_weight_bytes) / dense if dense else 1.0
    return float(
        sum(
            (kernel.weight_bytes * (kept if kernel.technique else 1.0) + kernel.cache_bytes) * kernel.layers
            for kernel in (time.kernel for time in step.times)
        )
    )
