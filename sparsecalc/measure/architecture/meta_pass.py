"""Count the FLOPs and the cache of a real forward pass on the meta device.

torch's FlopCounterMode counts every matrix product by module. Two kinds of module get another forward first, so that
the counter sees what a step really needs: attention tallies the visible pairs (causal, windowed, chunked) instead of
multiplying the full square (through transformers' public attention registry), and experts send exactly
tokens * num_experts_per_tok rows through one expert's matrices, which the default grouped kernel hides from it.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache, PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from sparsecalc.core.components import Component
from sparsecalc.core.errors import SparsecalcError
from sparsecalc.core.workload import Workload
from sparsecalc.measure.architecture.alike_layers import Repeats, repeated_layers
from sparsecalc.measure.architecture.meta_model import ATTENTION, RECURRENT, Rule

NAME = "sparsecalc_count"


class CountingError(SparsecalcError):
    """The architecture builds, but its forward pass cannot be run on the meta device."""


@dataclass
class Counted:
    """FLOPs of one step: products with stored weights by component, attention, and products without weights."""

    weights: dict[Component, int] = field(default_factory=dict)
    attention: int = 0
    """Tallied scores and values, over the pairs that are visible."""
    square: int = 0
    """Scores that a module multiplies by itself over the full square: indexers, and attention without the registry."""
    state_updates: int = 0
    """Products inside recurrent mixers: whichever algorithm transformers falls back to without its fast kernels."""

    def add_unweighted(self, module: nn.Module, flops: int) -> None:
        """Products without stored weights: scores, a state update, or another map (AltUp's)."""
        kind = type(module).__name__
        if RECURRENT.search(kind):
            self.state_updates += flops
        elif ATTENTION.search(kind):
            self.square += flops
        else:
            self.weights["other"] = self.weights.get("other", 0) + flops


_NOT_GIVEN = -1


class ForwardTally:
    """What the attention functions of one forward pass add up."""

    def __init__(self, config: Any, past: int) -> None:
        self.flops, self.past = 0, past
        self.chunk = getattr(config, "attention_chunk_size", None)
        self.layer_types = getattr(config, "layer_types", None)
        self.selected = getattr(config, "index_topk", None)
        self.mask_window = None if self.layer_types else getattr(config, "sliding_window", None)

    def attend(
        self,
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: Any = None,
        sliding_window: int | None = _NOT_GIVEN,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None]:
        """2 * heads * (h + v) per visible pair, and an output of the right shape."""
        batch, heads, new, width = query.shape
        causal = bool(getattr(module, "is_causal", True))
        context = self.past + new if causal else key.shape[-2]
        work = Workload(batch_size=batch, new_tokens=new, context_len=context, causal=causal)
        pairs = work.pairs(*self.limits(module, sliding_window)) + self._far_pairs(module, work)
        self.flops += 2 * pairs * heads * (width + value.shape[-1])
        return query.new_empty((batch, new, heads, value.shape[-1])), None

    def limits(self, module: nn.Module, sliding_window: int | None = _NOT_GIVEN) -> tuple[int | None, int | None]:
        """The window and the chunk that bound what a query of `module` sees."""
        window = self._window(module) if sliding_window == _NOT_GIVEN else sliding_window
        if self._kind(module) == "indexed_attention":
            window = self.selected  # the mask leaves each query the tokens that the indexer picked
        chunk = self.chunk if self.layer_types and self._kind(module) == "chunked_attention" else None
        return window, chunk

    def _far_pairs(self, module: nn.Module, work: Workload) -> int:
        """DeepSeek-V4: pairs with compressed entries, of which an indexer picks some."""
        compressor: Any = getattr(module, "compressor", None)
        rate = getattr(compressor, "compress_rate", None)
        return work.pooled_pairs(rate, self.selected if hasattr(compressor, "indexer") else None) if rate else 0

    def _window(self, module: nn.Module) -> int | None:
        """The window of a module that leaves it to the mask: its own, or the whole model's."""
        own: int | None = getattr(module, "sliding_window", None)
        return own or self.mask_window

    def _kind(self, module: nn.Module) -> str:
        index = getattr(module, "layer_idx", 0)
        return str(self.layer_types[index]) if self.layer_types and index < len(self.layer_types) else ""


def count(model: nn.Module, rule: Rule, new_tokens: int, past: int = 0, cache: Any = None) -> tuple[Counted, Any]:
    """FLOPs of a step of one sequence, `new_tokens` after `past` that `cache` holds; and the cache that it leaves.

    Raises CountingError where the forward pass does not run on meta.
    """
    tally = ForwardTally(text_config(model), past)
    counter = FlopCounterMode(display=False)
    with repeated_layers(model, text_config(model), tally) as repeats:
        output = run(model, tally, counter, new_tokens, cache)
    found = _by_module(model, rule, counter, repeats)
    found.attention = tally.flops
    return found, cache_of(output)


def text_config(model: nn.Module) -> Any:
    """The config of the model's text decoder."""
    any_model: Any = model
    return any_model.config.get_text_config(decoder=True)


def run(
    model: nn.Module, tally: ForwardTally, watcher: AbstractContextManager[Any], new_tokens: int, cache: Any
) -> Any:
    """The output of one forward pass of one sequence on meta, attention tallied, under the eyes of `watcher`.

    Raises CountingError where the forward pass does not run on meta.
    """
    any_model: Any = model
    config = text_config(model)
    ALL_ATTENTION_FUNCTIONS.register(NAME, tally.attend)
    if getattr(config, "index_topk", None):  # an indexer masks its own scores, so it needs a mask to be there
        ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, _open_mask)
    top_k = getattr(config, "num_experts_per_tok", 0) or 0
    try:
        any_model.set_attn_implementation(NAME)
        with torch.device("meta"), torch.no_grad(), _one_expert(model, top_k), watcher:
            return any_model(**_inputs(config, new_tokens, cache))
    except Exception as error:
        first = str(error).strip().splitlines()[0][:160] if str(error).strip() else ""
        raise CountingError(f"its forward pass does not run on meta: {type(error).__name__}: {first}") from error
    finally:
        ALL_MASK_ATTENTION_FUNCTIONS._global_mapping.pop(NAME, None)


