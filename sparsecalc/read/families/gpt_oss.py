"""gpt-oss: biases everywhere, attention sinks, every other layer windowed, all MLPs are experts with biases."""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.read.build import FULL, SLIDING, Body, attention, body, norms, windowed_layers, windows
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    bias = config.flag("attention_bias")
    experts = config.size("num_local_experts", required=True)
    moe = Moe(
        hidden_size=hidden,
        num_experts=experts,
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("intermediate_size", required=True),
        expert_bias=True,
        router_bias=True,
    )
    config.ignore("experts_per_token")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias, sinks=True)
    default = [SLIDING if index % 2 == 0 else FULL for index in range(count)]
    layer_windows = windows(config, count, config.optional_size("sliding_window"), default)
    return body(config, windowed_layers(mixer, moe, norms(hidden), layer_windows), hidden=hidden)
