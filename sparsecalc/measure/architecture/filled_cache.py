"""A cache that already holds a context, so that a decode step can be run again and again."""

from collections.abc import Callable
from typing import Any

import torch
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from sparsecalc.measure.architecture.model_inputs import cache_of, model_inputs

SEED_TOKENS = 4
"""Length of the prompt from which a cache's shapes and states are taken."""
_GROWN = (
    "DynamicLayer",
    "DynamicSlidingWindowLayer",
    "DynamicIndexedLayer",
    "LinearAttentionLayer",
    "LinearAttentionAndFullAttentionLayer",
    "LinearAttentionAndSlidingWindowAttentionLayer",
)
"""Classes of layers whose keys and values can simply be made longer; of others, the whole context is computed."""


class FilledLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of a context whose last place is written anew by every step, as engines do, without a copy."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.keys, self.values = keys, values
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """The whole context, the last place overwritten."""
        self.keys[..., -1:, :].copy_(key_states)
        self.values[..., -1:, :].copy_(value_states)
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Tokens before the step."""
        return self.keys.shape[-2] - 1


class FilledSlidingLayer(FilledLayer, DynamicSlidingWindowLayer):  # type: ignore[misc]
    """The same for a window, of which `past` tokens may have been forgotten."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, sliding_window: int, past: int) -> None:
        DynamicSlidingWindowLayer.__init__(self, sliding_window=sliding_window)
        self.keys, self.values, self.cumulative_length = keys, values, past
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True

    def get_seq_length(self) -> int:
        """Tokens before the step, forgotten ones too."""
        return int(self.cumulative_length)


def empty_cache(model: Any, batch_size: int, device: torch.device) -> tuple[Any, Callable[[], None]]:
    """A cache that holds nothing, but whose tensors are there, as graphs need them; and a function that empties it.

    None where the architecture's own cache cannot be emptied so.
    """
    cache = cache_of(model(**model_inputs(model, batch_size, SEED_TOKENS, device)))
    layers = getattr(cache, "layers", [])
    if not layers or any(type(layer).__name__ not in _GROWN for layer in layers):
        return None, lambda: None
    for layer in layers:
        for name in ("keys", "values", "indexer_keys"):
            if getattr(layer, name, None) is not None:
                setattr(layer, name, getattr(layer, name)[..., :0, :])
        if hasattr(layer, "cumulative_length"):
            layer.cumulative_length = 0
        if hasattr(layer, "has_previous_state"):
            layer.has_previous_state = _never(layer.has_previous_state)
    return cache, _reset(cache)


def _never(states: Any) -> Any:
    """The same flags, all unset."""
    if isinstance(states, dict):
        return dict.fromkeys(states, False)
    return [False] * len(states) if isinstance(states, list) else False


def filled_cache(model: Any, batch_size: int, past: int, device: torch.device) -> tuple[Any, Callable[[], None]]:
    """A cache that holds `past` tokens of each sequence, and a function that sets it back after a step.

    None where the architecture keeps no cache that can be passed on.
    """
    cache = cache_of(model(**model_inputs(model, batch_size, min(past, SEED_TOKENS), device)))
    if cache is None:
        return None, lambda: None
    layers = getattr(cache, "layers", [])
    if past > SEED_TOKENS and all(type(layer).__name__ in _GROWN for layer in layers):
        for place, layer in enumerate(layers):
            layers[place] = _grown(layer, past)
    elif past > SEED_TOKENS:
        cache = cache_of(model(**model_inputs(model, batch_size, past, device)))
    return cache, _reset(cache)


def _grown(layer: Any, past: int) -> Any:
    """The layer with random keys and values for `past` tokens; states stay as the short prompt left them."""
    if type(layer) is DynamicLayer and layer.is_initialized:
        return FilledLayer(_random(layer.keys, past + 1), _random(layer.values, past + 1))
    if type(layer) is DynamicSlidingWindowLayer and layer.is_initialized:
        length = min(past, layer.sliding_window - 1) + 1
        keys, values = _random(layer.keys, length), _random(layer.values, length)
        return FilledSlidingLayer(keys, values, layer.sliding_window, past)
    if getattr(layer, "keys", None) is not None and layer.keys.numel():
        window = getattr(layer, "sliding_window", None)
        length = min(past, window - 1) if window else past
        layer.keys, layer.values = _random(layer.keys, length), _random(layer.values, length)
        if window:
            layer.cumulative_length = past
    if getattr(layer, "indexer_keys", None) is not None:
        layer.indexer_keys = _random(layer.indexer_keys, past)
    return layer


def _random(like: torch.Tensor, length: int) -> torch.Tensor:
    return torch.randn(*like.shape[:-2], length, like.shape[-1], device=like.device).to(like.dtype)


def _reset(cache: Any) -> Callable[[], None]:
    """A function that gives a cache the tensors back that it has now; what is written in place stays written."""
    holders = [cache, *getattr(cache, "layers", [])]
    saved = [(holder, {key: _copied(value) for key, value in vars(holder).items()}) for holder in holders]

    def reset() -> None:
        for holder, values in saved:
            vars(holder).update({key: _copied(value) for key, value in values.items()})

    return reset


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, list | dict) else value
