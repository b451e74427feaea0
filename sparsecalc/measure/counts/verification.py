"""Hold a spec against the architecture that transformers builds from the same config: parameters, FLOPs, caches."""

import platform
from collections.abc import Callable, Iterable
from typing import Any

import torch
import transformers
from torch import nn

from sparsecalc.core.errors import InputError
from sparsecalc.core.notes import Note
from sparsecalc.core.ops import Ledger
from sparsecalc.core.workload import Workload
from sparsecalc.decide.checkpoint import fetch_checkpoint
from sparsecalc.documents.verify import FlopsPair, Pair, Verdict, VerifyReport, VerifyResult
from sparsecalc.estimate.costs import params
from sparsecalc.library.models import LoadedModel, is_hub_id, load_model
from sparsecalc.measure.architecture.meta_model import Rule, build, by_component, unselected
from sparsecalc.measure.architecture.meta_pass import Counted, CountingError, count
from sparsecalc.model.attention import Gqa
from sparsecalc.model.latent import CompressedAttention, Mla
from sparsecalc.model.spec import ModelSpec

TOLERANCE = 1e-3
"""Largest relative error of FLOPs that still counts as exact."""
PROMPTS = (8, 24)
"""Lengths of the prompts that are counted; the second is also the context of the decode step.

It is longer where a window, a chunk or a choice of tokens would not bound anything otherwise: see `_prompts`.
"""
PAST_LIMIT = 8
"""By how many tokens such a prompt passes the limit."""
LONGEST = 2**20
"""The largest such limit that is passed."""
_LIMITS = ("sliding_window", "attention_chunk_size", "index_topk")
_BOUNDED = (Gqa, Mla, CompressedAttention)
"""Mixers that run over a whole prompt at once, so that a prompt as long as their limits takes no time."""


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
        found = fetch_checkpoint(loaded)
    except InputError as error:
        if required:
            raise
        return result, [Note(code="no-checkpoint", text=f"not held against a checkpoint: {error}", model=result.model)]
    if not found.unexplained:
        return result.but(checkpoint=found), []
    doubt = Note(code="unexplained", text=found.doubt, model=result.model)
    return result.but(checkpoint=found, status="differs"), [doubt]


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
        model = build(loaded.config)
    except InputError as error:
        return VerifyResult(model=spec.id, status="unsupported", reason=str(error))
    verdicts = _parameters(spec, model)
    total = Pair(
        predicted=sum(v.predicted for v in verdicts[:-1]),
        actual=sum(tensor.numel() for tensor in model.parameters()),
    )
    named = _named(model, spec)
    try:
        steps, caches, left_out = _steps(spec, model)
    except CountingError as error:
        steps, caches, left_out = [], {}, [f"FLOPs and caches: {error}"]
    flops = _worst(steps)
    same = all(verdict.exact for verdict in [*verdicts, *caches.values()])
    exact = same and (flops is None or abs(flops.relative_error) <= TOLERANCE) and total.predicted == total.actual
    return VerifyResult(
        model=spec.id,
        status="exact" if exact else "differs",
        params=total,
        active=Pair(predicted=verdicts[-1].predicted, actual=verdicts[-1].actual),
        flops=flops,
        kv_cache=_pair(caches.get("kv_cache")),
        state=_pair(caches.get("state")),
        verdicts=[*verdicts, *(v for step in steps for v in step), *caches.values()],
        named=[*named, *left_out],
    )


def _pair(verdict: Verdict | None) -> Pair | None:
    return Pair(predicted=verdict.predicted, actual=verdict.actual) if verdict else None


