"""Explain a figure: every term with the model's numbers in it, ending in the very figure that `show` prints."""

from collections.abc import Callable

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.ops import Ledger, Op
from sparsecalc.core.precision import Precision
from sparsecalc.core.storage import LAYOUTS, ScatteredStorage
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief, printable
from sparsecalc.core.workload import Workload
from sparsecalc.decide.model_name import Variant, load_variant
from sparsecalc.decide.question import Question, ask
from sparsecalc.documents.explain import ExplainLine, ExplainReport
from sparsecalc.documents.explain_step import StepReport
from sparsecalc.estimate.costs import params
from sparsecalc.library.models import LoadedModel

STEPS = ("decode", "prefill")


class Explained(Frozen):
    """A figure: its unit, what must be known of it, its terms and their sum."""

    unit: str
    text: list[str]
    lines: list[ExplainLine]
    result: int


def explain(name: str, topic: str = "active", question: Question | None = None) -> ExplainReport | StepReport:
    """How one figure of one model comes about. Raises InputError for an unknown topic."""
    asked = question or ask()
    if topic in STEPS:
        from sparsecalc.decide.explain_step import explain_step

        return explain_step(name, topic, asked)
    if topic not in TOPICS:
        known = (*TOPICS, *STEPS)
        hint = f"Known: {', '.join(known)}" + did_you_mean(topic, known)
        raise InputError(f"unknown topic {brief(topic)}", hint=hint)
    variant = load_variant(name, asked.formats.dtype, asked.formats.kv_cache_dtype)
    loaded, context = variant.loaded, asked.load.context_len
    explained = TOPICS[topic](variant, variant.model.ops(Workload.decode(context)), context)
    return ExplainReport(
        command="explain",
        inputs={
            "model": printable(name, 1000),
            "topic": topic,
            "context_len": context,
            "dtype": variant.precision.name,
        },
        warnings=loaded.warnings,
        model=loaded.spec.id,
        topic=topic,
        unit=explained.unit,
        text=[*explained.text, f"Sizes from: {_sizes_from(loaded)}."],
        lines=explained.lines,
        result=explained.result,
    )


def _total(variant: Variant, step: Ledger, context_len: int) -> Explained:
    text = ["Distinct stored elements: matrices x rows x columns + vectors; a tied table once."]
    lines = _terms(step, _params_formula, lambda op: op.params)
    return Explained(unit="parameters", text=text, lines=lines, result=params(variant.model).total)


def _active(variant: Variant, step: Ledger, context_len: int) -> Explained:
    if variant.loaded.spec.encoder_decoder:
        return _total(variant, step, context_len)
    text = ["Stored elements that one token uses: all of each matrix, but num_experts_per_tok of num_experts experts."]
    lines = _terms(step, _active_formula, lambda op: op.active_params)
    return Explained(unit="parameters", text=text, lines=lines, result=params(variant.model).active)


def _flops(variant: Variant, step: Ledger, context_len: int) -> Explained:
    text = [
        f"Decode of one token that sees {context_len:,} tokens, itself among them.",
        "2 per multiply-accumulate of matrix products, attention scores and values; elementwise work is not counted.",
    ]
    lines = _terms(step, _flops_formula, lambda op: op.flops)
    return Explained(unit="FLOPs", text=text, lines=lines, result=step.total("flops"))


def _kv_cache(variant: Variant, step: Ledger, context_len: int) -> Explained:
    precision = variant.precision
    text = ["Growth per token and sequence before any window fills, in every layer that owns a cache."]
    lines = _terms(step, lambda op: _kv_formula(op, precision), lambda op: _kv_bytes(op, precision))
    result = precision.kv_cache_bytes(step.total("kv_elements_per_token"))
    return Explained(unit="bytes per token", text=text, lines=lines, result=result)


