"""A model with random weights generates tokens through vLLM, where it is installed."""

import json
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from sparsecalc.estimate.load import Requests
from sparsecalc.measure.machine.random_tensors import DTYPES
from sparsecalc.measure.machine.stopwatch import FEWEST


def vllm_runs(config: dict[str, Any], requests: Requests, dtype: str) -> list[list[float]]:
    """Of FEWEST runs, seconds until the first token and, as their mean, between further tokens."""
    vllm: Any = import_module("vllm")
    prompts = [{"prompt_token_ids": [7 + index] * requests.prompt_len} for index in range(requests.concurrency)]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config))
        engine = vllm.LLM(
            model=folder,
            load_format="dummy",
            skip_tokenizer_init=True,
            enable_prefix_caching=False,
            dtype=str(DTYPES[dtype]).removeprefix("torch."),
            max_model_len=requests.prompt_len + requests.output_len,
            max_num_seqs=requests.concurrency,
        )

        def seconds(new_tokens: int) -> float:
            sampling = vllm.SamplingParams(
                max_tokens=new_tokens, min_tokens=new_tokens, ignore_eos=True, detokenize=False, temperature=0.0
            )
            start = time.perf_counter()
            engine.generate(prompts, sampling, use_tqdm=False)
            return time.perf_counter() - start

        seconds(requests.output_len)
        runs = []
        for _ in range(FEWEST):
            first, whole = seconds(1), seconds(requests.output_len)
            runs.append([first, (whole - first) / (requests.output_len - 1)])
        return runs
