"""Which component of a model each of its real tensors belongs to."""

import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from sparsecalc.core.components import COMPONENTS, Component

_EXPERTS = re.compile(r"(^|\.)experts(\.|$)")
_BESIDE_EXPERTS = re.compile(r"experts\.(router\.|bias$|\w+_norm\.)")
_SHARED = re.compile(r"(^|\.)(shared_experts?|shared_mlp|shared_expert_gate)(\.|$)")
_ROUTER = re.compile(r"(^|\.)(gate|router|wg|classifier|moe_statics|expert_bias)(\.|$)")
RECURRENT = re.compile(
    r"Mamba|DeltaNet|DeltaAttention|Lightning|ShortConv|Rwkv\w*Attention|RecurrentBlock|Rglru|KimiLinearDelta|LinearAttention|Mixer2?$|KDA|xLSTM(Layer|Backend)"
)
"""Classes of recurrent mixers, by their names."""
ATTENTION = re.compile(r"Attention|Attn|MLA$|Compressor|Indexer")
"""Classes of attention, by their names."""
_MLP = re.compile(r"M[lL][pP]|FeedForward|FFN|Ffn|DenseActDense|DenseGatedActDense")


def _parallel(module: nn.Module) -> bool:
    """Whether the module holds experts without being named so (JetMoe, Granite before transformers 5)."""
    return "ParallelExperts" in type(module).__name__ and any(tensor.numel() for tensor in module.parameters())


class TensorComponents:
    """Components of the parameters of one model, from their names and the classes of the modules that own them."""

    def __init__(self, model: nn.Module) -> None:
        any_model: Any = model
        self.modules = dict(model.named_modules())
        self.embedding, self.head = any_model.get_input_embeddings(), any_model.get_output_embeddings()
        self.sparse = any(_EXPERTS.search(name) or _parallel(module) for name, module in self.modules.items())
        """Without routed experts, a "shared" MLP is the layer's dense one (Granite 4)."""
        self.prefix = re.sub(r"(For\w+|LMHeadModel|Model)$", "", type(model).__name__)

    def stored_as(self, name: str, tensor: torch.Tensor) -> Component:
        """`component`, where a tied table is the embedding's, whichever of its two names comes first (RoBERTa)."""
        component = self.component(name)
        table = getattr(self.embedding, "weight", None)
        return "embedding" if component == "lm_head" and tensor is table else component

    def component(self, name: str) -> Component:
        """The component of the parameter `name`."""
        owner_name = name.rpartition(".")[0]
        owner = self.modules[owner_name]
        if owner is self.embedding or (isinstance(owner, nn.Embedding) and "relative_attention_bias" not in name):
            return "embedding"
        if owner is self.head:
            return "lm_head"
        if self.sparse and _SHARED.search(name):
            return "shared_experts"
        if _EXPERTS.search(name) and "Norm" in type(owner).__name__:
            return "norm"
        if (_EXPERTS.search(name) and not _BESIDE_EXPERTS.search(name)) or _parallel(owner):
            return "routed_experts"
        if "Norm" in type(owner).__name__ or "layernorm" in owner_name:
            return "norm"
        return self._by_ancestors(name, owner_name)

    def _by_ancestors(self, name: str, owner_name: str) -> Component:
        """The nearest module whose class, without the model's own name, tells what it is."""
        moe_router = _ROUTER.search(owner_name) or _ROUTER.search(name)
        path = owner_name
        if moe_router and self._inside_router(owner_name):
            return "router"
        while path:
            whole_kind = type(self.modules[path]).__name__
            kind = whole_kind.removeprefix(self.prefix)
            if moe_router and re.search(r"Router|(?<!Residual)Gate|Gating|MoE|Moe|Sparse", kind):
                return "router"
            if RECURRENT.search(kind) or whole_kind in ("RwkvSelfAttention", "xLSTMLayer"):
                return "state_space"
            if ATTENTION.search(kind):
                return "attention"
            if _MLP.search(kind) or re.search(r"\.fc[12]$", path):
                return "dense_ffn"
            path = path.rpartition(".")[0]
        return "router" if moe_router and "mlp" in name else "other"

    def _inside_router(self, path: str) -> bool:
        """Whether the module or one around it is a router, whatever it is made of (ZAYA's has an MLP)."""
        while path:
            if "Router" in type(self.modules[path]).__name__.removeprefix(self.prefix):
                return True
            path = path.rpartition(".")[0]
        return False


def tensors(model: nn.Module) -> Iterator[tuple[str, int, Component]]:
    """Every distinct parameter of the model: name, elements, component."""
    components = TensorComponents(model)
    for name, tensor in model.named_parameters():
        yield name, tensor.numel(), components.stored_as(name, tensor)


def by_component(model: nn.Module) -> dict[Component, int]:
    """Distinct parameters of the model, summed per component."""
    sums: dict[Component, int] = dict.fromkeys(COMPONENTS, 0)
    for _, elements, component in tensors(model):
        sums[component] += elements
    return sums