def _open_mask(batch_size: int, q_length: int, kv_length: int, **rest: Any) -> torch.Tensor:
    return torch.ones(batch_size, 1, q_length, kv_length, dtype=torch.bool)


def _inputs(config: Any, tokens: int, cache: Any) -> dict[str, Any]:
    found = {"input_ids": torch.zeros(1, tokens, dtype=torch.long), "use_cache": True}
    if getattr(config, "model_type", "") in ("mamba", "mamba2", "falcon_mamba"):
        return found | ({"cache_params": cache} if cache is not None else {})
    if config.is_encoder_decoder:
        return found | {"decoder_input_ids": torch.zeros(1, tokens, dtype=torch.long), "use_cache": False}
    if cache is None and getattr(config, "model_type", "") == "minimax":  # it makes a cache of a class of its own
        return found
    return found | {"past_key_values": DynamicCache(config=config) if cache is None else cache}


def cache_of(output: Any) -> Any:
    """The cache that a forward pass leaves; None where it keeps none."""
    return getattr(output, "past_key_values", None) or getattr(output, "cache_params", None)


@contextmanager
def _one_expert(model: nn.Module, top_k: int) -> Iterator[None]:
    """Every module that holds experts sends its rows through the first expert only."""
    replaced = [module for module in model.modules() if _product(module) or _is_gating(module)]
    for module in replaced:
        module.forward = _gate(module) if _is_gating(module) else _through_one(module, top_k)
    warn = PreTrainedModel.warn_if_padding_and_no_attention_mask  # looks at values, which meta tensors have not
    PreTrainedModel.warn_if_padding_and_no_attention_mask = lambda *args: None
    checks = torch.distributions.Distribution._validate_args  # gemma-3n builds one in its forward pass
    torch.distributions.Distribution.set_default_validate_args(False)
    autocast = torch.autocast  # refuses the meta device; transformers 4 switches it off around rotary embeddings
    torch.autocast = lambda *args, **kwargs: nullcontext()
    try:
        yield
    finally:
        torch.autocast = autocast
        torch.distributions.Distribution.set_default_validate_args(checks)
        PreTrainedModel.warn_if_padding_and_no_attention_mask = warn
        for module in replaced:
            del module.forward


