"""Send tokens to experts as a distribution says, through the model's own routers and experts.

Random weights route badly: deep in a random model all tokens of a prompt go to the same few experts. So each module
that holds experts gets another choice than its router's: the router computes as ever, and its weights are kept.
"""

import inspect
from typing import Any

import numpy as np
import torch
from torch import nn

from sparsecalc.core.routing import Routing
from sparsecalc.core.systematic_sampling import sampled_experts
from sparsecalc.measure.architecture.expert_choice import expert_choice

ROWS = 8192
"""Choices are drawn for at most so many tokens; further tokens repeat them."""
POOL_ELEMENTS = 2**22
MOST_DRAWS = 10
"""Most draws that samples alternate between, as far as tokens * experts * draws stay below POOL_ELEMENTS."""
STRATA = 16
"""Each draw used is the median of so many by distinct experts, so that few samples represent the distribution."""


def drawn_choice(
    inclusion: tuple[float, ...], num_experts_per_tok: int, tokens: int, random: np.random.Generator
) -> torch.Tensor:
    """The k distinct experts of each of `tokens` tokens, drawn at random with probabilities `inclusion`: tokens x k.

    At most ROWS tokens are drawn for; further ones repeat them.
    """
    rows = min(tokens, ROWS)
    choice = torch.from_numpy(sampled_experts(inclusion, rows, random)).view(rows, num_experts_per_tok)
    return choice.repeat(-(-tokens // rows), 1)[:tokens]


class ForcedRouting:
    """Hooks on every module that holds experts, which replace the router's choice."""

    def __init__(self, model: nn.Module, wanted: Routing, device: torch.device, seed: int = 0) -> None:
        self.wanted, self.device = wanted, device
        self.random = np.random.default_rng(seed)
        self.experts = [
            _ExpertsModule(name, module, model) for name, module in model.named_modules() if _takes_choice(module)
        ]
        self.turn = 0
        for place in self.experts:
            place.module.register_forward_pre_hook(place.replace, with_kwargs=True)

    @property
    def forced(self) -> bool:
        """Whether the choice of experts was replaced in all modules that hold some."""
        return bool(self.experts) and all(place.replaced for place in self.experts)

    def prepare(self, tokens: int) -> None:
        """Draw choices for steps of `tokens` tokens."""
        for place in self.experts:
            probabilities = self.wanted.inclusion(place.num_experts, place.num_experts_per_tok)
            draws = max(1, min(MOST_DRAWS, POOL_ELEMENTS // (min(tokens, ROWS) * place.num_experts)))
            strata = STRATA if tokens * place.num_experts * draws * STRATA <= POOL_ELEMENTS else 1
            drawn = [
                drawn_choice(probabilities, place.num_experts_per_tok, tokens, self.random)
                for _ in range(draws * strata)
            ]
            pool = sorted(drawn, key=lambda choice: choice.unique().numel())[strata // 2 :: strata]
            order = self.random.permutation(draws).tolist()
            place.pools[tokens] = torch.stack([pool[index] for index in order]).to(self.device)
            place.choices[tokens] = place.pools[tokens][0].clone()

    def advance(self) -> None:
        """The next draw: copied into the same memory, so that a captured graph sees it."""
        self.turn += 1
        for place in self.experts:
            for tokens, pool in place.pools.items():
                place.choices[tokens].copy_(pool[self.turn % len(pool)])

    def distinct(self, tokens: int) -> float | None:
        """Distinct experts per layer that the current choices touch, averaged over the layers."""
        counts = [place.choices[tokens].unique().numel() for place in self.experts if tokens in place.choices]
        return sum(counts) / len(counts) if counts else None

    def expected_distinct(self, tokens: int) -> float | None:
        """Distinct experts per layer that so many tokens are expected to touch; None where there are no experts."""
        if not self.experts:
            return None
        place = self.experts[0]
        return float(self.wanted.expected_distinct(place.num_experts, place.num_experts_per_tok, tokens))


class _ExpertsModule:
    """One module that holds experts."""

    def __init__(self, name: str, module: nn.Module, model: nn.Module) -> None:
        self.module: Any = module
        parameter = next(key for key, _ in module.named_parameters())
        choice = expert_choice(f"{name}.{parameter}", model)
        assert choice is not None, f"{name}: neither modules nor config tell how many experts there are"
        self.num_experts_per_tok = choice.num_experts_per_tok
        self.num_experts = choice.num_experts + getattr(module, "zero_expert_num", 0)
        self.replaced = 0
        """Calls whose choice was replaced."""
        self.pools: dict[int, torch.Tensor] = {}
        self.choices: dict[int, torch.Tensor] = {}

    def replace(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The arguments with the drawn choice instead of the router's."""
        own: torch.Tensor = args[1]
        choice = self.choices.get(own.shape[0])
        if choice is None or choice.shape != own.shape:
            return None
        self.replaced += 1
        return (args[0], choice.to(own.dtype), *args[2:]), kwargs


def _takes_choice(module: nn.Module) -> bool:
    """Whether the module is called with rows, the experts chosen for each, and their weights."""
    if not type(module).__name__.endswith("Experts") or next(module.parameters(), None) is None:
        return False
    taken = list(inspect.signature(module.forward).parameters)
    return len(taken) >= 3 and any(word in taken[1] for word in ("index", "indices", "selected"))
