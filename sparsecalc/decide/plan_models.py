"""The precisions that a plan tries: those that a model is published in, or the one that is asked for."""

from dataclasses import dataclass, field

from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Workload
from sparsecalc.decide.commands import first_format, served_name
from sparsecalc.decide.model_name import Variant, load_variant, split_name
from sparsecalc.decide.question import Question
from sparsecalc.estimate.engine_memory.memory import EngineDevice
from sparsecalc.estimate.placement import Placement


@dataclass(slots=True)
class PublishedModel:
    """A model in one precision."""

    model: str
    """As it was asked for, by its id."""
    name: str
    """What it is loaded by: the name that was typed, or the repository in another precision."""
    repository: str
    """What an engine is told to serve."""
    variant: Variant
    is_asked: bool = False
    """Whether the formats were asked for."""
    devices: dict[Placement, EngineDevice] = field(default_factory=dict)
    """Its memory by layout, on the first accelerator."""

    _read: dict[int, float] = field(default_factory=dict)

    def read_bytes(self, sequences: int) -> float:
        """Bytes of weights that a decode step of so many sequences reads, on all devices of a copy together."""
        if self.variant.loaded.spec.techniques:
            return 0.0  # their kernels may read less
        if sequences not in self._read:
            rows = self.variant.model.ops(Workload.decode(1, sequences))
            self._read[sequences] = rows.sum(self.variant.precision.read_weight_bytes)
        return self._read[sequences]

    @property
    def dtype(self) -> str:
        """Number format of the weights."""
        return self.variant.precision.name


def checkpoints(name: str, question: Question) -> list[PublishedModel]:
    """The model in its own precision, and in each other one that is published, as its spec's file lists them.

    Of several that differ in their scales alone (fp8, fp8-channel) the first stands for all.

    A name with formats or techniques of its own, or a dtype that is asked for, is one precision.
    """
    first = load_variant(name, question.formats.dtype, question.formats.kv_cache_dtype)
    facts, model = first.loaded.facts, name if split_name(name)[1] else first.loaded.spec.id
    is_asked = bool(first.dtype or question.formats.dtype)
    found = [PublishedModel(model, name, _repository(name, first, question), first, is_asked=is_asked)]
    if not split_name(name)[1]:  # of sparse weights the kernels' speed is the accelerator's own
        first.model.kept = {}
    if is_asked or split_name(name)[1]:
        return found
    published = facts.get("checkpoints") or []
    seen = {first_format(each["formats"])[1] for each in published[:1]}
    for each in published[1:]:
        kind = first_format(each["formats"])[1]
        if kind in seen or "quantization_config" not in each:
            continue
        seen.add(kind)
        variant = load_variant(each["hub_id"], None, question.formats.kv_cache_dtype)
        variant.model.kept = {}
        found.append(PublishedModel(model, each["hub_id"], each["hub_id"], variant))
    return found


def _repository(name: str, variant: Variant, question: Question) -> str:
    """What an engine is told to serve; the name as it was typed where no checkpoint is known."""
    try:
        return served_name(name, variant, variant.dtype or question.formats.dtype)[0]
    except InputError:
        return name
