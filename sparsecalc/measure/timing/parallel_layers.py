"""One real layer split over the ranks of a torch.distributed group: tensor parallel, and experts over the ranks.

Every rank makes the same whole layer from the same seed, keeps its share of it, and can hold its result against the
whole layer's.
"""

import copy
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from sparsecalc.core.errors import InputError
from sparsecalc.measure.architecture.expert_choice import stacked_experts
from sparsecalc.measure.architecture.meta_model import meta_model
from sparsecalc.measure.machine.random_tensors import random_tensor

_BY_ROWS = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
"""Split over their outputs: each rank computes its heads, its neurons."""
_BY_COLUMNS = ("o_proj", "down_proj")
"""Split over their inputs: each rank computes a part of the sum, and an all-reduce adds them up."""


def whole_layer(config: dict[str, Any], device: torch.device, dtype: torch.dtype) -> tuple[nn.Module, Any]:
    """The model's first decoder layer with random weights, alike on every rank, and its rotary embedding."""
    torch.manual_seed(0)
    model: Any = meta_model(config | {"num_hidden_layers": 1})
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model.model
    layer = decoder.layers[0]
    for module in layer.modules():
        for key, weight in list(module.named_parameters(recurse=False)):
            module._parameters[key] = _random(tuple(weight.shape), dtype, device)
    rotary = type(decoder.rotary_emb)(model.config).to(device)
    return layer, rotary


class TensorParallelLayer:
    """A decoder layer whose heads and neurons are split over the ranks (Shoeybi et al. 2019, arXiv:1909.08053).

    Two all-reduces of tokens x hidden_size per layer: behind the attention's and behind the MLP's last projection.
    """

    def __init__(self, layer: nn.Module) -> None:
        rank, ranks = dist.get_rank(), dist.get_world_size()
        self.layer: Any = copy.deepcopy(layer)
        split = [(name, part) for name, part in self.layer.named_modules() if isinstance(part, nn.Linear)]
        for name, part in split:
            last = name.rpartition(".")[2]
            if last in _BY_ROWS:
                _keep(part, 0, rank, ranks, name)
            elif last in _BY_COLUMNS:
                _keep(part, 1, rank, ranks, name)
                part.register_forward_hook(_add_up)
            else:
                raise InputError(f"{name} cannot be split over ranks", hint="Take a dense model of Llama's form")

    def __call__(self, hidden: torch.Tensor, positions: Any) -> torch.Tensor:
        """The layer's output, the same on every rank."""
        return run_layer(self.layer, hidden, positions)


def run_layer(layer: Any, hidden: torch.Tensor, positions: Any) -> torch.Tensor:
    """One causal pass over tokens without a cache."""
    output = layer(hidden, position_embeddings=positions)
    return output[0] if isinstance(output, tuple) else output


def _keep(part: nn.Linear, side: int, rank: int, ranks: int, name: str) -> None:
    """This rank's share of a weight, by rows (0) or columns (1); a bias goes with the rows, or to the first rank."""
    if part.weight.shape[side] % ranks:
        raise InputError(f"{name}: {part.weight.shape[side]} features do not divide over {ranks} ranks")
    part.weight = nn.Parameter(part.weight.chunk(ranks, side)[rank].contiguous(), requires_grad=False)
    if part.bias is not None and side == 0:
        part.bias = nn.Parameter(part.bias.chunk(ranks)[rank].contiguous(), requires_grad=False)
    elif part.bias is not None and rank:
        part.bias = None


def _add_up(module: nn.Module, given: Any, output: torch.Tensor) -> torch.Tensor:
    dist.all_reduce(output)
    return output


def whole_experts(
    config: dict[str, Any], device: torch.device, dtype: torch.dtype, most_bytes: int | None = None
) -> tuple[Any, int]:
    """The routed experts of the model's first layer that has some, alike on every rank, and how many a token selects.

    Only the first experts, a multiple of the ranks, where all are more than `most_bytes`.
    """
    torch.manual_seed(0)
    experts = stacked_experts(meta_model(config))
    if experts is None:
        raise InputError("the model has no routed experts", hint="Example: --model mixtral-8x7b")
    module, choice = experts
    per_expert = sum(weight.numel() for weight in module.parameters()) // module.num_experts * dtype.itemsize
    kept = module.num_experts
    if most_bytes is not None and kept * per_expert > most_bytes:
        kept = max(1, most_bytes // per_expert // dist.get_world_size()) * dist.get_world_size()
    for key, weight in list(module.named_parameters()):
        module._parameters[key] = _random((kept, *weight.shape[1:]), dtype, device)
    module.num_experts = kept
    return module, min(choice.num_experts_per_tok, kept)


def _random(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> nn.Parameter:
    """Random values scaled so that outputs are about as large as inputs: a missing part then shows in the result."""
    scale = shape[-1] ** -0.5 if len(shape) > 1 else 1.0
    return nn.Parameter(random_tensor(shape, dtype, device, scale), requires_grad=False)


class ExpertParallel:
    """Routed experts that lie on the ranks in contiguous blocks: dispatch, local experts, combine.

    Each rank has tokens of its own. It sends every token to the ranks of its experts (all-to-all), computes what it
    was sent with its own experts, and sends the results back (all-to-all).
    """

    def __init__(self, experts: Any) -> None:
        self.ranks, rank = dist.get_world_size(), dist.get_rank()
        if experts.num_experts % self.ranks:
            raise InputError(f"{experts.num_experts} experts do not divide over {self.ranks} ranks")
        self.each = experts.num_experts // self.ranks
        self.local = copy.copy(experts)
        self.local._parameters = {
            key: nn.Parameter(weight[rank * self.each : (rank + 1) * self.each], requires_grad=False)
            for key, weight in experts.named_parameters()
        }
        self.local.num_experts = self.each

    def dispatch(self, hidden: torch.Tensor, chosen: torch.Tensor) -> None:
        """Send every (token, expert) pair to the rank that holds the expert."""
        pairs = chosen.reshape(-1)
        self.order = torch.argsort(pairs // self.each, stable=True)
        sent = torch.bincount(pairs // self.each, minlength=self.ranks)
        received = torch.empty_like(sent)
        dist.all_to_all_single(received, sent)
        self.sent, self.received = sent.tolist(), received.tolist()
        rows = hidden[self.order // chosen.shape[1]]
        self.rows = self._exchange(rows, self.received, self.sent)
        self.ids = self._exchange(pairs[self.order], self.received, self.sent) % self.each

    def compute(self) -> None:
        """This rank's experts on the pairs that it was sent."""
        if len(self.ids):
            ones = torch.ones_like(self.ids, dtype=self.rows.dtype)[:, None]
            self.rows = self.local(self.rows, self.ids[:, None], ones)

    def combine(self, weights: torch.Tensor) -> torch.Tensor:
        """Bring the results back to their tokens and add them up with the routing weights."""
        back = self._exchange(self.rows, self.sent, self.received)
        in_order = torch.empty_like(back)
        in_order[self.order] = back
        return (in_order.view(*weights.shape, -1) * weights[..., None]).sum(dim=1)

    def __call__(self, hidden: torch.Tensor, chosen: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """What the whole module returns for this rank's tokens."""
        self.dispatch(hidden, chosen)
        self.compute()
        return self.combine(weights)

    @staticmethod
    def _exchange(rows: torch.Tensor, received: list[int], sent: list[int]) -> torch.Tensor:
        taken = rows.new_empty((sum(received), *rows.shape[1:]))
        dist.all_to_all_single(taken, rows.contiguous(), received, sent)
        return taken