def _parameters(spec: ModelSpec, model: nn.Module) -> list[Verdict]:
    """Parameters by component; last, the active ones: total minus routed experts * (1 - k / E)."""
    ours, real = params(spec), by_component(model)
    found = [
        Verdict(figure=f"parameters: {part}", predicted=ours.by_component[part], actual=real[part])
        for part in real
        if ours.by_component[part] or real[part]
    ]
    total, left_out = sum(real.values()), unselected(model)
    active = Verdict(figure="parameters: active", predicted=ours.active, actual=total - (left_out or 0))
    if left_out is None or spec.encoder_decoder:
        active = active.but(actual=ours.active)
    return [*found, active]


def _named(model: nn.Module, spec: ModelSpec) -> list[str]:
    """What stands beside the distinct parameters: buffers and tied tables."""
    buffers = sum(buffer.numel() for name, buffer in model.named_buffers() if "inv_freq" not in name)
    found = [f"buffers, not counted: {buffers:,} elements"] if buffers else []
    if spec.tie_word_embeddings:
        found.append("the LM head is the input table again: counted once")
    return found


def _steps(spec: ModelSpec, model: nn.Module) -> tuple[list[list[Verdict]], dict[str, Verdict], list[str]]:
    """FLOPs by component of two prompts and one decode step, and the cache after the longer prompt."""
    rule, steps, left_out = Rule(model), [], []
    cache: Any = None
    caches: dict[str, Verdict] = {}
    first, second = _prompts(spec)
    for new, past in ((first, 0), (second, 0), (1, second)):
        if past and (spec.encoder_decoder or cache is None):
            left_out.append("decode step: this architecture has no cache that can be built on meta")
            continue
        counted, after = count(model, rule, new, past, cache)
        work = Workload(
            phase="prefill" if new > 1 else "decode",
            new_tokens=new,
            context_len=new + past,
            latent_attention="expanded",
        )
        steps.append(_step(spec, work, counted))
        if new == second:
            cache = after
            caches = {} if cache is None else _caches(spec, model, cache, second)
        if counted.state_updates and "state updates" not in " ".join(left_out):
            left_out.append("state updates of recurrent mixers: counted by formula (no fast kernel on meta)")
    if any(isinstance(mixer, Mla) for group in spec.layer_groups for mixer in group.layer.mixers):
        left_out.append("latent attention is compared in its expanded form, which transformers runs; engines absorb it")
    return steps, caches, left_out


def _prompts(spec: ModelSpec) -> tuple[int, int]:
    """Lengths of the prompts: the second passes every limit that a layer sets to what a token sees.

    Recurrent layers run token by token, which would take minutes.
    """
    mixers = [mixer for group in spec.layer_groups for mixer in group.layer.mixers]
    if any(not isinstance(mixer, _BOUNDED) for mixer in mixers):
        return PROMPTS
    limits = [getattr(mixer, name, None) or 0 for mixer in mixers for name in _LIMITS]
    return PROMPTS[0], max(PROMPTS[1], *(limit + PAST_LIMIT for limit in limits if PROMPTS[1] <= limit <= LONGEST), 0)


def _step(spec: ModelSpec, work: Workload, counted: Counted) -> list[Verdict]:
    """Products with weights by component, and attention, as the ledger and the counter have them."""
    rows, square = spec.ops(work), spec.ops(work.but(causal=False))
    ours: dict[str, int] = {}
    for op in rows:
        if op.kind in ("matmul", "experts") and op.role != "state_update":
            ours[op.component] = ours.get(op.component, 0) + op.flops * op.layers
    real: dict[str, int] = {str(part): value for part, value in counted.weights.items()}
    if counted.attention or not counted.square:
        ours["scores and values"] = _attention(rows, indexer=False)
        ours["indexer's scores (full square)"] = _attention(square, indexer=True)
        real["indexer's scores (full square)"] = counted.square
        real["scores and values"] = counted.attention
    else:
        ours["scores and values (full square)"] = _attention(square, indexer=False)
        real["scores and values (full square)"] = counted.square
    step = f"{work.phase} of {work.new_tokens} after {work.past}"
    return [
        Verdict(figure=f"FLOPs, {step}: {part}", predicted=ours.get(part, 0), actual=real.get(part, 0))
        for part in {**ours, **real}
        if ours.get(part) or real.get(part)
    ]


