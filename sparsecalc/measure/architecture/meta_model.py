"""A model's real architecture as transformers builds it, on the meta device: every tensor, and no storage."""

import copy
import warnings
from typing import Any

import torch
import transformers
from torch import nn
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from sparsecalc.core.errors import InputError, reason_of
from sparsecalc.measure.architecture.text_part import TextPart, text_class
from sparsecalc.read.config import ALIASES, TEXT_PARTS

LARGEST_REAL = 2**24
"""Elements that may have real storage when a class is built on meta."""


def meta_model(config: dict[str, Any]) -> nn.Module:
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
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tensors without elements
            model = _built(_config(str(model_type), fields), fields)
    except Exception as error:
        text = f"transformers {transformers.__version__} cannot build this {model_type}: {reason_of(error)}"
        raise InputError(text) from error
    _drop_storage(model, str(model_type))
    _drop_zero_experts(model)
    return model.eval().requires_grad_(False)


def _config(model_type: str, fields: dict[str, Any]) -> Any:
    """The config object; of a flat config whose sizes a multimodal class leaves aside, that of its text part."""
    whole: Any = CONFIG_MAPPING[model_type](**fields)
    text = whole.get_text_config(decoder=True)
    if text is whole or any(fields.get(key) for key in TEXT_PARTS):
        return whole
    sizes = {key: value for key, value in fields.items() if type(value) is int}
    left_aside = any(getattr(text, key, value) != value for key, value in sizes.items())
    return type(text)(**fields) if left_aside else whole


def _built(config: Any, given: dict[str, Any]) -> nn.Module:
    """The module tree of a model's text decoder; of an encoder-decoder, all of it."""
    if config.is_encoder_decoder and type(config) not in AutoModelForSeq2SeqLM._model_mapping:
        return _from_config(AutoModelForCausalLM, config)  # of speech: the decoder alone
    if config.is_encoder_decoder:
        return _with_own_head(_from_config(AutoModelForSeq2SeqLM, config), config, given)
    text = config.get_text_config(decoder=True)
    body: Any = text_class(text)
    if body is None:
        return _from_config(AutoModelForCausalLM, text)
    text.tie_word_embeddings = _tied(config, text, given)
    return TextPart(body._from_config(text, dtype=torch.bfloat16), text)


def _with_own_head(model: nn.Module, config: Any, given: dict[str, Any]) -> nn.Module:
    """T5 1.1: the class ties its LM head whatever the config says; checkpoints hold their own, which loading keeps."""
    if given.get("tie_word_embeddings") is False and config.tie_word_embeddings:
        any_model: Any = model
        head = any_model.get_output_embeddings()
        head.weight = nn.Parameter(torch.empty_like(head.weight), requires_grad=False)
    return model


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
