"""Put several models side by side, with ratios to the first and a conclusion computed from the numbers."""

from math import exp

from sparsecalc.core.errors import InputError
from sparsecalc.decide.compare_conclusion import answer, conclusion, depends
from sparsecalc.decide.model_name import Variant
from sparsecalc.decide.multi_token_prediction import variant_of
from sparsecalc.decide.question import Question, ask
from sparsecalc.decide.show import report_of
from sparsecalc.documents.compare import RATIOS, Choice, CompareReport, Ratio
from sparsecalc.documents.show import ModelReport
from sparsecalc.estimate.engine_defaults import engine_default
from sparsecalc.estimate.results import Prediction


def compare(names: list[str], question: Question | None = None) -> CompareReport:
    """Several models side by side.

    Raises InputError for fewer than two names, or for any that cannot be read.
    """
    if len(names) < 2:
        raise InputError("a comparison needs at least two models", hint="Example: compare mixtral-8x7b llama-70b")
    asked = question or ask()
    variants = [variant_of(name, asked) for name in names]
    pairs = [report_of(name, variant, asked) for name, variant in zip(names, variants, strict=True)]
    models = [report for report, _ in pairs]
    found = _choices(models, variants, asked)
    return CompareReport(
        command="compare",
        inputs=asked.inputs(names),
        warnings=[note for _, notes in pairs for note in notes],
        models=models,
        ratios=[_ratio(model, models[0]) for model in models],
        answer=answer(models),
        choices=found,
        conclusion=[*conclusion(models), *depends(found, asked.requests)],
    )


def _choices(models: list[ModelReport], variants: list[Variant], asked: Question) -> list[Choice]:
    """Of the models that fit as asked."""
    fitting = [at for at, model in enumerate(models) if model.prediction and model.prediction.fits]
    if len({models[at].model.id for at in fitting}) < 2:
        return []
    from sparsecalc.decide.choice import choices

    return choices([models[at].model.id for at in fitting], [variants[at] for at in fitting], asked)


def _ratio(model: ModelReport, first: ModelReport) -> Ratio:
    ratios = {name: _over(figure(model), figure(first)) for name, figure in RATIOS.items()}
    return Ratio(model=model.model.id, to=first.model.id, **ratios, **_time_ratios(model.prediction, first.prediction))


def _over(value: float | None, base: float | None) -> float | None:
    return value / base if base and value is not None else None


def _time_ratios(mine: Prediction | None, first: Prediction | None) -> dict[str, float | None]:
    """Seconds and dollars over the first model's, and the 80 % band of the decode ratio.

    Errors that two models share on one device cancel: what is left is `ratio_spread` (data/engine_defaults.json).
    """
    if not (mine and first and mine.decode and first.decode and mine.prefill and first.prefill):
        return {}
    if not (mine.serving and first.serving):
        return {}
    from sparsecalc.estimate.step import BAND

    decode = mine.decode.seconds / first.decode.seconds
    band = exp(BAND * engine_default("ratio_spread")) if mine is not first else 1.0
    return {
        "prefill_seconds": mine.prefill.seconds / first.prefill.seconds,
        "decode_seconds": decode,
        "decode_seconds_low": decode / band,
        "decode_seconds_high": decode * band,
        "tpot_seconds": mine.serving.tpot_seconds / first.serving.tpot_seconds,
        "usd_per_million_output_tokens": _over(mine.usd_per_million_output_tokens, first.usd_per_million_output_tokens),
    }
