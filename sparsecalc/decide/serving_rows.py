"""Measured loads of a server beside what is predicted of them: names resolved, gaps filled, the unusable left out."""

from functools import cache
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.text import brief
from sparsecalc.decide.anchored import params_of
from sparsecalc.decide.counted import counted
from sparsecalc.decide.deploy import deploy
from sparsecalc.decide.engine_words import kv_cache_format
from sparsecalc.decide.model_name import Variant, load_variant
from sparsecalc.decide.predict import predict
from sparsecalc.decide.question import Question, ask
from sparsecalc.device.anchor import StackLoad
from sparsecalc.device.engines import engine_profile
from sparsecalc.device.find import load_accelerator
from sparsecalc.estimate.deployment import Deployment
from sparsecalc.estimate.results import ServingPrediction
from sparsecalc.library.serving_files.read import LeftOut
from sparsecalc.library.serving_files.rows import ServingRow

NEEDED = ("model", "gpu", "concurrency", "prompt_len", "output_len")
ENGINES = {"vllm bench serve": "vllm", "TensorRT-LLM": "trtllm"}
"""Engines that a tool's own server is, where its file names none."""
GENERIC = "generic"


class Stack(Frozen):
    """What an anchor is of: a device, an engine, a format of the weights."""

    accelerator: str
    engine: str
    dtype: str

    @property
    def name(self) -> str:
        """`h200-sxm, vllm, fp8`."""
        return f"{self.accelerator}, {self.engine}, {self.dtype}"


class Measured(Frozen):
    """A row, and what is predicted of it without an anchor."""

    row: ServingRow
    stack: Stack
    model: str
    params: int
    kind: str
    """Of the model: dense, moe..."""
    load: StackLoad
    placement: str
    measured_seconds: float
    """TPOT; of a forward pass alone with the engine's own seconds, as they are predicted, on top."""
    predicted_seconds: float
    question: Question
    variant: Variant

    def again(self, anchor: dict[str, Any]) -> ServingPrediction:
        """The prediction with an anchor."""
        return _predicted(self.variant, self.question.but(hardware=self.question.devices.but(anchor=anchor)))


def measured_rows(rows: tuple[ServingRow, ...], given: ServingRow) -> tuple[list[Measured], list[LeftOut]]:
    """The rows that can be held against a prediction, and why the others cannot.

    `given`: what the user says where files say nothing. A model, device, engine or format in it also leaves out the
    rows of others.
    """
    found: list[Measured] = []
    left_out: list[LeftOut] = []
    for row in rows:
        try:
            found.append(_measured(row, given))
        except InputError as error:
            left_out.append(LeftOut(where=row.where, why=str(error)))
    return found, left_out


def _measured(row: ServingRow, given: ServingRow) -> Measured:
    """Raises InputError, which says why the row is of no use."""
    if row.unusable:
        raise InputError(row.unusable)
    if not row.tpot_seconds:
        raise InputError("no TPOT")
    full = row.but(**{name: value for name, value in vars(given).items() if getattr(row, name) is None})
    if lacking := [name for name in NEEDED if not getattr(full, name)]:
        raise InputError(f"{lacking[0]} is not told", hint=f"Say it: --{lacking[0].replace('_', '-')}")
    variant = _variant(row, full, given)
    question = _question(full)
    deployed = deploy(variant.model, variant.precision, question, question.devices.accelerators[0])
    stack = Stack(accelerator=deployed.gpu.id, engine=deployed.device.engine.id, dtype=variant.precision.name)
    _check_named(stack, given, variant)
    return _beside(full, stack, variant, deployed, question)


def _predicted(variant: Variant, question: Question) -> ServingPrediction:
    prediction, _, _ = predict(variant.model, variant.precision, question, requested=False)
    assert prediction.serving is not None  # a question with requests in flight has it
    return prediction.serving


def _beside(row: ServingRow, stack: Stack, variant: Variant, deployed: Deployment, question: Question) -> Measured:
    plan, engine, measured, requests = deployed.placement, deployed.device.engine, row.tpot_seconds, question.requests
    assert measured
    if row.kernels_only:  # a single step, which lacks what the engine does between two
        running = requests.concurrency
        measured += engine.step_seconds + engine.sequence_seconds * running
        predicted = deployed.step([deployed.decode(requests.prompt_len + 1, running)]).seconds
    elif requests.output_len < 2:
        raise InputError("an answer of one token has no TPOT")
    else:
        serving = _predicted(variant, question)
        running, predicted = serving.running, serving.tpot_seconds
    return Measured(
        row=row,
        stack=stack,
        model=variant.loaded.spec.id,
        params=params_of(variant.model),
        kind=variant.model.spec.kind,
        load=StackLoad(
            sequences=running, tp=plan.tp, pp=plan.pp, dp=plan.dp, ep=plan.ep, prompt_len=requests.prompt_len
        ),
        placement=plan.name,
        measured_seconds=measured,
        predicted_seconds=predicted,
        question=question,
        variant=variant,
    )


def _question(row: ServingRow) -> Question:
    return ask(
        gpu=row.gpu,
        engine=row.engine or ENGINES.get(row.tool),
        kv_cache_dtype=row.kv_cache_dtype,
        concurrency=max(1, round(row.concurrency or 1)),
        prompt_len=max(1, round(row.prompt_len or 1)),
        output_len=max(1, round(row.output_len or 1)),
        **{name: getattr(row, name) for name in ("num_gpus", "tp", "pp", "dp", "ep")},
    )


def _variant(row: ServingRow, full: ServingRow, given: ServingRow) -> Variant:
    """The model in its format. A name that only the server knows gives way to the one that the user tells."""
    name, kv_cache = full.model or "", kv_cache_format(full.kv_cache_dtype)
    if row.model and given.model and row.model != given.model:
        try:
            own = _loaded(row.model, None, kv_cache)
        except InputError:
            name = given.model
        else:
            if params_of(own.model) != params_of(_loaded(given.model, None, kv_cache).model):
                raise InputError(f"of {brief(row.model)}, not of {given.model}")
    dtype = full.dtype
    if dtype and row.dtype == dtype and row.tool != "csv" and dtype in _loaded(name, None, kv_cache).precision.name:
        dtype = None  # the tool says in a word what the checkpoint's own formats are
    return _loaded(name, dtype, kv_cache)


@cache
def _loaded(name: str, dtype: str | None, kv_cache_dtype: str | None) -> Variant:
    return load_variant(name, dtype, kv_cache_dtype)


def _check_named(stack: Stack, given: ServingRow, variant: Variant) -> None:
    """Raise InputError for a row of another device, engine or format than the user names."""
    if given.gpu and load_accelerator(counted(given.gpu, None)[0] or "").id != stack.accelerator:
        raise InputError(f"of {stack.accelerator}, not of {given.gpu}")
    if given.engine and engine_profile(given.engine).id != stack.engine:
        raise InputError(f"of {stack.engine}, not of {given.engine}")
    if given.dtype and _loaded(variant.loaded.spec.id, given.dtype, None).precision.name != stack.dtype:
        raise InputError(f"of {stack.dtype}, not of {given.dtype}")
