"""A model and a machine made ready to be measured: layers with storage, forced routing, conditions, predictions."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from sparsecalc.core.notes import Note
from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Phase, Workload
from sparsecalc.decide.measured_run import PHASES, MeasuredRun
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.library.formats import precision_for
from sparsecalc.library.models import LoadedModel
from sparsecalc.library.routing_files import load_routing
from sparsecalc.measure.architecture.meta_model import meta_model
from sparsecalc.measure.calibrate.eager_benchmarks import warm_up
from sparsecalc.measure.calibrate.local_device import local_device
from sparsecalc.measure.machine.conditions import doubts, machine_conditions, noise
from sparsecalc.measure.machine.device import find_device, last_level_cache_bytes, memory_bytes
from sparsecalc.measure.machine.peak_memory import PeakMemory
from sparsecalc.measure.machine.random_tensors import DTYPES
from sparsecalc.measure.machine.stopwatch import FLUSH_IN_CACHES
from sparsecalc.measure.timing.forced_routing import ForcedRouting
from sparsecalc.measure.timing.layer_slice import LayerSlice, build_slice
from sparsecalc.measure.timing.measurement_rows import MeasurementRows
from sparsecalc.measure.timing.step_samples import StepSamples
from sparsecalc.model.latent import Mla
from sparsecalc.model.recurrent import GatedDeltaNet, LightningAttention, Mamba, Mamba2, RgLru
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.number_formats import number_format

FREE_SHARE = 0.6
"""Share of the free memory that is used unless a limit is given."""
FUSED_ELSEWHERE = (Mamba, Mamba2, GatedDeltaNet, LightningAttention, RgLru)
"""Mixers whose state updates engines run as one kernel, and transformers operation by operation."""


@dataclass(frozen=True)
class Machine:
    """The device that is measured."""

    device: torch.device
    conditions: dict[str, Any]
    """As the report shows them, including those of this run."""
    memory: PeakMemory
    memory_limit_bytes: int
    time_model: DeviceModel
    """What predictions for it are made with."""


@dataclass(frozen=True)
class RunnableModel:
    """Layers of a model that can be run."""

    spec: ModelSpec
    slice: LayerSlice
    precision: Precision
    routing: ForcedRouting
    cold: bool
    """Whether caches must be emptied before a step, since they would hold these layers and not the whole model."""
    copies_head_input: bool
    """Whether the LM head is given a copy of its input instead of a view."""


@dataclass
class PreparedRun:
    """All that the steps of one run share."""

    machine: Machine
    model: RunnableModel
    warnings: list[Note] = field(default_factory=list)

    def warn(self, code: str, text: str) -> None:
        """Add a warning about this model, unless it is there already."""
        note = Note(code=code, text=text, model=self.model.spec.id)
        if note not in self.warnings:
            self.warnings.append(note)

    def workload(self, phase: Phase, batch_size: int, context_len: int) -> Workload:
        """The step as transformers runs it: logits of the last token, latents expanded."""
        return Workload(
            phase=phase,
            batch_size=batch_size,
            new_tokens=context_len if phase == "prefill" else 1,
            context_len=context_len,
            logits="last",
            latent_attention="expanded",
            routing=self.model.routing.wanted,
        )

    def rows(self, samples: StepSamples) -> MeasurementRows:
        """A maker of the rows of these samples."""
        model, machine = self.model, self.machine
        return MeasurementRows(samples, model.spec, model.precision, machine.time_model, machine.conditions)


def prepare(loaded: LoadedModel, run: MeasuredRun, phases: tuple[Phase, ...] = PHASES) -> PreparedRun:
    """Build the layers, force the routing, look at the machine. Raises InputError, MemoryNeededError."""
    device, routing = find_device(run.device), load_routing(run.routing)
    conditions = machine_conditions(device)
    spread = noise(device)
    time_model, warnings = local_device(conditions, run.calibration, run.dtype)
    meta_model(loaded.config)  # what is imported for it, and what libraries set up, is no part of the model's memory
    warm_up(device, DTYPES[run.dtype])
    memory = PeakMemory(device)
    limit = run.memory_limit_bytes or int(FREE_SHARE * memory_bytes(device)[0])
    layers = build_slice(
        loaded.config, loaded.spec, device, DTYPES[run.dtype], limit, run.layers, run.experts_implementation
    )
    model = _runnable(loaded.spec, layers, ForcedRouting(layers.model, routing, device), run.dtype, device)
    conditions |= {"noise": spread, "dtype": run.dtype, "memory_limit_bytes": limit, **_implementations(model)}
    prepared = PreparedRun(Machine(device, conditions, memory, limit, time_model), model)
    prepared.warnings += [*loaded.warnings, *doubts(conditions, spread), *warnings]
    for code, text in (*_differences(model, phases), *_missing_layers(layers, run.layers)):
        prepared.warn(code, text)
    return prepared


def _runnable(
    spec: ModelSpec, layers: LayerSlice, routing: ForcedRouting, dtype: str, device: torch.device
) -> RunnableModel:
    precision = precision_for(spec, dtype, dtype).but(activations=number_format(dtype))
    beyond_cache = FLUSH_IN_CACHES * last_level_cache_bytes(device)
    whole = spec.ops(Workload()).sum(precision.weight_bytes)
    cold = layers.weight_bytes < beyond_cache < whole
    return RunnableModel(spec, layers, precision, routing, cold, _copy_head_input(layers.model))


def _implementations(model: RunnableModel) -> dict[str, Any]:
    """What transformers runs, and its size."""
    config = getattr(model.slice.model, "config", None)
    experts = getattr(config, "_experts_implementation", None) if model.routing.experts else None
    return {
        "weight_bytes": model.slice.weight_bytes,
        "attention_implementation": getattr(config, "_attn_implementation", None),
        "experts_implementation": experts,
    }


def _copy_head_input(model: Any) -> bool:
    """Copy what the LM head is given, as engines do; False where there is no head.

    transformers hands it a view of each prompt's last row, for which torch leaves its fast product (batch, CPU).
    """
    head = model.get_output_embeddings() if hasattr(model, "get_output_embeddings") else None
    if head is None:
        return False
    head.register_forward_pre_hook(
        lambda module, given: (given[0].clone(memory_format=torch.contiguous_format), *given[1:])
    )
    return True


def _differences(model: RunnableModel, phases: tuple[Phase, ...]) -> Iterator[tuple[str, str]]:
    """Codes and texts where transformers runs something else than engines do."""
    if model.copies_head_input and "prefill" in phases:
        yield "contiguous-head", "the LM head gets a copy of the prompts' last rows: on the view, torch is much slower"
    mixers = [mixer for kind in model.slice.kinds for mixer in kind.layer.mixers]
    if any(isinstance(mixer, Mla) for mixer in mixers) and "decode" in phases:
        yield "expanded-latents", "transformers expands the cached latents of all tokens at every decode step"
    if any(isinstance(mixer, FUSED_ELSEWHERE) for mixer in mixers):
        text = "recurrent layers may run without their fused kernels: prompts are slower than in engines"
        yield "no-fused-scan", text
    if model.spec.model_type in ("llama4_text", "llama4"):
        yield "all-experts", "transformers computes all experts of Llama 4 for every token"


def _missing_layers(layers: LayerSlice, asked: int | None) -> Iterator[tuple[str, str]]:
    """Where memory allowed fewer layers of a kind than were asked for."""
    if asked and any(len(kind.places) < min(asked, kind.count) for kind in layers.kinds):
        fewest = min(len(kind.places) for kind in layers.kinds)
        yield "fewer-layers", f"{asked} layers of each kind do not fit: {fewest} were measured"
