"""OpenELM 270M to 3B (remote code): layers that widen, with their own heads and MLP widths, and norms over the heads.

Not in transformers. Widths are ffn_multipliers * model_dim, rounded to a multiple of ffn_dim_divisor, never down by
more than a tenth. OpenELM-1.1B so counted has the 1.08 B parameters of its paper, arXiv:2404.14619.
"""

from typing import Any

from sparsecalc.core.text import brief
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields, whole


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    config.ignore("num_gqa_groups", "qkv_multipliers", "max_context_length", "initializer_range", "rope_freq_constant")
    config.ignore("normalization_layer_name", "activation_fn_name", "rope_max_length")
    dim, gated = config.size("head_dim"), config.flag("ffn_with_glu")
    queries, keys = _each(config, "num_query_heads", count), _each(config, "num_kv_heads", count)
    norm = 2 * dim if config.flag("normalize_qk_projections") else 0
    layers = []
    for heads, kv_heads, width in zip(queries, keys, _widths(config, hidden, count), strict=True):
        if heads % kv_heads:
            config.refuse(f"num_query_heads ({heads}) is not a multiple of num_kv_heads ({kv_heads}) in a layer")
        given = {"num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": dim, "qk_norm": norm}
        mixer = attention(config, hidden, **given)
        layers.append(Layer(mixers=(mixer,), feed_forwards=(mlp(hidden, width, gated=gated),), norms=norms(hidden)))
    return body(config, layers, hidden=hidden, tied=config.flag("share_input_output_layers"))


def _each(config: Fields, key: str, count: int) -> list[int]:
    found = config.integers(key)
    if len(found) < count or min(found, default=0) < 1:
        config.refuse(f"{key} does not hold a positive number for each of the {count} layers")
    return found[:count]


def _widths(config: Fields, hidden: int, count: int) -> list[int]:
    """ffn_multipliers: one for all layers, or one for each."""
    given, divisor = config.raw("ffn_multipliers"), config.size("ffn_dim_divisor")
    each: list[Any] = given[:count] if isinstance(given, list) else [given] * count
    plausible = [not isinstance(x, bool) and isinstance(x, int | float) and 0 < x < hidden for x in each]
    if len(each) < count or not all(plausible):
        config.refuse(
            f"ffn_multipliers is {brief(given)}", f"It needs a positive number for each of the {count} layers"
        )
    widths = [max(divisor, int(x * hidden + divisor / 2) // divisor * divisor) for x in each]
    return [int(whole(w + divisor if w < 0.9 * x * hidden else w)) for w, x in zip(widths, each, strict=True)]
