"""What a real model's forward pass is called with, and the cache that it leaves."""

import inspect
from typing import Any

import torch
from transformers import DynamicCache


def text_config(model: Any) -> Any:
    """The config of the model's text decoder."""
    return model.config.get_text_config(decoder=True)


def model_inputs(model: Any, batch_size: int, tokens: int, device: torch.device, cache: Any = None) -> dict[str, Any]:
    """Arguments of a forward pass over random tokens; a new cache where none is given. Logits: of the last token."""
    ids = torch.randint(0, text_config(model).vocab_size, (batch_size, tokens), device=device)
    arguments: dict[str, Any] = {"input_ids": ids, "use_cache": True}
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        arguments["logits_to_keep"] = 1
    return arguments | cache_argument(model, cache)


def cache_argument(model: Any, cache: Any = None) -> dict[str, Any]:
    """The argument that hands over a cache, a new one where none is given; empty where the model makes its own."""
    config = text_config(model)
    if "cache_params" in inspect.signature(model.forward).parameters:
        return {"cache_params": cache} if cache is not None else {}
    if cache is None and config.model_type in ("minimax", "whisper"):  # a cache of a class of its own
        return {}
    return {"past_key_values": DynamicCache(config=config) if cache is None else cache}


def cache_of(output: Any) -> Any:
    """The cache that a forward pass leaves; None where it keeps none."""
    return getattr(output, "past_key_values", None) or getattr(output, "cache_params", None)
