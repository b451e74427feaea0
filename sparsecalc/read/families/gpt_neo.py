"""GPT-Neo: full ("global") and windowed ("local") layers by attention_types, learned positions."""

from typing import Any

from sparsecalc.model.basic_parts import Table
from sparsecalc.read.build import FULL, SLIDING, Body, attention, body, mlp, norms, windowed_layers
from sparsecalc.read.fields import Fields

KINDS = {"global": FULL, "local": SLIDING}


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    heads = config.size("num_heads", required=True)
    count = config.layers("num_layers")
    dim = config.head_dim(hidden, heads)
    mixer = attention(config, hidden, num_attention_heads=heads, num_key_value_heads=heads, head_dim=dim, o_bias=True)
    dense = mlp(hidden, config.optional_size("intermediate_size") or 4 * hidden, bias=True, gated=False)
    window = config.size("window_size")
    found = [window if kind == "local" else None for kind in _kinds(config, count)]
    positions = Table(name="wpe", rows=config.size("max_position_embeddings"), size=hidden)
    layers = windowed_layers(mixer, dense, norms(hidden, bias=True), found)
    return body(config, layers, hidden=hidden, norm_bias=True, tables=(positions,))


def _kinds(config: Fields, count: int) -> list[str]:
    """attention_types holds pairs of a pattern and how often it repeats."""
    config.ignore("attention_layers", "embed_dropout", "resid_dropout")
    found: list[str] = []
    pairs: Any = config.sequence("attention_types")
    if pairs is None:
        config.refuse("attention_types is missing", "GPT-Neo needs it, for example [[['global', 'local'], 12]]")
    for pair in pairs:
        if not (isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], list) and isinstance(pair[1], int)):
            config.refuse("attention_types must hold pairs of a list and a number")
        found += pair[0] * min(pair[1], count)
    if len(found) != count or not all(isinstance(kind, str) and kind in KINDS for kind in found):
        config.refuse(f"attention_types does not name global or local for each of the {count} layers")
    return found
