"""The routed experts of a real model under random routing: transformers' own module, at its own shapes."""

from functools import lru_cache
from math import ceil
from statistics import fmean
from typing import Any

import torch
import transformers

from sparsecalc.core.errors import SparsecalcError
from sparsecalc.core.routing import expected_distinct_experts
from sparsecalc.data_files import read_data
from sparsecalc.measure.architecture.expert_choice import stacked_experts
from sparsecalc.measure.architecture.meta_model import meta_model
from sparsecalc.measure.calibrate.benchmark import COLD, Benchmark, Work, each
from sparsecalc.measure.machine.device import last_level_cache_bytes
from sparsecalc.measure.machine.random_tensors import DTYPES, random_tensor

MOST_DRAWS = 8
"""Draws of the routing that one sample goes through."""


def built_in_config(name: str) -> dict[str, Any]:
    """The config of a built-in model, as Hugging Face has it."""
    return {key: value for key, value in read_data(f"model_specs/{name}.json").items() if key != "sparsecalc"}


@lru_cache(maxsize=1)
def experts_module(name: str, most_bytes: int, device: torch.device, dtype: str = "bf16") -> tuple[Any, int]:
    """The experts of one layer of a built-in model with random weights, and how many of them a token selects.

    Experts beyond what `most_bytes` hold are left out, by halves.
    """
    experts = stacked_experts(meta_model(built_in_config(name) | {"num_hidden_layers": 1}))
    if experts is None:
        raise SparsecalcError(f"transformers {transformers.__version__} keeps the experts of {name} in another form")
    module, choice = experts
    return cut_and_fill(module, most_bytes, device, DTYPES[dtype]), choice.num_experts_per_tok


def cut_and_fill(module: Any, most_bytes: int, device: torch.device, dtype: torch.dtype) -> Any:
    """Real random weights for a module of experts built on meta; its first experts only, where all are too many."""
    size = torch.finfo(dtype).bits // 8
    kept = module.num_experts
    per_expert = sum(weight.numel() for weight in module.parameters()) // kept * size
    while kept > 1 and kept * per_expert > most_bytes:
        kept //= 2
    for key, weight in list(module.named_parameters()):
        filled = random_tensor((kept, *weight.shape[1:]), dtype, device)
        module._parameters[key] = torch.nn.Parameter(filled, requires_grad=False)
    module.num_experts = kept
    return module


def popularity(num_experts: int, skew: float) -> torch.Tensor:
    """Weights rank^-skew (0: uniform); which expert has which rank is shuffled, always in the same way."""
    order = torch.randperm(num_experts, generator=torch.Generator().manual_seed(0))
    return torch.arange(1, num_experts + 1, dtype=torch.float64)[order] ** -skew


def draw_routing(tokens: int, num_experts: int, num_experts_per_tok: int, skew: float, seed: int) -> torch.Tensor:
    """Experts of each token, drawn without replacement with weights `popularity`, as tokens x k.

    Gumbel's trick: the k largest of log-weights plus Gumbel noise (Kool et al. 2019, arXiv:1903.06059).
    """
    generator = torch.Generator().manual_seed(seed)
    uniform = torch.rand(tokens, num_experts, dtype=torch.float64, generator=generator).clamp_(1e-12, 1 - 1e-12)
    return (popularity(num_experts, skew).log() - (-uniform.log()).log()).topk(num_experts_per_tok, dim=-1).indices


def experts_benchmark(name: str, tokens: int, implementation: str, most_bytes: int, dtype: str = "bf16") -> Benchmark:
    """One pass of `tokens` tokens through the experts of one layer of the built-in model `name`.

    Each sample goes through the same draws of the routing; `distinct` is the mean number of experts that they touch.
    """

    def build(device: torch.device) -> Work:
        module, selected = experts_module(name, most_bytes, device, dtype)
        module.config._experts_implementation = implementation
        count, hidden = module.num_experts, module.gate_up_proj.shape[-1]
        k = min(selected, count)
        choices = [draw_routing(tokens, count, k, 0.0, seed) for seed in range(_draws(module, k, tokens, device))]
        hidden_states = random_tensor((tokens, hidden), DTYPES[dtype], device, 1.0)
        weights = torch.full((tokens, k), 1 / k, dtype=DTYPES[dtype], device=device)
        more = {
            "hidden_size": hidden,
            "moe_intermediate_size": module.down_proj.shape[-1],
            "num_experts": count,
            "num_experts_per_tok": k,
            "distinct": fmean(len(choice.unique()) for choice in choices),
        }
        operands = [(hidden_states, choice.to(device), weights) for choice in choices]
        return each(module, operands, more=more, graph=implementation != "eager")

    row = {"op": "moe", "model": name, "tokens": tokens, "implementation": implementation, "dtype": dtype}
    return Benchmark(row, build)


def _draws(module: Any, num_experts_per_tok: int, tokens: int, device: torch.device) -> int:
    """Draws whose experts together are more than COLD times the last-level cache."""
    share = expected_distinct_experts(module.num_experts, num_experts_per_tok, tokens) / module.num_experts
    reached = share * sum(weight.numel() * weight.element_size() for weight in module.parameters())
    return min(MOST_DRAWS, ceil(COLD * last_level_cache_bytes(device) / reached) + 1)
