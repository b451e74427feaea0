"""The dense model that a sparse one stands for: of its memory, of its compute, of its quality; and the nearest by name.

Memory and compute are exact. Quality is a band of published laws, never one number.
"""

from dataclasses import replace
from math import inf, log

from sparsecalc.core import units
from sparsecalc.core.errors import InputError
from sparsecalc.core.notes import Note
from sparsecalc.core.ops import Ledger, Op
from sparsecalc.core.precision import Precision
from sparsecalc.core.text import brief
from sparsecalc.core.workload import Workload
from sparsecalc.decide.model_name import load_variant, split_name
from sparsecalc.decide.question import Question, ask
from sparsecalc.decide.show import model_report
from sparsecalc.documents.dense_equivalent import EquivalenceReport, Law, Neighbour, Target
from sparsecalc.documents.show import ModelReport
from sparsecalc.estimate.costs import params
from sparsecalc.estimate.quality_laws import LAWS, Sparse, law_data
from sparsecalc.library.models import LoadedModel, load_model, model_ids

NEAREST = 2
"""Dense models that are named per target, beside the nearest small one."""


def dense_equivalent(
    name: str, question: Question | None = None, training_tokens: float | None = None
) -> EquivalenceReport:
    """The dense equivalents of `name`, and what the nearest built-in dense models cost under the same question.

    memory   total * bytes of the weights / bytes without sparsity     compute  sum of active * share computed
    quality  every law of data/equivalence_laws.json; the band is of those marked so that stay in active..total

    A dense model is its own equivalent: no law applies. Raises InputError for a model or options that cannot be.
    """
    asked = question or ask()
    if training_tokens is not None and not 1e6 <= training_tokens <= 1e18:
        raise InputError(f"--training-tokens is {brief(training_tokens)}", hint="It must be from 1e6 to 1e18: 15e12")
    variant = load_variant(name, asked.formats.dtype, asked.formats.kv_cache_dtype)
    _refuse_encoder_decoder(variant.loaded)
    loaded, rows = variant.loaded, variant.model.ops(Workload())
    own, warnings = model_report(name, asked)
    total, active = own.params.total, own.params.active
    sparse, tokens_source = None, ""
    if any(op.kind == "experts" for op in rows):
        tokens, tokens_source = _training_tokens(loaded.spec.id, training_tokens)
        sparse = _as_sparse(rows, loaded, total, active, tokens)
        warnings += _sparse_warnings(loaded, tokens_source)
    laws = [_law(key, sparse) for key in LAWS] if sparse else []
    low, middle, high = _quality_band(laws)
    sizes: dict[Target, float] = {
        "memory": _memory_params(rows, variant.precision, total),
        "compute": _compute_params(rows),
    }
    if middle:
        sizes["quality"] = middle
    report = EquivalenceReport(
        command="dense-equivalent",
        inputs=asked.inputs([name]) | {"training_tokens": training_tokens},
        warnings=warnings,
        model=own.model.id,
        total_params=total,
        active_params=active,
        memory_params=sizes["memory"],
        compute_params=sizes["compute"],
        training_tokens=sparse.training_tokens if sparse else None,
        training_tokens_source=tokens_source,
        laws=laws,
        quality_low=low,
        quality_middle=middle,
        quality_high=high,
        neighbours=[_costs(own, "itself", total), *_neighbours(loaded, sizes, asked)],
        text=[],
    )
    return report.but(text=_text(report))


def _refuse_encoder_decoder(loaded: LoadedModel) -> None:
    if loaded.spec.encoder_decoder:
        text = f"{loaded.spec.id} is an encoder-decoder: no token passes all of it, and the laws are of decoders"
        raise InputError(text, hint="Compare it by hand: sparsecalc show")


def _quality_band(laws: list[Law]) -> tuple[float | None, float | None, float | None]:
    """Lowest, middle and highest dense size that the laws of the band give; None without laws."""
    in_band = [law for law in laws if law.in_band]
    middle = next((law.params_low for law in laws if law.id == law_data()["middle"]), None)
    low = min((law.params_low for law in in_band), default=None)
    return low, middle, max((law.params_high for law in in_band), default=None)


def _training_tokens(model_id: str, given: float | None) -> tuple[float, str]:
    if given:
        return given, "as given"
    known = law_data()["training_tokens"]
    entry = known.get(model_id) or known["assumed"]
    return float(entry["value"]), str(entry["source"])


def _sparse_warnings(loaded: LoadedModel, tokens_source: str) -> list[Note]:
    notes = []
    if tokens_source == law_data()["training_tokens"]["assumed"]["source"]:
        value = units.count(law_data()["training_tokens"]["assumed"]["value"])
        text = f"training tokens are not known here: {value} assumed; --training-tokens says better"
        notes.append(Note(code="training-tokens-assumed", text=text, model=loaded.spec.id))
    if any(note.code == "technique" for note in loaded.notes):
        text = "the laws are of models trained as they are; what a technique costs in quality they do not know"
        notes.append(Note(code="quality-of-technique", text=text, model=loaded.spec.id))
    return notes


