"""A whole model with random weights generates tokens, through transformers' own `generate` or through vLLM."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import StoppingCriteria, StoppingCriteriaList

from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Phase
from sparsecalc.decide.profile_question import BenchQuestion, ProfileQuestion
from sparsecalc.documents.bench import BenchReport
from sparsecalc.documents.profile import Measurement
from sparsecalc.library.models import LoadedModel
from sparsecalc.measure.architecture.filled_cache import SEED_TOKENS
from sparsecalc.measure.machine.stopwatch import FEWEST, Samples, synchronize
from sparsecalc.measure.timing.profile import TORCH_DTYPES, Bed, is_out_of_memory, prepare, work_of
from sparsecalc.measure.timing.step_samples import Reading, whole_step


class Clock(StoppingCriteria):  # type: ignore[misc]
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

    Raises InputError for a question that makes no sense or a model without `generate`.
    """
    transformers.logging.set_verbosity_error()
    asked = question.checked()
    layers = asked.layers or loaded.spec.num_hidden_layers
    shared = ("device", "dtype", "experts_implementation", "routing", "memory_limit_bytes", "calibration")
    bed = prepare(loaded, ProfileQuestion(layers=layers, **{name: getattr(asked, name) for name in shared}))
    found: list[Measurement] = []
    interrupted = False
    progress("transformers")
    runs: list[list[float]] = []
    try:
        runs.extend(_runs(bed, asked))
    except KeyboardInterrupt:
        interrupted = True
    if runs:
        found = [*_rows(bed, asked, runs, "generate")]
    if bed.device.type == "cuda" and find_spec("vllm") and not interrupted:
        progress("vllm")
        try:
            found += _rows(bed, asked, _vllm_runs(loaded, asked), "vllm")
        except Exception as error:  # another project's engine: whatever it raises, the rest of the report stands
            bed.warn("vllm", f"vLLM did not run: {type(error).__name__}: {str(error)[:160]}")
    measured = bed.slice.layers
    if measured < loaded.spec.num_hidden_layers:
        text = f"{measured} of {loaded.spec.num_hidden_layers} layers generate: seconds are of this smaller model"
        bed.warn("fewer-layers", text)
    return BenchReport(
        command="bench",
        inputs={"model": loaded.spec.id, **asked.to_dict()},
        warnings=bed.warnings,
        model=loaded.spec.id,
        environment=bed.environment,
        layers=measured,
        num_hidden_layers=loaded.spec.num_hidden_layers,
        measurements=found,
        lines=[_line(row) for row in found],
        interrupted=interrupted,
    )


def _runs(bed: Bed, asked: BenchQuestion) -> Iterator[list[float]]:
    """For each run, seconds until the first token, and between tokens."""
    model: Any = bed.slice.model
    if not hasattr(model, "generate"):
        raise InputError(f"{bed.spec.id}: transformers has no generate for its text part", hint="Use profile instead")
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = None, 0
    shape = (asked.batch_size, asked.prompt_len)
    prompt = torch.randint(0, bed.spec.vocab_size, shape, device=bed.device)
    lengths = {"min_new_tokens": asked.output_len, "max_new_tokens": asked.output_len, "do_sample": False}
    with torch.inference_mode():
        for tokens in (asked.batch_size * asked.prompt_len, asked.batch_size):
            bed.forced.prepare(tokens)
        short = prompt[:, :SEED_TOKENS]
        model.generate(short, attention_mask=torch.ones_like(short), max_new_tokens=2)
        end = time.monotonic() + asked.time_budget_seconds
        for run in range(FEWEST):
            if run and time.monotonic() > end:
                return
            bed.forced.advance()
            clock = Clock(bed.device)
            synchronize(bed.device)
            start = time.perf_counter()
            try:
                model.generate(
                    prompt,
                    attention_mask=torch.ones_like(prompt),
                    stopping_criteria=StoppingCriteriaList([clock]),
                    **lengths,
                )
            except (RuntimeError, MemoryError) as error:
                if is_out_of_memory(error):
                    raise InputError("generating does not fit into the memory", hint="Use fewer --layers") from error
                raise
            yield [after - before for before, after in pairwise([start, *clock.times])]


def _vllm_runs(loaded: LoadedModel, asked: BenchQuestion) -> list[list[float]]:
    """The same through vLLM with dummy weights; seconds between tokens are the mean of a run."""
    vllm: Any = import_module("vllm")
    prompts = [{"prompt_token_ids": [7 + index] * asked.prompt_len} for index in range(asked.batch_size)]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(loaded.config))
        engine = vllm.LLM(
            model=folder,
            load_format="dummy",
            skip_tokenizer_init=True,
            enable_prefix_caching=False,
            dtype=str(TORCH_DTYPES[asked.dtype]).removeprefix("torch."),
            max_model_len=asked.prompt_len + asked.output_len,
            max_num_seqs=asked.batch_size,
        )

        def seconds(new_tokens: int) -> float:
            given = vllm.SamplingParams(
                max_tokens=new_tokens, min_tokens=new_tokens, ignore_eos=True, detokenize=False, temperature=0.0
            )
            start = time.perf_counter()
            engine.generate(prompts, given, use_tqdm=False)
            return time.perf_counter() - start

        seconds(asked.output_len)
        runs = []
        for _ in range(FEWEST):
            first, whole = seconds(1), seconds(asked.output_len)
            runs.append([first, (whole - first) / (asked.output_len - 1)])
        return runs


def _rows(bed: Bed, asked: BenchQuestion, runs: list[list[float]], method: str) -> Iterator[Measurement]:
    """The prompt and a step of the generation, half of it done."""
    whole = method == "vllm" or bed.slice.layers == bed.spec.num_hidden_layers
    halfway = asked.prompt_len + asked.output_len // 2
    prompt = Samples([run[0] for run in runs], method=method)
    steps = Samples([seconds for run in runs for seconds in run[1:]], method=method)
    both: list[tuple[Phase, Samples, int]] = [("prefill", prompt, asked.prompt_len), ("decode", steps, halfway)]
    for phase, samples, context in both:
        work = work_of(bed, phase, asked.batch_size, context)
        reading = Reading(bed.spec, bed.slice, work, bed.precision)
        yield whole_step(reading, samples, bed.environment, all_layers=whole, device=bed.device_model)


def _line(row: Measurement) -> str:
    """`decode: 12.3 ms, 650 tokens/s (predicted 11.0 ms, 0.89 of the measured)`."""
    rate = f", {row.tokens_per_second:,.1f} tokens/s" if row.tokens_per_second else ""
    guess = row.predicted_seconds
    beside = f" (predicted {1e3 * guess:.3f} ms, {guess / row.median_seconds:.2f} of the measured)" if guess else ""
    return f"{row.phase} through {row.method}: {1e3 * row.median_seconds:.3f} ms{rate}{beside}"