def _attention(rows: Ledger, *, indexer: bool) -> int:
    return int(rows.sum("flops", lambda op: op.kind == "attention" and (op.role == "indexer") == indexer))


def _worst(steps: list[list[Verdict]]) -> FlopsPair | None:
    """The step with the largest error; components' errors must not cancel, so they are added up without sign."""
    worst: FlopsPair | None = None
    for step in steps:
        counted = sum(verdict.actual for verdict in step)
        predicted = sum(verdict.predicted for verdict in step)
        error = sum(abs(verdict.predicted - verdict.actual) for verdict in step) / max(1, counted)
        if worst is None or error > worst.relative_error:
            worst = FlopsPair(predicted=predicted, counted=counted, relative_error=error)
    return worst


def _caches(spec: ModelSpec, model: nn.Module, cache: Any, context: int) -> dict[str, Verdict]:
    """Elements of the real cache against the ledger's: keys and values, and recurrent state."""
    shared = any(isinstance(mixer, CompressedAttention) for group in spec.layer_groups for mixer in group.layer.mixers)
    kv, state = _cache_elements(cache, values_are_keys=shared)
    sliding = any(getattr(layer, "is_sliding", False) for layer in getattr(cache, "layers", []))
    ours = _kept_by_transformers(spec, context, sliding=sliding) * _repeated_heads(model)
    states = spec.ops(Workload.prefill(context)).total("state_elements")
    found = {}
    if kv or ours:
        found["kv_cache"] = Verdict(figure="KV cache, bytes in bf16", predicted=2 * ours, actual=2 * kv)
    if state or states:
        found["state"] = Verdict(figure="recurrent state, elements", predicted=states, actual=state)
    return found


def _repeated_heads(model: nn.Module) -> int:
    """How often transformers caches each key-value head: Falcon's new decoder repeats them for all query heads."""
    config: Any = model.config
    if getattr(config, "new_decoder_architecture", False):
        return int(config.num_attention_heads // config.num_kv_heads)
    return 1


def _kept_by_transformers(spec: ModelSpec, context: int, *, sliding: bool) -> int:
    """The ledger's cache elements in transformers' form, for one sequence of `context` tokens.

    A filled window of W tokens is kept as W - 1, to which the next token is added; a cache without windowed layers
    keeps every token. Engines, and the ledger, keep W.
    """
    lengths = (1, context - 1, context, context + 1)  # of the two last steps, one may add a compressed entry
    one, earlier, now, later = (spec.ops(Workload.prefill(length)) for length in lengths)
    kept = now.total("index_elements")
    for first, before, op, after in zip(one, earlier, now, later, strict=True):
        token = first.kv_elements
        filled = min(after.kv_elements - op.kv_elements, op.kv_elements - before.kv_elements) < token
        held = op.kv_elements - token if filled else op.kv_elements
        kept += op.layers * (held if sliding or not filled else context * token)
    return kept


def _cache_elements(cache: Any, *, values_are_keys: bool = False) -> tuple[int, int]:
    """Elements of keys and values, and of states, that a transformers cache holds."""
    kv = state = 0
    for layer in getattr(cache, "layers", []):
        for name, value in vars(layer).items():
            for tensor in _tensors(value):
                if values_are_keys and name == "values":
                    continue
                if name in ("keys", "values", "compressed_kv") or "index" in name:
                    kv += tensor.numel()
                elif "state" in name:
                    state += tensor.numel()
    state += sum(tensor.numel() for tensor in _tensors(getattr(cache, "linear_cache", None)))  # MiniMax's own
    if not getattr(cache, "layers", None):
        state = sum(tensor.numel() for value in vars(cache).values() for tensor in _tensors(value))
    return kv, state


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for part in parts for tensor in _tensors(part)]
