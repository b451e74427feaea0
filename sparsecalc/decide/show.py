"""Show one model: everything that is said about it."""

from typing import TYPE_CHECKING

from sparsecalc.core.errors import InputError
from sparsecalc.core.notes import Note
from sparsecalc.core.ops import Ledger
from sparsecalc.core.text import printable
from sparsecalc.core.workload import Workload
from sparsecalc.decide.download import download
from sparsecalc.decide.model_name import Variant, split_name
from sparsecalc.decide.multi_token_prediction import variant_of
from sparsecalc.decide.question import Question, ask, routing_of
from sparsecalc.documents.show import Advice, GridPoint, ModelInfo, ModelReport, RunCommand, ShowReport, TestTime
from sparsecalc.estimate import costs
from sparsecalc.estimate.results import Prediction
from sparsecalc.library.models import LoadedModel

if TYPE_CHECKING:  # imported where llama.cpp holds the model
    from sparsecalc.estimate.llama_memory.figures import LlamaMemory


def show(name: str, question: Question | None = None, *, commands: bool = False) -> ShowReport:
    """Everything about one model; `commands`: and what to type so that engines serve it so."""
    asked = question or ask()
    asked, variant, shown, warnings = _first_possible(name, asked)
    advice: Advice | None = None
    if asked.hardware:
        from sparsecalc.decide.advice import advice_for

        advice = advice_for(variant, asked)
    typed: list[RunCommand] = []
    if commands:
        from sparsecalc.decide.commands import commands_for

        typed = commands_for(name, variant, asked, advice)
    inputs = asked.inputs([name])
    return ShowReport(command="show", inputs=inputs, warnings=warnings, **vars(shown), advice=advice, commands=typed)


def _file_buffers(variant: Variant, question: Question) -> "LlamaMemory | None":
    """llama.cpp's buffers of a GGUF file on a device that nobody named; None for other models."""
    stored = variant.model.spec.stored
    if not question.engine and not (stored and stored.scheme == "gguf"):
        return None
    from sparsecalc.decide.llama import buffers_of_files

    return buffers_of_files(variant.model, variant.precision, question)


def model_report(name: str, question: Question) -> tuple[ModelReport, list[Note]]:
    """One model's figures, and the warnings that belong to them."""
    _, _, shown, warnings = _first_possible(name, question)
    return shown, warnings


def _first_possible(name: str, question: Question) -> tuple[Question, Variant, ModelReport, list[Note]]:
    """The report in the first layout that is possible, with the grid points of the others.

    Layouts that cannot be are left out with a warning. Raises InputError where none can be.
    """
    if question.layouts and not question.hardware:
        text = f"{len(question.layouts)} layouts or formats are compared on an accelerator, and none is named"
        raise InputError(text, hint="Name one: --gpu h100-sxm, or sweep MODEL --vary dtype=bf16,fp8")
    refused: list[InputError] = []
    first: tuple[Question, Variant, ModelReport, list[Note]] | None = None
    for asked in question.in_each_layout():
        try:
            variant = variant_of(name, asked)
            if first is None:
                first = asked, variant, *_report(name, variant, asked)
                continue
            points, notes = _others(variant, asked)
        except InputError as error:
            refused.append(error)
            continue
        report, warnings = first[2], first[3]
        first = first[0], first[1], report.but(grid=[*report.grid, *points]), [*warnings, *notes]
    if first is None:
        raise refused[0]
    left_out = [Note(code="left-out", text=str(error), model=first[1].loaded.spec.id) for error in refused]
    return first[0], first[1], first[2], list(dict.fromkeys([*first[3], *left_out]))


def _others(variant: Variant, question: Question) -> tuple[list[GridPoint], list[Note]]:
    """The points of another layout."""
    from sparsecalc.decide.predict import grid_of

    requested = bool(variant.dtype or question.formats.dtype)
    return grid_of(variant.model, variant.precision, question, requested=requested)


def report_of(name: str, variant: Variant, question: Question) -> tuple[ModelReport, list[Note]]:
    """The same of a model that is loaded; of several layouts or formats it is loaded anew for each."""
    return model_report(name, question) if question.layouts else _report(name, variant, question)


def _report(name: str, variant: Variant, question: Question) -> tuple[ModelReport, list[Note]]:
    formats, load = question.formats, question.load
    loaded, model, precision = variant.loaded, variant.model, variant.precision
    warnings = [*loaded.warnings, *_context_warnings(loaded, question)]
    prediction: Prediction | None = None
    grid: list[GridPoint] = []
    tests: list[TestTime] = []
    reserved = 0
    if question.hardware:
        from sparsecalc.decide.predict import predict

        requested = bool(variant.dtype or formats.dtype)
        prediction, grid, more = predict(model, precision, question, requested=requested)
        warnings += more
        if question.tests:
            from sparsecalc.decide.bench_tests import test_times

            tests = test_times(model, precision, question)
        reserved = prediction.num_gpus * prediction.reserved_bytes_per_gpu
    llama = prediction.llama_memory if prediction else _file_buffers(variant, question)
    held = costs.memory(model, precision, load, reserved)
    shown = ModelReport(
        model=_info(loaded, name if split_name(name)[1] else loaded.spec.id, model.ops(Workload())),
        params=costs.params(model),
        layers=costs.layer_kinds(loaded.spec),
        experts=costs.experts(model, precision, load, routing_of(loaded.spec, question)),
        flops=costs.flops(model, load.context_len),
        memory=held.as_llama(llama) if llama else held,
        llama_memory=llama,
        prediction=prediction,
        grid=grid,
        tests=tests,
    )
    return shown, warnings


def _context_warnings(loaded: LoadedModel, question: Question) -> list[Note]:
    """A context that was asked for and is beyond the one that the model's config allows."""
    asked, longest = max(question.grid.context_lens), loaded.spec.max_position_embeddings
    if longest is None or asked <= longest or not question.context_is_asked:
        return []
    text = f"a context of {asked:,} is more than the {longest:,} of its config (max_position_embeddings)"
    return [Note(code="context-beyond-model", text=text, model=loaded.spec.id)]


def _info(loaded: LoadedModel, name: str, rows: Ledger) -> ModelInfo:
    spec, facts = loaded.spec, loaded.facts
    published = facts.get("published") or {}
    shipped = download(loaded, rows)
    return ModelInfo(
        id=printable(name, 1000),
        model_type=spec.model_type,
        kind=spec.kind,
        num_hidden_layers=spec.num_hidden_layers,
        hidden_size=spec.hidden_size,
        vocab_size=spec.vocab_size,
        tie_word_embeddings=spec.tie_word_embeddings,
        origin=loaded.origin,
        hub_id=facts.get("hub_id"),
        checked_by=spec.checked_by,
        published_total=published.get("total_text"),
        published_active=published.get("active_text"),
        sources=[str(source) for source in facts.get("sources") or []] or [loaded.origin],
        download_bytes=shipped.nbytes if shipped else None,
        download_dtype=shipped.dtype if shipped else None,
        download_is_whole=shipped.whole if shipped else None,
    )
