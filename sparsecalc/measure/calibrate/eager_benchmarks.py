"""What transformers' modules take beside their large kernels: one layer of a tiny model, with cold caches."""

import time
from typing import Any

import torch
from torch import nn

from sparsecalc.measure.architecture.filled_cache import filled_cache
from sparsecalc.measure.architecture.meta_model import meta_model
from sparsecalc.measure.architecture.model_inputs import model_inputs
from sparsecalc.measure.architecture.module_marks import MarkedModule, ModuleMarks
from sparsecalc.measure.architecture.random_weights import give_storage
from sparsecalc.measure.calibrate.benchmark import Benchmark, Work
from sparsecalc.measure.machine.device import last_level_cache_bytes
from sparsecalc.measure.machine.random_tensors import DTYPES
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.config import read_config

MODEL_TYPES = ("llama", "qwen3_moe")
PAST = 8
"""Tokens in the cache of the step."""
_SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 4}
_SIZES |= {"head_dim": 16, "vocab_size": 64, "num_hidden_layers": 1}
_EXPERTS = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 64}


def tiny_config(model_type: str) -> dict[str, Any]:
    """A model of one layer whose products take next to no time."""
    return {"model_type": model_type, **_SIZES, **(_EXPERTS if "moe" in model_type else {})}


def tiny_spec(model_type: str) -> ModelSpec:
    """The same as a spec, for its ledger."""
    return read_config(tiny_config(model_type), model_id=model_type)


def warm_up(device: torch.device, dtype: torch.dtype) -> None:
    """A prompt and a decode step of a tiny model, so that all that is set up for the first run is there."""
    model: Any = meta_model(tiny_config("llama"))
    give_storage(model, device, dtype)
    with torch.inference_mode():
        model(**model_inputs(model, 2, PAST, device))
        cache, _ = filled_cache(model, 1, 2 * PAST, device)
        model(**model_inputs(model, 1, 1, device, cache))


class Flushes:
    """Touches as much memory as the last-level cache holds behind each matrix, as a real model's weights do.

    Code and small tensors are then as cold as between the products of a real layer. Nothing to do on a GPU, whose
    kernels wait for no code.
    """

    def __init__(self, layer: nn.Module, device: torch.device) -> None:
        self.seconds = 0.0
        """Of all touches since `seconds` was last set to 0."""
        if device.type != "cpu":
            return
        self.buffer = torch.zeros(last_level_cache_bytes(device) // 4, dtype=torch.int32)
        for module in layer.modules():
            if any(weight.dim() > 1 for weight in module.parameters(recurse=False)):
                module.register_forward_hook(self._touch)

    def _touch(self, module: nn.Module, args: Any, output: Any) -> None:
        start = time.perf_counter()
        self.buffer.add_(1)
        self.seconds += time.perf_counter() - start


def eager_benchmark(model_type: str, what: str) -> Benchmark:
    """One decode step of one sequence through a tiny model: seconds of its `layer`, or of the `rest` of the step."""

    def built(device: torch.device) -> Work:
        model: Any = meta_model(tiny_config(model_type))
        give_storage(model, device, DTYPES["bf16"])
        layer = model.model.layers[0]
        marks, flushes = ModuleMarks([MarkedModule("layer", layer)], device), Flushes(layer, device)
        cache, reset = filled_cache(model, 1, PAST, device)
        given = model_inputs(model, 1, 1, device, cache)

        def run() -> None:
            marks.clear()
            flushes.seconds = 0.0
            reset()
            model(**given)

        def inside() -> float:
            touched = 0.0 if what == "rest" else flushes.seconds
            return marks.seconds()["layer"] - touched

        return Work(run, cold=True, marked=inside, outside=what == "rest")

    return Benchmark({"op": "eager", "model_type": model_type, "what": what, "dtype": "bf16"}, built)
