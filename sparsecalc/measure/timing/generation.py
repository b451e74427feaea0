"""A whole model with random weights generates tokens, through transformers' own `generate` or through vLLM."""

import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import torch
import transformers
from transformers import StoppingCriteria, StoppingCriteriaList

from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Phase
from sparsecalc.decide.measured_run import BenchQuestion
from sparsecalc.documents.bench import BenchReport
from sparsecalc.documents.profile import Measurement
from sparsecalc.estimate.load import Requests
from sparsecalc.library.models import LoadedModel
from sparsecalc.measure.architecture.filled_cache import SEED_TOKENS
from sparsecalc.measure.machine.device import is_out_of_memory, synchronize
from sparsecalc.measure.machine.samples import Samples
from sparsecalc.measure.machine.stopwatch import FEWEST
from sparsecalc.measure.timing.prepared_run import PreparedRun, prepare
from sparsecalc.measure.timing.step_samples import StepSamples
from sparsecalc.measure.timing.vllm_generation import vllm_runs

Runs = list[list[float]]
"""Of each run, seconds until the first token, and between tokens."""


class TokenClock(StoppingCriteria):  # type: ignore[misc]
    """Notes the time after each generated token."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.times: list[float] = []

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """Never stops."""
        synchronize(self.device)
        self.times.append(time.perf_counter())
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


def bench(
    loaded: LoadedModel, question: BenchQuestion, progress: Callable[[str], None] = lambda name: None
) -> BenchReport:
    """Seconds of the prompt and of each further token, at least FEWEST times as far as the time budget allows.

    Raises InputError for a model, device or routing that cannot be used, and for a model without `generate`.
    """
    transformers.logging.set_verbosity_error()
    count = loaded.spec.num_hidden_layers
    prepared = prepare(loaded, question.run.but(layers=question.run.layers or count))
    progress("transformers")
    runs: Runs = []
    interrupted = False
    try:
        runs.extend(_runs(prepared, question))
    except KeyboardInterrupt:
        interrupted = True
    measured = prepared.model.slice.num_layers
    rows = [*_rows(prepared, question.requests, runs, "generate", all_layers=measured == count)] if runs else []
    if prepared.machine.device.type == "cuda" and find_spec("vllm") and not interrupted:
        progress("vllm")
        rows += _vllm_rows(prepared, loaded, question)
    if measured < count:
        text = f"{measured} of {count} layers generate: seconds are of this smaller model"
        prepared.warn("fewer-layers", text)
    return BenchReport(
        command="bench",
        inputs={"model": loaded.spec.id, **question.inputs()},
        warnings=prepared.warnings,
        model=loaded.spec.id,
        environment=prepared.machine.conditions,
        layers=measured,
        num_hidden_layers=count,
        measurements=rows,
        lines=[_line(row) for row in rows],
        interrupted=interrupted,
    )


def _runs(prepared: PreparedRun, question: BenchQuestion) -> Iterator[list[float]]:
    """Runs of transformers' `generate`, as many as the time budget allows."""
    model: Any = prepared.model.slice.model
    spec, routing, requests = prepared.model.spec, prepared.model.routing, question.requests
    if not hasattr(model, "generate"):
        raise InputError(f"{spec.id}: transformers has no generate for its text part", hint="Use profile instead")
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = None, 0
    shape = (requests.concurrency, requests.prompt_len)
    prompt = torch.randint(0, spec.vocab_size, shape, device=prepared.machine.device)
    with torch.inference_mode():
        for tokens in (requests.concurrency * requests.prompt_len, requests.concurrency):
            routing.prepare(tokens)
        short = prompt[:, :SEED_TOKENS]
        model.generate(short, attention_mask=torch.ones_like(short), max_new_tokens=2)
        end = time.monotonic() + question.run.time_budget_seconds
        for run in range(FEWEST):
            if run and time.monotonic() > end:
                return
            routing.advance()
            yield _generate(model, prompt, requests.output_len, prepared.machine.device)


def _generate(model: Any, prompt: torch.Tensor, output_len: int, device: torch.device) -> list[float]:
    """Seconds until the first token, and between tokens. Raises InputError where memory is short."""
    clock = TokenClock(device)
    synchronize(device)
    start = time.perf_counter()
    try:
        model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            stopping_criteria=StoppingCriteriaList([clock]),
            min_new_tokens=output_len,
            max_new_tokens=output_len,
            do_sample=False,
        )
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise InputError("generating does not fit into the memory", hint="Use fewer --layers") from error
        raise
    return [after - before for before, after in pairwise([start, *clock.times])]


def _vllm_rows(prepared: PreparedRun, loaded: LoadedModel, question: BenchQuestion) -> list[Measurement]:
    """The same through vLLM; nothing but a warning where it fails."""
    try:
        runs = vllm_runs(loaded.config, question.requests, question.run.dtype)
        return [*_rows(prepared, question.requests, runs, "vllm", all_layers=True)]
    except Exception as error:  # another project's engine: whatever it raises, the rest of the report stands
        prepared.warn("vllm", f"vLLM did not run: {type(error).__name__}: {str(error)[:160]}")
        return []


def _rows(
    prepared: PreparedRun, requests: Requests, runs: Runs, method: str, *, all_layers: bool
) -> Iterator[Measurement]:
    """The prompt and a step of the generation, half of it done."""
    halfway = requests.prompt_len + requests.output_len // 2
    prompts = Samples([run[0] for run in runs], method=method)
    steps = Samples([seconds for run in runs for seconds in run[1:]], method=method)
    both: list[tuple[Phase, Samples, int]] = [("prefill", prompts, requests.prompt_len), ("decode", steps, halfway)]
    for phase, samples, context in both:
        work = prepared.workload(phase, requests.concurrency, context)
        rows = prepared.rows(StepSamples(work, prepared.model.slice.kinds))
        yield rows.whole_step(samples, all_layers=all_layers)


def _line(row: Measurement) -> str:
    """`decode: 12.3 ms, 650 tokens/s (predicted 11.0 ms, 0.89 of the measured)`."""
    rate = f", {row.tokens_per_second:,.1f} tokens/s" if row.tokens_per_second else ""
    guess = row.predicted_seconds
    beside = f" (predicted {1e3 * guess:.3f} ms, {guess / row.median_seconds:.2f} of the measured)" if guess else ""
    return f"{row.phase} through {row.method}: {1e3 * row.median_seconds:.3f} ms{rate}{beside}"