def _as_sparse(rows: Ledger, loaded: LoadedModel, total: int, active: int, tokens: float) -> Sparse:
    """What the laws look at, from the kind of layer that holds most experts.

    Shared experts are counted by their parameters; granularity takes the width of a gated expert of that size.
    """

    def elements(op: Op) -> int:
        return op.matrices * op.rows * op.cols

    groups = {op.group for op in rows if op.kind == "experts"}
    inside = {name: [op for op in rows if op.group == name] for name in sorted(groups)}
    main = max(inside.values(), key=lambda ops: sum(elements(op) * op.layers for op in ops if op.kind == "experts"))
    routed = [op for op in main if op.kind == "experts"]
    per_expert = sum(map(elements, routed)) / routed[0].num_experts
    shared = sum(elements(op) for op in main if op.component == "shared_experts") / per_expert
    hidden = loaded.spec.hidden_size
    return Sparse(
        total_params=total,
        active_params=active,
        num_experts=routed[0].num_experts + shared,
        num_experts_per_tok=routed[0].num_experts_per_tok + shared,
        granularity=2 * hidden / (per_expert / (3 * hidden)),
        training_tokens=tokens,
        embedding_params=sum(op.params * op.layers for op in rows if op.component in ("embedding", "lm_head")),
    )


def _law(key: str, model: Sparse) -> Law:
    known = law_data()["laws"][key]
    low, high = LAWS[key](model)
    outside = [
        f"{name.replace('_', ' ')} {_figure(getattr(model, name))} (fitted {_figure(least)} to {_figure(most)})"
        for name, (least, most) in known["ranges"].items()
        if not least <= getattr(model, name) <= most
    ]
    plausible = model.active_params <= low and high <= model.total_params
    if not plausible:
        outside.append("not between active and total parameters")
    return Law(
        id=key,
        name=known["name"],
        formula=known["formula"],
        source=known["source"],
        note=known["note"],
        params_low=low,
        params_high=high,
        in_band=known["in_band"] and plausible,
        outside=outside,
    )


def _figure(value: float) -> str:
    return f"{value:.3g}" if value < 1e3 or value > 1e18 else units.count(value)


def _memory_params(rows: Ledger, precision: Precision, total: int) -> float:
    stored = rows.sum(precision.weight_bytes)
    dense = rows.sum(lambda op: precision.weight_bytes(replace(op, storage=None) if op.storage else op))
    return total * stored / dense if dense else 0.0


def _compute_params(rows: Ledger) -> float:
    return rows.sum(lambda op: op.active_params * op.compute_share)


def _neighbours(loaded: LoadedModel, sizes: dict[Target, float], question: Question) -> list[Neighbour]:
    """The nearest dense models of each size by |log ratio|, and the nearest small one; each costed once per size."""
    limit = law_data()["small_model_params"]["value"]
    dense = {
        name: total
        for name, found in ((name, load_model(name)) for name in model_ids())
        if found.spec.kind == "dense" and not found.spec.encoder_decoder and found.spec.id != loaded.spec.id
        for total in (params(found.spec).total,)
    }
    asked = question.for_dense()
    reports: dict[str, ModelReport] = {}
    rows = []
    for target, size in sizes.items():
        ranked = sorted(dense, key=lambda name: abs(log(dense[name] / size)) if size else inf)
        small = [name for name in ranked if dense[name] < limit]
        for name in dict.fromkeys([*ranked[:NEAREST], *small[:1]]):
            if name not in reports:
                reports[name] = model_report(name, asked)[0]
            rows.append(_costs(reports[name], target, size))
    return rows


def _costs(report: ModelReport, target: Target, size: float) -> Neighbour:
    seen = report.prediction
    total = report.params.total
    return Neighbour(
        target=target,
        target_params=size,
        model=report.model.id,
        total_params=total,
        size_ratio=total / size if size else inf,
        small=total < law_data()["small_model_params"]["value"],
        weights_bytes=report.memory.weights_bytes,
        decode_flops_per_token=report.flops.decode_per_token,
        fits=seen.fits if seen else None,
        gpus_needed=seen.gpus_needed if seen else None,
        prefill_seconds=seen.prefill.seconds if seen and seen.prefill else None,
        decode_seconds=seen.decode.seconds if seen and seen.decode else None,
        tpot_seconds=seen.serving.tpot_seconds if seen and seen.serving else None,
        usd_per_million_output_tokens=seen.usd_per_million_output_tokens if seen else None,
    )


def _text(report: EquivalenceReport) -> list[str]:
    """The conclusion, computed from the figures."""
    name = split_name(report.model)[0]
    sizes = f"the memory of a {units.count(report.memory_params)} dense model, the compute of a"
    lines = [f"{report.model} takes {sizes} {units.count(report.compute_params)} one."]
    if not report.laws:
        alone = (
            "It is dense: its dense equivalent is itself."
            if report.model == name
            else (f"No law that is built in says what its sparsity costs in quality: at best it equals {name}.")
        )
        return [*lines, alone]
    held = [law for law in report.laws if law.in_band]
    if not held or report.quality_low is None or report.quality_high is None:
        return [*lines, "No published law gives a size between its active and its total parameters."]
    least, most = min(held, key=lambda law: law.params_low), max(held, key=lambda law: law.params_high)
    beyond = sum(bool(law.outside) for law in held)
    lines.append(
        f"In quality, published laws place it between a dense {units.count(report.quality_low)} ({least.name}) and"
        f" {units.count(report.quality_high)} ({most.name}): they disagree by a factor of"
        f" {report.quality_high / report.quality_low:.1f}, and {beyond} of these {len(held)} were fitted"
        " to other sizes."
    )
    near = next((row for row in report.neighbours if row.target == "quality"), None)
    if near:
        lines.append(
            f"The built-in dense model nearest the {law_data()['laws'][law_data()['middle']]['name']},"
            f" {units.count(near.target_params)}, is {near.model} at {near.size_ratio:.2f}x that size. Models are named"
            " by size alone; their data and age change quality as much."
        )
    return lines
