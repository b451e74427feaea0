"""Samples of a step of which some layers were run: the step, its parts, and what they say of the whole model."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sparsecalc.core.workload import Workload
from sparsecalc.measure.machine.samples import Samples
from sparsecalc.measure.timing.layer_kinds import REST, SampledKind, StepPart


@dataclass(frozen=True)
class DistinctExperts:
    """How many distinct experts of a layer a step reaches."""

    measured: float | None = None
    """Mean of the samples' draws; None where the draws are not known."""
    expected: float | None = None

    @property
    def reached(self) -> float:
        """Measured over expected; 1 where either is not known."""
        return self.measured / self.expected if self.measured and self.expected else 1.0


@dataclass
class StepSamples:
    """The samples of one step."""

    work: Workload
    kinds: Sequence[SampledKind]
    step: Samples | None = None
    """The whole step; on a CPU with its parts marked, which costs nothing there."""
    eager: Samples | None = None
    """On CUDA: launched kernel by kernel from Python."""
    parts: dict[StepPart, Samples] = field(default_factory=dict)
    """Seconds of all layers of the kind that were run."""
    around_layers: Samples | None = None
    """The step's own samples while its layers were marked."""
    experts: DistinctExperts = DistinctExperts()
    peak_memory_bytes: int | None = None

    def add(self, samples: Samples, marked: list[dict[StepPart, float]]) -> None:
        """Samples of the step, and what the marks showed in each of them."""
        self.step = self.step or samples
        for part in dict.fromkeys(part for one in marked for part in one):
            seconds = [one.get(part, 0.0) for one in marked]
            self.parts[part] = samples.with_seconds(seconds)
            if part.kind and part.component is None:
                self.around_layers = samples

    def rest(self) -> Samples:
        """What a step spends outside its layers, sample by sample: the step - all layers of all kinds."""
        assert self.around_layers is not None, "no layer was marked"
        inside = [self.parts[StepPart(kind)].seconds for kind in self.kinds]
        steps = self.around_layers.seconds
        seconds = [max(0.0, step - sum(layers)) for step, *layers in zip(steps, *inside, strict=True)]
        return self.around_layers.with_seconds(seconds)

    def of(self, part: StepPart) -> Samples:
        """Seconds of a part: of one layer of its kind, or of what stands outside the layers."""
        if part == REST:
            return self.rest()
        samples = self.parts[part]
        layers = len(part.kind.places) if part.kind else 1
        return samples.with_seconds([seconds / layers for seconds in samples.seconds])

    def model(self) -> Samples:
        """The whole model, sample by sample: rest + sum over kinds of count * one layer."""
        rest = self.rest()
        layers = [[kind.count * seconds for seconds in self.of(StepPart(kind)).seconds] for kind in self.kinds]
        return rest.with_seconds([sum(seconds) for seconds in zip(rest.seconds, *layers, strict=True)])

    def formula(self) -> str:
        """How the whole model was extrapolated, medians in ms; the total is the median of the sums of each sample."""
        parts = [f"{1e3 * self.rest().median:.3f} (rest)"]
        for kind in self.kinds:
            parts.append(f"{kind.count} x {1e3 * self.of(StepPart(kind)).median:.3f} ({kind.label})")
        point = f"{self.work.phase}, batch {self.work.batch_size}, context {self.work.context_len}"
        return f"{point}: {' + '.join(parts)} = {1e3 * self.model().median:.3f} ms"
