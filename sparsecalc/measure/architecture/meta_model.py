"""Build a model's real architecture on the meta device, and put every one of its tensors into a component."""

import copy
import re
import warnings
from collections.abc import Iterator
from typing import Any

import torch
import transformers
from torch import nn
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from sparsecalc.core.components import COMPONENTS, Component
from sparsecalc.core.errors import InputError
from sparsecalc.measure.architecture.text_part import TextPart, text_class
from sparsecalc.read.config import ALIASES, TEXT_PARTS

_EXPERTS = re.compile(r"(^|\.)experts(\.|$)")
_BESIDE_EXPERTS = re.compile(r"experts\.(router\.|bias$)")
_SHARED = re.compile(r"(^|\.)(shared_experts?|shared_mlp|shared_expert_gate)(\.|$)")
_ROUTER = re.compile(r"(^|\.)(gate|router|wg|classifier|moe_statics|expert_bias)(\.|$)")
LARGEST_REAL = 2**24
"""Elements that may have real storage when a class is built on meta."""
RECURRENT = re.compile(
    r"Mamba|DeltaNet|DeltaAttention|Lightning|ShortConv|Rwkv\w*Attention|RecurrentBlock|Rglru|KimiLinearDelta|Mixer2?$|KDA"
)
ATTENTION = re.compile(r"Attention|Attn|MLA$|Compressor|Indexer")
_MLP = re.compile(r"M[lL][pP]|FeedForward|FFN|Ffn|DenseActDense|DenseGatedActDense")


def build(config: dict[str, Any]) -> nn.Module:
    """The architecture that transformers builds from `config`, with no storage behind its tensors.

    Raises InputError where transformers has no such model_type or rejects the config.
    """
    fields = copy.deepcopy(config)
    model_type = fields.pop("model_type", None)
    while model_type not in CONFIG_MAPPING and (key := next((k for k in TEXT_PARTS if fields.get(k)), None)):
        fields = {"model_type": model_type, **fields[key]}  # a multimodal model that only its own code builds
        model_type = fields.pop("model_type")
    if model_type not in CONFIG_MAPPING:
        model_type = ALIASES.get(model_type, model_type)
    if model_type not in CONFIG_MAPPING:
        why = "; its config names code in its repository (auto_map), which is never run" * ("auto_map" in config)
        raise InputError(f"transformers {transformers.__version__} has no model_type {model_type!r}{why}")
    try:
        parsed = CONFIG_MAPPING[model_type](**fields)
        text = parsed if parsed.is_encoder_decoder else parsed.get_text_config(decoder=True)
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tensors without elements
            auto = AutoModelForSeq2SeqLM if parsed.is_encoder_decoder else AutoModelForCausalLM
            found = None if parsed.is_encoder_decoder else text_class(text)
            if found is None:
                model: nn.Module = _from_config(auto, text)
            else:
                text.tie_word_embeddings = _tied(parsed, text, fields)
                model = TextPart(found._from_config(text, dtype=torch.bfloat16), text)
    except Exception as error:
        first = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        raise InputError(f"transformers {transformers.__version__} cannot build this {model_type}: {first}") from error
    _drop_storage(model, str(model_type))
    _drop_zero_experts(model)
    return model.eval().requires_grad_(False)


def _tied(whole: Any, text: Any, given: dict[str, Any]) -> bool:
    """Whether a multimodal model's LM head is its input table: as the text part's config says, or else the whole's."""
    inner: dict[str, Any] = next((given[key] for key in TEXT_PARTS if isinstance(given.get(key), dict)), {})
    return bool(
        text.tie_word_embeddings if "tie_word_embeddings" in inner else getattr(whole, "tie_word_embeddings", False)
    )


def _drop_storage(model: nn.Module, model_type: str) -> None:
    """Move the few parameters that a class fills by itself (DiffLlama's lambdas) to meta; refuse more than a few."""
    real = {id(tensor): tensor for tensor in model.parameters() if tensor.device.type != "meta"}
    if sum(tensor.numel() for tensor in real.values()) > LARGEST_REAL:
        raise InputError(f"{model_type}: a tensor has real storage; not a meta model")
    moved = {key: nn.Parameter(tensor.to("meta"), requires_grad=False) for key, tensor in real.items()}
    for module in model.modules():
        for name, tensor in module._parameters.items():
            module._parameters[name] = moved.get(id(tensor), tensor)


def _from_config(auto: Any, config: Any) -> nn.Module:
    """The module tree. transformers 4 would draw initial values for every tensor, minutes for many experts."""
    if int(transformers.__version__.partition(".")[0]) >= 5:
        return auto.from_config(config, dtype=torch.bfloat16)
    with transformers.modeling_utils.no_init_weights():
        model = auto.from_config(config, dtype=torch.bfloat16)
        model.tie_weights()
        return model


def _drop_zero_experts(model: nn.Module) -> None:
    """transformers allocates maps for experts that have no weights in any checkpoint (LongCat-Flash): cut them off."""
    for module in model.modules():
        if getattr(module, "zero_expert_num", 0) and "gate_up_proj" in module._parameters:
            experts: Any = module
            experts.gate_up_proj = nn.Parameter(experts.gate_up_proj[: experts.num_routed_experts])