def _product(module: nn.Module) -> Any:
    """A function that multiplies rows with the first expert of `module`; None where it holds no experts."""
    any_module: Any = module
    own = dict(module.named_parameters(recurse=False))
    up = next((own[name] for name in ("gate_up_proj", "up_proj") if name in own), None)
    if up is not None and up.dim() == 3 and "down_proj" in own:
        transposed = bool(getattr(module, "is_transposed", up.shape[1] == own["down_proj"].shape[2]))
        return lambda rows: _stacked(rows, up[0], own["down_proj"][0], transposed)
    if hasattr(getattr(module, "mlp", None), "v1") and hasattr(module, "ffn_hidden_size"):
        width = any_module.ffn_hidden_size
        return lambda rows: [torch.mm(rows, tensor[:width].t()) for tensor in any_module.mlp.parameters()]
    if type(module).__name__.endswith("Experts") and not own and isinstance(module, nn.ModuleDict | nn.ModuleList):
        return next(iter(module.children()))
    return None


def _stacked(rows: torch.Tensor, up: torch.Tensor, down: torch.Tensor, transposed: bool) -> None:
    up, down = (up, down) if transposed else (up.t(), down.t())
    hidden = torch.mm(rows, up)
    torch.mm(hidden[:, : down.shape[0]], down)


def _through_one(module: nn.Module, top_k: int) -> Any:
    product = _product(module)
    own = [tensor for tensor in module.parameters() if tensor.dim() == 3]

    def forward(hidden: torch.Tensor, index: Any = None, *rest: Any, **more: Any) -> torch.Tensor:
        flat = hidden.reshape(-1, hidden.shape[-1])
        index = more.get("router_indices", index)
        # Llama 4 passes its rows once for every expert, and no choice: transformers computes them all, engines do not
        if isinstance(module, nn.ModuleDict):  # Switch: one expert per token, chosen by a mask over all of them
            count = flat.shape[0]
        else:
            count = index.numel() if isinstance(index, torch.Tensor) else flat.shape[0] // own[0].shape[0] * top_k
        product(flat[:1].expand(count, -1))
        return torch.zeros_like(hidden)

    return forward


def _is_gating(module: nn.Module) -> bool:
    return type(module).__name__ == "JetMoeTopKGating"


def _gate(module: nn.Module) -> Any:
    """JetMoE's router, which asks for the number of rows of each expert: all go to the first."""
    any_module: Any = module

    def forward(hidden: torch.Tensor) -> Any:
        rows = hidden.shape[0] * any_module.top_k
        places, sizes = torch.zeros(rows, dtype=torch.long), [rows] + [0] * (any_module.num_experts - 1)
        return places, places, hidden.new_zeros(rows), sizes, any_module.layer(hidden).float()

    return forward


def _by_module(model: nn.Module, rule: Rule, counter: FlopCounterMode, repeats: Repeats) -> Counted:
    """The counter's inclusive figures as figures of each module alone, put into components."""
    totals = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}
    root = type(model).__name__
    modules = {(f"{root}.{name}" if name else root): (name, module) for name, module in model.named_modules()}
    own = {name: totals.get(name, 0) for name in modules}
    for name in modules:
        parent = name.rpartition(".")[0]
        while parent and parent not in totals:
            parent = parent.rpartition(".")[0]
        if parent and name in totals:
            own[parent] -= totals.get(name, 0)
    found = Counted()
    for full, flops in own.items():
        name, module = modules[full]
        if not flops or "Rotary" in type(module).__name__:  # transformers 4 multiplies positions with frequencies
            continue
        if zero := getattr(module, "zero_expert_num", 0):  # rows for experts that compute nothing, evenly chosen
            experts: Any = module
            matrix, all_experts = flops // 3, experts.num_routed_experts + zero
            flops = sum(each * experts.num_routed_experts // all_experts for each in (2 * matrix, matrix))
        flops *= repeats.of(name)
        component = _component(name, module, rule)
        if isinstance(module, nn.Conv1d):
            found.state_updates += flops  # most mixers convolve without calling the module: compared for none
        elif component is None or (component == "state_space" and not isinstance(module, nn.Linear)):
            found.add_unweighted(module, flops)
        else:
            found.weights[component] = found.weights.get(component, 0) + flops
    return found


def _component(name: str, module: nn.Module, rule: Rule) -> Component | None:
    """The component of what a module multiplies by itself: with its own matrices, or a router's with its child's."""
    if _product(module):
        return "routed_experts"
    recurse = "Router" in type(module).__name__
    matrices = [key for key, tensor in module.named_parameters(recurse=recurse) if tensor.dim() >= 2]
    return rule.component(f"{name}.{matrices[0]}") if matrices else None
