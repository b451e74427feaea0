"""Domyn Edge (vLLM's DomynEdgeForCausalLM): four norms per layer, a window and a head size for each, norms over heads.

Not in transformers: formula; no published config was at hand, and the model_type is taken from the file's name. The
norm over queries has no gain; window_sizes counts the keys before a token, 0 or less: all.
"""

from typing import Any

from sparsecalc.core.text import brief
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    config.ignore("position_layers", "head_dim")
    heads, kv_heads = config.heads()
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    layers = []
    for dim, window in zip(_head_dims(config, hidden // heads, count), _windows(config, count), strict=True):
        given: dict[str, Any] = {"head_dim": dim, "qk_norm": dim, "sliding_window": window}
        mixer = attention(config, hidden, num_attention_heads=heads, num_key_value_heads=kv_heads, **given)
        layers.append(Layer(mixers=(mixer,), feed_forwards=(dense,), norms=norms(hidden, 4)))
    return body(config, layers, hidden=hidden)


def _head_dims(config: Fields, usual: int, count: int) -> list[int]:
    """per_layer_config's head_dim, as a list or by the layer's number; else the config's."""
    usual = config.optional_size("head_dim") or usual
    given = config.raw("per_layer_config", default=None) or {}
    each = dict(enumerate(given)) if isinstance(given, list) else given
    if not isinstance(each, dict):
        config.refuse(f"per_layer_config is {brief(given)}", "It needs an object for each layer")
    found = [each.get(index, each.get(str(index))) or {} for index in range(count)]
    dims = [part.get("head_dim", usual) if isinstance(part, dict) else None for part in found]
    if not all(type(dim) is int and dim > 0 for dim in dims):
        config.refuse("per_layer_config holds a layer whose head_dim is not a positive integer")
    return [int(dim) for dim in dims if dim]


def _windows(config: Fields, count: int) -> list[int | None]:
    given = config.sequence("window_sizes") or [[0, 0]] * count
    firsts = [each[0] if isinstance(each, list) and each else each for each in given]
    if len(firsts) < count or not all(type(first) is int for first in firsts[:count]):
        config.refuse(f"window_sizes does not hold a pair of integers for each of the {count} layers")
    return [first + 1 if first > 0 else None for first in firsts[:count]]
