"""Muse Glimmer: attention with a gate per output element and norms without gains, windows with a full layer after each
three, counted from the last, four norms in each layer."""

from sparsecalc.model.basic_parts import Projection
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, SLIDING, Body, attention, body, mlp, norms, windows
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count, bias = config.size("hidden_size", required=True), config.layers(), config.flag("attention_bias")
    config.ignore("layer_rope_theta", "qk_scale_factor", "output_multiplier", "post_norm_eps")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    width = mixer.num_attention_heads * mixer.head_dim
    gate = Projection(name="gate_proj", component="attention", in_features=hidden, out_features=width)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    default = [SLIDING if (count - 1 - index) % 4 else FULL for index in range(count)]
    layers = [
        Layer(
            mixers=(mixer.but(sliding_window=window),),
            feed_forwards=(dense,),
            norms=norms(hidden, 4),
            extras=(gate,),
        )
        for window in windows(config, count, config.optional_size("sliding_window"), default)
    ]
    return body(config, layers, hidden=hidden)