def _parallel(module: nn.Module) -> bool:
    """Whether the module holds experts without being named so (JetMoe, Granite before transformers 5)."""
    return "ParallelExperts" in type(module).__name__ and any(tensor.numel() for tensor in module.parameters())


class Rule:
    """Which component a tensor belongs to, from its name and the classes of the modules that own it."""

    def __init__(self, model: nn.Module) -> None:
        any_model: Any = model
        self.modules = dict(model.named_modules())
        self.embedding, self.head = any_model.get_input_embeddings(), any_model.get_output_embeddings()
        self.sparse = any(_EXPERTS.search(name) or _parallel(module) for name, module in self.modules.items())
        """Without routed experts, a "shared" MLP is the layer's dense one (Granite 4)."""
        self.prefix = re.sub(r"(For\w+|LMHeadModel|Model)$", "", type(model).__name__)

    def stored_as(self, name: str, tensor: torch.Tensor) -> Component:
        """`component`, where a tied table is the embedding's, whichever of its two names comes first (RoBERTa)."""
        found = self.component(name)
        table = getattr(self.embedding, "weight", None)
        return "embedding" if found == "lm_head" and tensor is table else found

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
        if (_EXPERTS.search(name) and not _BESIDE_EXPERTS.search(name)) or _parallel(owner):
            return "routed_experts"
        if "Norm" in type(owner).__name__ or "layernorm" in owner_name:
            return "norm"
        return self._by_ancestors(name, owner_name)

    def _by_ancestors(self, name: str, owner_name: str) -> Component:
        """The nearest module whose class, without the model's own name, tells what it is."""
        moe_router = _ROUTER.search(owner_name) or _ROUTER.search(name)
        path = owner_name
        while path:
            whole_kind = type(self.modules[path]).__name__
            kind = whole_kind.removeprefix(self.prefix)
            if moe_router and re.search(r"Router|Gate|Gating|MoE|Moe|Sparse", kind):
                return "router"
            if RECURRENT.search(kind) or whole_kind == "RwkvSelfAttention":
                return "state_space"
            if ATTENTION.search(kind):
                return "attention"
            if _MLP.search(kind) or re.search(r"\.fc[12]$", path):
                return "dense_ffn"
            path = path.rpartition(".")[0]
        return "router" if moe_router and "mlp" in name else "other"


def tensors(model: nn.Module) -> Iterator[tuple[str, int, Component]]:
    """Every distinct parameter of the model: name, elements, component."""
    rule = Rule(model)
    for name, tensor in model.named_parameters():
        yield name, tensor.numel(), rule.stored_as(name, tensor)


def by_component(model: nn.Module) -> dict[Component, int]:
    """Distinct parameters of the model, summed per component."""
    sums: dict[Component, int] = dict.fromkeys(COMPONENTS, 0)
    for _, elements, component in tensors(model):
        sums[component] += elements
    return sums


def unselected(model: nn.Module) -> int | None:
    """Elements of routed experts that one token does not use: elements * (1 - k / E), layer by layer.

    k and E are what the modules around the experts hold; None where they do not tell.
    """
    modules, left_out = dict(model.named_modules()), 0
    for name, elements, component in tensors(model):
        if ".vision_moe." in name:  # ERNIE 4.5 VL: no text token is routed there
            left_out += elements
            continue
        if component != "routed_experts":
            continue
        found = _routing(name, modules) or _config_routing(model)
        if found is None:
            return None
        top_k, experts = found
        left_out += elements - elements * min(top_k, experts) // experts
    return left_out


def routing(name: str, model: nn.Module) -> tuple[int, int] | None:
    """k and E of the routed experts' parameter `name`; None where neither modules nor config tell."""
    return _routing(name, dict(model.named_modules())) or _config_routing(model)


_TOP_K = ("top_k", "num_experts_per_tok", "moe_top_k", "topk", "num_selected_experts")
_EXPERTS_HELD = ("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts", "num_routed_experts")


def _routing(name: str, modules: dict[str, nn.Module]) -> tuple[int, int] | None:
    """k and E of the nearest module around the parameter `name` that knows them, or whose router does."""
    path, top_k, experts = name.rpartition(".")[0], None, None
    while path and (top_k is None or experts is None):
        around = [modules[path], *(child for child in modules[path].children() if not isinstance(child, nn.Linear))]
        top_k = next((k for module in around if (k := _integer(module, _TOP_K))), top_k)
        experts = next((e for module in around if (e := _integer(module, _EXPERTS_HELD))), experts)
        path = path.rpartition(".")[0]
    return (top_k, experts) if top_k and experts else None


def _config_routing(model: nn.Module) -> tuple[int, int] | None:
    """k and E of the built model's own config, where no module keeps them."""
    any_model: Any = model
    config = any_model.config.get_text_config(decoder=True)
    top_k, experts = _integer(config, (*_TOP_K, "top_k_experts")), _integer(config, _EXPERTS_HELD)
    return (top_k, experts) if top_k and experts else None


def _integer(module: Any, names: tuple[str, ...]) -> int | None:
    values = (getattr(module, name, None) for name in names)
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool) and value), None)