def _weights(variant: Variant, step: Ledger, context_len: int) -> Explained:
    precision = variant.precision
    text = [f"Weights in {precision.name} ({precision.origin}); gains, biases and convolutions unquantized."]
    lines = _terms(step, lambda op: _weights_formula(op, precision), precision.weight_bytes)
    result = int(step.sum(precision.weight_bytes))
    return Explained(unit="bytes", text=[*text, *_break_even(step, precision)], lines=lines, result=result)


TOPICS: dict[str, Callable[[Variant, Ledger, int], Explained]] = {
    "total": _total,
    "active": _active,
    "flops": _flops,
    "kv_cache": _kv_cache,
    "weights": _weights,
}
"""Figures that can be explained."""


def _sizes_from(loaded: LoadedModel) -> str:
    sources = loaded.facts.get("sources") or [loaded.origin]
    return "; ".join(str(source) for source in sources)


def _terms(step: Ledger, formula: Callable[[Op], str], value: Callable[[Op], float]) -> list[ExplainLine]:
    return [
        ExplainLine(
            label=f"{op.group}: {op.name}" if op.group else op.name,
            formula=formula(op),
            value=value(op) * op.layers,
            source=op.source,
        )
        for op in step
        if value(op)
    ]


def _shape(op: Op) -> str:
    matrix = " x ".join(f"{side:,}" for side in (op.matrices, op.rows, op.cols) if side != 1) if op.matrices else ""
    return " + ".join(filter(None, (matrix, f"{op.vectors:,}" if op.vectors else "")))


def _layers(op: Op, inner: str) -> str:
    grouped = f"({inner})" if " + " in inner else inner
    return f"{op.layers} layers x {grouped}" if op.layers > 1 else inner


def _params_formula(op: Op) -> str:
    return _layers(op, _shape(op))


def _active_formula(op: Op) -> str:
    share = f" x {op.num_experts_per_tok}/{op.num_experts}" if op.num_experts > 1 else ""
    inner = _shape(op)
    return _layers(op, (f"({inner})" if share and " + " in inner else inner) + share)


def _flops_formula(op: Op) -> str:
    share = f" x {op.compute_share:.4g}" if op.compute_share != 1 else ""
    if op.kind in ("attention", "scan"):
        return _layers(op, f"2 x ({op.note}){share}")
    if op.kind == "experts":
        per_expert = op.matrices // op.num_experts
        sides = " x ".join(f"{side:,}" for side in (per_expert, op.rows, op.cols) if side != 1)
        return _layers(op, f"2 x {op.tokens} experts used x {sides}{share}")
    return _layers(op, f"2 x {op.tokens:,} tokens x {_shape(op).split(' + ')[0]}{share}" if op.matrices else "")


def _kv_bytes(op: Op, precision: Precision) -> int:
    return int(precision.kv_cache_bytes(op.kv_elements_per_token))


def _kv_formula(op: Op, precision: Precision) -> str:
    size = precision.kv_cache.bits_per_weight / 8
    inner = op.kv_note or f"{op.kv_elements_per_token:,} elements"
    return (f"{op.layers} layers x " if op.layers > 1 else "") + f"{inner} x {size:g} bytes ({precision.kv_cache.id})"


def _weights_formula(op: Op, precision: Precision) -> str:
    per_layer = precision.weight_bytes(op)
    bits = 8 * per_layer / op.params if op.params else 0
    inner, layout = _shape(op), precision.layout(op)
    stored = f" x {bits / 8:.6g} bytes" + (f" ({layout})" if layout else "")
    return _layers(op, (f"({inner})" if " + " in inner else inner) + stored)


def _break_even(step: Ledger, precision: Precision) -> list[str]:
    """At which density the layouts of scattered non-zeros are as large as dense ones, where the model has any."""
    if not any(isinstance(op.storage, ScatteredStorage) for op in step):
        return []
    fmt = precision.weights
    densities = ", ".join(f"{layout.id} {layout.break_even_density(fmt.bits):.3g}" for layout in LAYOUTS)
    return [f"In {fmt.id} a matrix takes as much as dense at a density of: {densities}."]
