"""Show one model: everything that is said about it."""

from sparsecalc.core.notes import Note
from sparsecalc.core.ops import Ledger
from sparsecalc.core.text import printable
from sparsecalc.core.workload import Workload
from sparsecalc.decide.advice import advice_for
from sparsecalc.decide.download import download
from sparsecalc.decide.llama import buffers_of_files
from sparsecalc.decide.model_name import Variant, split_name
from sparsecalc.decide.multi_token_prediction import variant_of
from sparsecalc.decide.question import Question, ask, routing_of
from sparsecalc.documents.show import GridPoint, ModelInfo, ModelReport, ShowReport, TestTime
from sparsecalc.estimate import costs
from sparsecalc.estimate.results import Prediction
from sparsecalc.library.models import LoadedModel


def show(name: str, question: Question | None = None) -> ShowReport:
    """Everything about one model."""
    asked = question or ask()
    variant = variant_of(name, asked)
    shown, warnings = report_of(name, variant, asked)
    inputs, advice = asked.inputs([name]), advice_for(variant, asked)
    return ShowReport(command="show", inputs=inputs, warnings=warnings, **vars(shown), advice=advice)


def model_report(name: str, question: Question) -> tuple[ModelReport, list[Note]]:
    """One model's figures, and the warnings that belong to them."""
    return report_of(name, variant_of(name, question), question)


def report_of(name: str, variant: Variant, question: Question) -> tuple[ModelReport, list[Note]]:
    """The same of a model that is loaded."""
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
    llama = prediction.llama_memory if prediction else buffers_of_files(model, precision, question)
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
