"""The precisions in which a model can be had for an engine, best first: published ones, or those that anybody makes."""

from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Workload
from sparsecalc.decide.fit_question import fit_table
from sparsecalc.decide.model_name import Variant, in_format, load_variant, split_name
from sparsecalc.decide.question import Question
from sparsecalc.decide.run_commands import LAUNCHERS
from sparsecalc.estimate.costs import params
from sparsecalc.library.formats import is_format
from sparsecalc.read.number_formats import is_number_format, number_format


class InPrecision:
    """A model in one precision, loaded when it is first needed."""

    def __init__(
        self,
        name: str,
        dtype: str | None,
        question: Question,
        loaded: Variant | None = None,
        of: Variant | None = None,
    ) -> None:
        self.name, self.dtype, self._question, self._variant, self._of = name, dtype, question, loaded, of
        self.is_own = loaded is not None
        """Whether it is the model as it was named."""
        self._matrix_bytes: float | None = None

    @property
    def variant(self) -> Variant:
        """The model."""
        if self._variant is None:
            asked = self._question
            if self._of and self.dtype:
                self._variant = in_format(self._of, self.dtype, asked.formats.kv_cache_dtype)
                return self._variant
            self._variant = load_variant(self.name, self.dtype, asked.formats.kv_cache_dtype, asked.parts_beside)
        return self._variant

    def bytes_at_least(self, params_beside_embedding: float) -> float:
        """Bytes of its weights on the devices, or fewer: a file type's are in its name's format or a wider one."""
        word = (self.dtype or "").removesuffix("_m").removesuffix("_moe")
        if self._variant is None and is_number_format(word):
            return params_beside_embedding * number_format(word).bits_per_weight / 8
        if self._matrix_bytes is None:
            variant = self.variant
            rows = variant.model.ops(Workload())
            self._matrix_bytes = float(
                rows.sum(lambda op: 0 if op.component == "embedding" else variant.precision.weight_bytes(op))
            )
        return self._matrix_bytes


class NamedModel:
    """A model as it was named, and the precisions that it can be had in."""

    def __init__(self, name: str, question: Question) -> None:
        self.name, self.question = name, question
        formats = question.formats
        self.own = load_variant(name, formats.dtype, formats.kv_cache_dtype, question.parts_beside)
        rows, counted = self.own.model.ops(Workload()), params(self.own.model)
        self.params, self.active = counted.total, counted.active
        self.params_beside_embedding = rows.sum(lambda op: 0 if op.component == "embedding" else op.params)
        self._found: dict[str, list[InPrecision]] = {}

    @property
    def id(self) -> str:
        """What it is called in the answer."""
        return self.name if split_name(self.name)[1] else self.own.loaded.spec.id

    @property
    def is_fixed(self) -> bool:
        """Whether its precision is asked for, by a dtype, in its name, or as a file."""
        spec = self.own.loaded.spec
        asked = self.question.formats.dtype or self.own.dtype or spec.techniques
        return bool(asked or (spec.stored and spec.stored.scheme == "gguf"))

    def candidates(self, engine: str) -> list[InPrecision]:
        """Best first: as it was named; for engines with files of their own, these; else each published precision."""
        if engine not in self._found:
            self._found[engine] = self._candidates(engine)
        return self._found[engine]

    def _candidates(self, engine: str) -> list[InPrecision]:
        own = InPrecision(self.name, self.question.formats.dtype, self.question, self.own)
        if self.is_fixed:
            return [own]
        made = fit_table()["formats"].get(engine)
        if made:
            native = self._native(engine)
            return [InPrecision(self.name, word, self.question, of=self.own) for word in ([native] if native else made)]
        return [own, *self._published()]

    def _native(self, engine: str) -> str | None:
        """The file type of weights that were trained in few bits; None: they were not."""
        stored = self.own.loaded.spec.stored
        formats = self.own.precision.formats(self.own.model.ops(Workload())) if stored else {}
        found = (word for name, word in fit_table()["native_formats"].items() if name in formats)
        return next(found, None) if engine in LAUNCHERS else None

    def _published(self) -> list[InPrecision]:
        """Checkpoints in other precisions, the widest first."""
        published = self.own.loaded.facts.get("checkpoints") or []
        seen, found = {each["formats"] for each in published[:1]}, []
        for each in published[1:]:
            if each["formats"] not in seen and "quantization_config" in each:
                seen.add(each["formats"])
                found.append(InPrecision(each["hub_id"], None, self.question))
        return sorted(found, key=lambda each: -each.bytes_at_least(self.params_beside_embedding))

    def smaller(self, engine: str) -> list[InPrecision]:
        """Formats that are smaller than all candidates, which somebody would have to make."""
        if self.is_fixed and (self.own.dtype or self.own.loaded.spec.techniques):
            return []
        table = fit_table()["smaller_formats"]
        words = table.get(engine, table[""])
        of = None if self.is_fixed else self.own
        return [InPrecision(self.name, word, self.question, of=of) for word in words if is_format(word)]


def models_of(names: list[str], question: Question) -> list[NamedModel]:
    """The models that are named. Raises InputError for none."""
    if not names:
        raise InputError("no model is named", hint="Name one, or ask for all on a device: fit --on rtx-4090")
    return [NamedModel(name, question) for name in names]
