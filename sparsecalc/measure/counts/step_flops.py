"""FLOPs of a forward pass on the meta device, by component. torch's FlopCounterMode counts every matrix product."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sparsecalc.core.components import Component
from sparsecalc.measure.architecture.attention_tally import AttentionTally
from sparsecalc.measure.architecture.indexer_pools import gate_flops
from sparsecalc.measure.architecture.meta_pass import run_on_meta
from sparsecalc.measure.architecture.model_inputs import cache_of, text_config
from sparsecalc.measure.architecture.single_expert import expert_product
from sparsecalc.measure.architecture.tensor_components import ATTENTION, RECURRENT, TensorComponents
from sparsecalc.measure.counts.alike_layers import repeated_layers


@dataclass
class StepFlops:
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


def count_step(
    model: nn.Module, components: TensorComponents, new_tokens: int, past: int = 0, cache: Any = None
) -> tuple[StepFlops, Any]:
    """FLOPs of a step of one sequence, `new_tokens` after `past` that `cache` holds; and the cache that it leaves.

    Raises CountingError where the forward pass does not run on meta.
    """
    tally = AttentionTally(text_config(model), past)
    counter = FlopCounterMode(display=False)
    with repeated_layers(model, text_config(model), tally) as repeats:
        output = run_on_meta(model, tally, counter, new_tokens, cache)
    step = StepFlops(attention=tally.flops)
    for name, module, flops in _own_flops(model, counter):
        if flops and "Rotary" not in type(module).__name__:  # transformers 4 multiplies positions with frequencies
            gate = int(repeats.of(name) * gate_flops(module, new_tokens))
            step.weights["attention"] = step.weights.get("attention", 0) + gate
            _add(step, name, module, int(repeats.of(name) * _of_real_experts(module, flops)) - gate, components)
    if not past:
        step.weights["attention"] = step.weights.get("attention", 0) - _of_zeros(model)
    return step, cache_of(output)


def _of_zeros(model: nn.Module) -> int:
    """What a first step multiplies with rows of zeros: ZAYA's delayed values of the token before the first."""
    delayed = [getattr(module, "v_proj_delayed", None) for module in model.modules()]
    return sum(2 * layer.weight.numel() for layer in delayed if isinstance(layer, nn.Linear))


def _own_flops(model: nn.Module, counter: FlopCounterMode) -> Iterator[tuple[str, nn.Module, int]]:
    """The counter's figures, which include a module's children, as figures of each module alone."""
    totals = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}
    root = type(model).__name__
    modules = {(f"{root}.{name}" if name else root): (name, module) for name, module in model.named_modules()}
    own = {name: totals.get(name, 0) for name in modules}
    for name in modules:
        parent = name.rpartition(".")[0]
        while parent and parent not in totals:
            parent = parent.rpartition(".")[0]
        if parent and name in totals:
            own[parent] -= totals[name]
    for full_name, flops in own.items():
        yield *modules[full_name], flops


def _of_real_experts(module: nn.Module, flops: int) -> int:
    """Without the rows that go to zero-compute experts, evenly chosen: of two matrices together, then of one."""
    zero_experts: int = getattr(module, "zero_expert_num", 0)
    if not zero_experts:
        return flops
    experts: Any = module
    matrix, every = flops // 3, experts.num_routed_experts + zero_experts
    return sum(each * experts.num_routed_experts // every for each in (2 * matrix, matrix))


def _add(step: StepFlops, name: str, module: nn.Module, flops: int, components: TensorComponents) -> None:
    """Add what one module multiplies by itself to the figure that it belongs to."""
    component = _component(name, module, components)
    if isinstance(module, nn.Conv1d):
        step.state_updates += flops  # most mixers convolve without calling the module: compared for none
    elif component is None or (component == "state_space" and not isinstance(module, nn.Linear)):
        step.add_unweighted(module, flops)
    else:
        step.weights[component] = step.weights.get(component, 0) + flops


def _component(name: str, module: nn.Module, components: TensorComponents) -> Component | None:
    """The component of what a module multiplies by itself: with its own matrices, or a router's with its child's."""
    if expert_product(module):
        return "routed_experts"
    if gate_flops(module, 1):  # what it multiplies beside its gate is scores
        return None
    recurse = "Router" in type(module).__name__
    matrices = [key for key, tensor in module.named_parameters(recurse=recurse) if tensor.dim() >= 2]
    return components.component(f"{name}.{matrices[0]}") if matrices else None
