"""A spec held against the architecture that transformers builds from the same config: parameters, FLOPs, caches."""

import platform
from collections.abc import Callable, Iterable

import torch
import transformers
from torch import nn

from sparsecalc.core.errors import InputError
from sparsecalc.core.notes import Note
from sparsecalc.core.workload import Workload
from sparsecalc.decide.checkpoint import fetch_checkpoint
from sparsecalc.documents.verify import Pair, Verdict, VerifyReport, VerifyResult
from sparsecalc.estimate.costs import params
from sparsecalc.library.models import LoadedModel, is_hub_id, load_model
from sparsecalc.measure.architecture.expert_choice import unselected
from sparsecalc.measure.architecture.meta_model import meta_model
from sparsecalc.measure.architecture.meta_pass import CountingError
from sparsecalc.measure.architecture.tensor_components import by_component
from sparsecalc.measure.counts.step_verdicts import PROMPTS, PassVerdicts, pass_verdicts
from sparsecalc.model.spec import ModelSpec

TOLERANCE = 1e-3
"""Largest relative error of FLOPs that still counts as exact."""


def verify(
    names: list[str],
    progress: Callable[[str], None] = lambda name: None,
    *,
    checkpoint: bool = False,
    load: Callable[[str], LoadedModel] = load_model,
) -> VerifyReport:
    """Build each model on the meta device and compare it with its ledger.

    A model of the Hub is also held against its checkpoint's headers; with `checkpoint`, every model is.
    """
    transformers.logging.set_verbosity_error()
    results: list[VerifyResult] = []
    warnings: list[Note] = []
    for name in names:
        progress(name)
        loaded = load(name)
        warnings += loaded.warnings
        result = verify_model(loaded)
        if checkpoint or is_hub_id(loaded.origin):
            result, doubts = _with_checkpoint(result, loaded, required=checkpoint)
            warnings += doubts
        results.append(result)
    return VerifyReport(
        command="verify",
        inputs={"models": names},
        warnings=warnings,
        results=results,
        summary=summary(results),
        prompt_lens=list(PROMPTS),
        flops_tolerance=TOLERANCE,
        environment={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    )


def _with_checkpoint(result: VerifyResult, loaded: LoadedModel, *, required: bool) -> tuple[VerifyResult, list[Note]]:
    """The result with its third witness; without it, where the Hub gives no headers and none were asked for."""
    try:
        checkpoint = fetch_checkpoint(loaded)
    except InputError as error:
        if required:
            raise
        return result, [Note(code="no-checkpoint", text=f"not held against a checkpoint: {error}", model=result.model)]
    if not checkpoint.unexplained:
        return result.but(checkpoint=checkpoint), []
    doubt = Note(code="unexplained", text=checkpoint.doubt, model=result.model)
    return result.but(checkpoint=checkpoint, status="differs"), [doubt]


def summary(results: Iterable[VerifyResult]) -> str:
    """`92 exact, 5 by formula only`: how many are exact, differ, or cannot be built."""
    results = list(results)
    states = [result.status for result in results]
    partly = sum(result.status == "exact" and result.flops is None for result in results)
    words = {"exact": "exact", "differs": "differ", "unsupported": "by formula only"}
    words["exact"] += f" ({partly} of them in parameters alone)" if partly else ""
    return ", ".join(f"{states.count(state)} {word}" for state, word in words.items() if state in states)


def verify_model(loaded: LoadedModel) -> VerifyResult:
    """One model: every component's parameters, every step's FLOPs, the cache of a real forward pass."""
    spec = loaded.spec
    try:
        model = meta_model(loaded.config)
    except InputError as error:
        return VerifyResult(model=spec.id, status="unsupported", reason=str(error))
    verdicts = _parameters(spec, model)
    total = Pair(
        predicted=sum(verdict.predicted for verdict in verdicts[:-1]),
        actual=sum(tensor.numel() for tensor in model.parameters()),
    )
    try:
        passes = pass_verdicts(spec, model)
    except CountingError as error:
        passes = PassVerdicts(left_out=[f"FLOPs and caches: {error}"])
    flops = passes.worst
    same = all(verdict.exact for verdict in [*verdicts, *passes.caches.values()])
    exact = same and (flops is None or abs(flops.relative_error) <= TOLERANCE) and total.predicted == total.actual
    return VerifyResult(
        model=spec.id,
        status="exact" if exact else "differs",
        params=total,
        active=_pair(verdicts[-1]),
        flops=flops,
        kv_cache=_pair(passes.caches.get("kv_cache")),
        state=_pair(passes.caches.get("state")),
        verdicts=[*verdicts, *(verdict for step in passes.steps for verdict in step), *passes.caches.values()],
        named=[*_named(model, spec), *passes.left_out],
    )


def _pair(verdict: Verdict | None) -> Pair | None:
    return Pair(predicted=verdict.predicted, actual=verdict.actual) if verdict else None


def _parameters(spec: ModelSpec, model: nn.Module) -> list[Verdict]:
    """Parameters by component; last, the active ones: total minus routed experts * (1 - k / E).

    Of n-gram tables only the rows that a token looks up are active; how many it does is the ledger's word.
    """
    ours, real = params(spec), by_component(model)
    verdicts = [
        Verdict(figure=f"parameters: {part}", predicted=ours.by_component[part], actual=real[part])
        for part in real
        if ours.by_component[part] or real[part]
    ]
    total, left_out = sum(real.values()), unselected(model)
    tables = (op for op in spec.ops(Workload()) if op.kind == "lookup")
    other_rows = sum((op.params - op.active_params) * op.layers for op in tables)
    actual = total - (left_out or 0) - other_rows
    active = Verdict(figure="parameters: active", predicted=ours.active, actual=actual)
    if left_out is None or spec.encoder_decoder:
        active = active.but(actual=ours.active)
    return [*verdicts, active]


def _named(model: nn.Module, spec: ModelSpec) -> list[str]:
    """What stands beside the distinct parameters: buffers and tied tables."""
    buffers = sum(buffer.numel() for name, buffer in model.named_buffers() if "inv_freq" not in name)
    told = [f"buffers, not counted: {buffers:,} elements"] if buffers else []
    if spec.tie_word_embeddings:
        told.append("the LM head is the input table again: counted once")
    return told
