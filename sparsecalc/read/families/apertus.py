"""Apertus: norms over queries and keys, and a plain MLP whose xIELU activation has two parameters."""

from sparsecalc.model.basic_parts import Constants
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms, without
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    without(config, "mlp_bias", "post_norm")
    config.ignore("qk_norm")
    bias = config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    learned = config.text("hidden_act") == "xielu"
    layer = Layer(
        mixers=(mixer.but(qk_norm=2 * mixer.head_dim),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True), gated=False),),
        norms=norms(hidden),
        extras=(Constants(name="act_fn.alpha", component="dense_ffn", elements=2),) if learned else (),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
