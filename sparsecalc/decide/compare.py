"""Show one model; put several side by side, with ratios to the first and a conclusion computed from the numbers."""

from math import exp

from sparsecalc.core import units
from sparsecalc.core.errors import InputError
from sparsecalc.core.notes import Note
from sparsecalc.core.text import printable
from sparsecalc.decide.model_name import load_variant, split_name
from sparsecalc.decide.question import Question, routing_of
from sparsecalc.documents.compare import CompareReport, Ratio
from sparsecalc.documents.show import GridPoint, ModelInfo, ModelReport, ShowReport
from sparsecalc.estimate import costs
from sparsecalc.estimate.bands import BAND
from sparsecalc.estimate.results import Prediction
from sparsecalc.library.models import LoadedModel


def report(name: str, question: Question) -> tuple[ModelReport, list[Note]]:
    """One model's figures, and the warnings that belong to them."""
    variant = load_variant(name, question.dtype, question.kv_cache_dtype)
    loaded, precision = variant.loaded, variant.precision
    spec, load = loaded.spec, question.load()
    prediction: Prediction | None = None
    grid: list[GridPoint] = []
    warnings = loaded.warnings
    if question.gpu:
        from sparsecalc.decide.predict import predict

        prediction, grid, more = predict(spec, precision, question, requested=bool(variant.dtype or question.dtype))
        warnings += more
    allowance = 0
    if prediction:
        whole = prediction.num_gpus * prediction.capacity_bytes
        allowance = whole - prediction.num_gpus * int(prediction.capacity_bytes * prediction.device_memory_share)
    found = ModelReport(
        model=_info(loaded, name if split_name(name)[1] else spec.id),
        params=costs.params(spec),
        layers=costs.layer_kinds(spec),
        experts=costs.experts(spec, precision, load, routing_of(spec, question)),
        flops=costs.flops(spec, load.context_len),
        memory=costs.memory(spec, precision, load, allowance),
        prediction=prediction,
        grid=grid,
    )
    return found, warnings


def _info(loaded: LoadedModel, name: str) -> ModelInfo:
    spec, facts = loaded.spec, loaded.facts
    published = facts.get("published") or {}
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
    )


def show(name: str, question: Question | None = None) -> ShowReport:
    """Everything about one model."""
    asked = question or Question()
    found, warnings = report(name, asked)
    return ShowReport(command="show", inputs=asked.inputs([name]), warnings=warnings, **vars(found))


def compare(names: list[str], question: Question | None = None) -> CompareReport:
    """Several models side by side.

    Raises InputError for fewer than two names, or for any that cannot be read.
    """
    if len(names) < 2:
        raise InputError("a comparison needs at least two models", hint="Example: compare mixtral-8x7b llama-70b")
    asked = question or Question()
    pairs = [report(name, asked) for name in names]
    models = [found for found, _ in pairs]
    return CompareReport(
        command="compare",
        inputs=asked.inputs(names),
        warnings=[warning for _, found in pairs for warning in found],
        models=models,
        ratios=[_ratio(model, models[0]) for model in models],
        conclusion=conclusion(models),
    )


def _ratio(model: ModelReport, first: ModelReport) -> Ratio:
    def over(value: float, base: float) -> float | None:
        return value / base if base else None

    return Ratio(
        model=model.model.id,
        to=first.model.id,
        total=over(model.params.total, first.params.total),
        active=over(model.params.active, first.params.active),
        prefill_flops_per_token=over(model.flops.prefill_per_token, first.flops.prefill_per_token),
        decode_flops_per_token=over(model.flops.decode_per_token, first.flops.decode_per_token),
        weights_bytes=over(model.memory.weights_bytes, first.memory.weights_bytes),
        kv_cache_bytes_per_token=over(model.memory.kv_cache_bytes_per_token, first.memory.kv_cache_bytes_per_token),
        total_bytes=over(model.memory.total_bytes, first.memory.total_bytes),
        **_time_ratios(model.prediction, first.prediction),
    )


