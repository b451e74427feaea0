"""The conclusion of `compare`: plain sentences, each computed from the figures above them."""

from sparsecalc.core import units
from sparsecalc.decide.model_name import split_name
from sparsecalc.documents.show import ModelReport


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
    """Compute and memory of one model in terms of the first, without the memory that each device reserves."""
    flops = _times(other.flops.decode_per_token, first.flops.decode_per_token)
    held, base = (model.memory.total_bytes - model.memory.framework_bytes for model in (other, first))
    return (
        f"A decoded token of {other.model.id} costs {flops} the FLOPs of one of {first.model.id}, and it needs"
        f" {_times(held, base)} the memory ({units.nbytes(held)} against {units.nbytes(base)}"
        f" for {first.memory.batch_size} x {first.memory.context_len:,} tokens)."
    )


def _reach(models: list[ModelReport]) -> list[str]:
    """What a batch changes: the share of the experts that it reaches."""
    sentences = []
    for model in models:
        used = model.experts
        if used:
            sentences.append(
                f"At batch {used.batch_size} a step of {model.model.id} reads about {used.expected_distinct:.1f} of"
                f" {used.num_experts} experts per layer ({used.routing} routing):"
                f" {units.nbytes(used.weight_bytes_read)} of {units.nbytes(model.memory.weights_bytes)} of weights."
            )
    return sentences


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
    sentences = []
    for model in models:
        if model.prediction and not model.prediction.fits:
            needed = model.prediction.gpus_needed
            sentences.append(
                f"{model.model.id} does not fit on {model.prediction.num_gpus} {model.prediction.accelerator}"
                + (f": it needs {needed}." if needed else ".")
            )
    return sentences


def _times(value: float, base: float) -> str:
    return f"{value / base:.2f}x" if base else "an unbounded multiple of"
