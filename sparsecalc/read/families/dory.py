"""Dory: layers of nGPT between unit-norm states; those in the middle run several times, with a cache for each pass.

Source: transformers' dory; nGPT, arXiv:2410.01131.
"""

from sparsecalc.core.text import brief
from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Constants, Projection
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, every_nth_full, mlp, windows
from sparsecalc.read.fields import Fields

EVERY_PASS, LAST_PASS = "per_loop", "last_loop"


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    config.ignore("ngpt_alpha_init", "initializer_range")
    count, first, last = _sections(config)
    mixer, width = _attention(config, hidden), config.size("intermediate_size", required=True)
    dense = mlp(hidden, width, bias=config.flag("mlp_bias"))
    extras: tuple[Constants | Projection, ...] = (*_scales(mixer, width), _gate(mixer))
    found = windows(config, count, config.optional_size("sliding_window"), every_nth_full(count, 4))
    stack = [
        Layer(mixers=(mixer.but(sliding_window=window),), feed_forwards=(dense,), extras=extras) for window in found
    ]
    layers = [*stack[:last], *_more_passes(config, stack[first:last], mixer), *stack[last:]]
    return body(config, layers, hidden=hidden, final=(), head_bias=True)  # not a bias, but a scale of each logit


def _more_passes(config: Fields, looped: list[Layer], mixer: Gqa) -> list[Layer]:
    """The passes through the looped layers beyond one; each has a cache of its own, or all but the last have none."""
    mode = config.text("recurrent_kv_cache_mode")
    if mode not in (EVERY_PASS, LAST_PASS):
        config.refuse(f"recurrent_kv_cache_mode is {brief(mode)}", f"Known are {EVERY_PASS} and {LAST_PASS}")
    kept = mode == EVERY_PASS
    again = [
        layer.but(mixers=(mixer.but(sliding_window=layer.mixers[0].window, kept=kept),), reused=True)
        for layer in looped
    ]
    return again * (config.size("n_recurrent_loops") - 1)


def _sections(config: Fields) -> tuple[int, int, int]:
    """The number of layers, and where the looped ones begin and end.

    Released configs count attention and MLP as layers of their own, which layer_types then names.
    """
    kinds, count = config.sequence("layer_types"), config.layers()
    first, output = config.size("n_input_layers", zero=True), config.size("n_output_layers", zero=True)
    middle = config.optional_size("n_recurrent_layers", zero=True)
    if kinds and "mlp" in kinds:
        config.config = {**config.config, "layer_types": kinds[::2]}
        count, first, output, middle = count // 2, first // 2, output // 2, middle if middle is None else middle // 2
    middle = count - first - output if middle is None else middle
    if middle < 0 or first + middle + output != count:
        config.refuse(f"{first} input, {middle} recurrent and {output} output layers are not {count} in all")
    return count, first, first + middle


def _attention(config: Fields, hidden: int) -> Gqa:
    bias = config.flag("attention_bias")
    return attention(config, hidden, qkv_bias=bias, o_bias=bias)


def _gate(mixer: Gqa) -> Projection:
    """The gate of attention's output, one element for each of its own."""
    width = mixer.num_attention_heads * mixer.head_dim
    return Projection(name="gate_proj", component="attention", in_features=mixer.hidden_size, out_features=width)


def _scales(mixer: Gqa, width: int) -> tuple[Constants, ...]:
    """nGPT's learned scales, of queries and gate, of the MLP's two maps, and the two rates of a layer."""
    heads = mixer.num_attention_heads * mixer.head_dim
    return (
        Constants(name="sqk, s_gate", component="attention", elements=2 * heads),
        Constants(name="suv_gate, suv_up", component="dense_ffn", elements=2 * width),
        Constants(name="lambda_1, lambda_2", elements=2 * mixer.hidden_size),
    )