def _time_ratios(mine: Prediction | None, first: Prediction | None) -> dict[str, float | None]:
    """Seconds and dollars over the first model's, and the 80 % band of the decode ratio.

    Errors that two models share on one device cancel: what is left is `ratio_spread` (data/engine_defaults.json).
    """
    if not (mine and first and mine.decode and first.decode and mine.prefill and first.prefill):
        return {}
    if not (mine.serving and first.serving):
        return {}
    decode = mine.decode.seconds / first.decode.seconds
    band = exp(BAND * costs.engine_default("ratio_spread")) if mine is not first else 1.0
    dollars = (mine.usd_per_million_output_tokens, first.usd_per_million_output_tokens)
    return {
        "prefill_seconds": mine.prefill.seconds / first.prefill.seconds,
        "decode_seconds": decode,
        "decode_seconds_low": decode / band,
        "decode_seconds_high": decode * band,
        "tpot_seconds": mine.serving.tpot_seconds / first.serving.tpot_seconds,
        "usd_per_million_output_tokens": dollars[0] / dollars[1] if dollars[0] and dollars[1] else None,
    }


def conclusion(models: list[ModelReport]) -> list[str]:
    """Two or three plain sentences, each computed from the figures above them."""
    holds = {}
    for model in models:
        total, active = model.params.total, model.params.active
        if model.experts and active < total:
            holds[total, active] = (
                f"{split_name(model.model.id)[0]} holds {total / active:.1f}x the parameters that it uses per token:"
                f" the memory of a {units.count(total)} model, the compute of a {units.count(active)} one."
            )
    costs_more = [_against(other, models[0]) for other in models[1:]]
    sentences = [*holds.values(), *costs_more, *_reach(models)]
    return (sentences[:3] if len(models) == 2 else sentences) + _faster(models) + _too_large(models)


def _against(other: ModelReport, first: ModelReport) -> str:
    """Compute and memory of one model in terms of the first; the framework's allowance is the device's, so left out."""
    flops = _times(other.flops.decode_per_token, first.flops.decode_per_token)
    held, base = (model.memory.total_bytes - model.memory.framework_bytes for model in (other, first))
    return (
        f"A decoded token of {other.model.id} costs {flops} the FLOPs of one of {first.model.id}, and it needs"
        f" {_times(held, base)} the memory ({units.nbytes(held)} against {units.nbytes(base)}"
        f" for {first.memory.batch_size} x {first.memory.context_len:,} tokens)."
    )


def _reach(models: list[ModelReport]) -> list[str]:
    """What a batch changes: the share of the experts that it reaches."""
    found = []
    for model in models:
        used = model.experts
        if used:
            found.append(
                f"At batch {used.batch_size} a step of {model.model.id} reads about {used.expected_distinct:.1f} of"
                f" {used.num_experts} experts per layer (uniform routing): {units.nbytes(used.weight_bytes_read)} of"
                f" {units.nbytes(model.memory.weights_bytes)} of weights."
            )
    return found


def _faster(models: list[ModelReport]) -> list[str]:
    """Which model's decode step is quicker on the hardware, and why each takes its time."""
    timed = [
        (model.model.id, model.prediction.decode) for model in models if model.prediction and model.prediction.decode
    ]
    if len(timed) < 2:
        return []
    (quick, best), (slow, worst) = (f(timed, key=lambda pair: pair[1].seconds) for f in (min, max))
    times = f"{worst.seconds / best.seconds:.2f}x" if best.seconds < worst.seconds else "as long as"
    return [
        f"A decode step of {slow} takes {times} that of {quick} ({units.duration(worst.seconds)}, bound by"
        f" {worst.bound}, against {units.duration(best.seconds)}, bound by {best.bound})."
    ]


def _too_large(models: list[ModelReport]) -> list[str]:
    """The verdict of the hardware, where it is no."""
    found = []
    for model in models:
        if model.prediction and not model.prediction.fits:
            needed = model.prediction.gpus_needed
            found.append(
                f"{model.model.id} does not fit on {model.prediction.num_gpus} {model.prediction.accelerator}"
                + (f": it needs {needed}." if needed else ".")
            )
    return found


def _times(value: float, base: float) -> str:
    return f"{value / base:.2f}x" if base else "an unbounded multiple of"
