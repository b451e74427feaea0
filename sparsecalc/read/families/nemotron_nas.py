"""Llama-Nemotron Super and Ultra (DeciLM, remote code): Llama's layers, each with its own heads and width, or without.

Not part of transformers: the architecture is that of NVIDIA's published model code. block_configs says of each layer
how many query heads share a key-value head (n_heads_in_group), and how wide the MLP is: 2 / 3 of ffn_mult * hidden
size, rounded up to 256. A part that is `no_op` is left out together with its norm.
"""

from typing import Any

from sparsecalc.core.text import brief
from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Norm, Projection
from sparsecalc.model.feed_forward import DenseMlp
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp
from sparsecalc.read.fields import Fields

MULTIPLE = 256


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    config.ignore("intermediate_size", "num_key_value_heads")
    blocks = config.sequence("block_configs") or []
    if len(blocks) != count:
        config.refuse(f"block_configs has {len(blocks)} entries for {count} layers", "Each layer needs its own")
    heads = config.size("num_attention_heads", required=True)
    layers = [_layer(config, hidden, heads, block) for block in blocks]
    return body(config, layers, hidden=hidden)


def _layer(config: Fields, hidden: int, heads: int, block: Any) -> Layer:
    mixers: tuple[Gqa, ...] = ()
    extras: tuple[Projection, ...] = ()
    dense: tuple[DenseMlp, ...] = ()
    norms: tuple[Norm, ...] = ()
    part = _part(config, block, "attention")
    if not part.get("no_op"):
        norms += (Norm(name="input_layernorm", size=hidden),)
        if part.get("replace_with_linear"):
            extras += (Projection(name="linear_attn", component="attention", in_features=hidden, out_features=hidden),)
        else:
            mixers += (_attention(config, hidden, heads, part),)
    part = _part(config, block, "ffn")
    if not part.get("no_op"):
        norms += (Norm(name="post_attention_layernorm", size=hidden),)
        if part.get("replace_with_linear"):
            extras += (Projection(name="linear_mlp", component="dense_ffn", in_features=hidden, out_features=hidden),)
        else:
            dense += (mlp(hidden, _width(config, hidden, part.get("ffn_mult")), bias=config.flag("mlp_bias")),)
    return Layer(mixers=mixers, feed_forwards=dense, norms=norms, extras=extras)


def _part(config: Fields, block: Any, key: str) -> dict[str, Any]:
    found = block.get(key) if isinstance(block, dict) else None
    if not isinstance(found, dict):
        config.refuse(f"block_configs holds a layer without {key}", "Each layer needs attention and ffn")
    if found.get("sparsify") or found.get("num_sink_tokens"):
        config.note("unread-keys", f"block_configs: sparsify or num_sink_tokens of {key} may change a cost")
    return found


def _attention(config: Fields, hidden: int, heads: int, part: dict[str, Any]) -> Gqa:
    group, window, bias = part.get("n_heads_in_group"), part.get("window_length"), config.flag("attention_bias")
    if isinstance(group, bool) or not isinstance(group, int) or group < 1 or heads % group:
        config.refuse(f"n_heads_in_group is {brief(group)}, which does not divide the {heads} heads")
    if window is not None and (isinstance(window, bool) or not isinstance(window, int) or window < 1):
        config.refuse(f"window_length is {brief(window)}, not a positive integer")
    return attention(
        config,
        hidden,
        num_attention_heads=heads,
        num_key_value_heads=heads // group,
        sliding_window=window,
        qkv_bias=bias,
        o_bias=bias,
    )


def _width(config: Fields, hidden: int, multiplier: Any) -> int:
    if isinstance(multiplier, bool) or not isinstance(multiplier, int | float) or not 0 < multiplier < hidden:
        config.refuse(f"ffn_mult is {brief(multiplier)}, not a positive number")
    width = int(2 * multiplier * hidden / 3)
    return -(-width // MULTIPLE) * MULTIPLE
