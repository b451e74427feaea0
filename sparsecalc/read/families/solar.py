"""Solar Pro (vLLM's and SGLang's SolarForCausalLM): Llama's layers, with skip connections that cost nothing.

Not in transformers. solar-pro-preview so counted has its published 22.1 B parameters.
"""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    config.ignore("bskcn_1", "bskcn_2", "bskcn_3", "bskcn_4", "bskcn_tv", "sliding_window")
    bias = config.flag("attention_bias") or config.flag("bias", default=False)
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=bias, o_bias=bias),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True), bias=config.flag("mlp_bias")),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
