"""The language model of Aria: Llama's attention, experts beside shared ones in every layer."""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, bias = config.size("hidden_size", required=True), config.flag("attention_bias")
    width = config.size("intermediate_size", required=True)
    config.ignore("moe_z_loss_coeff", "moe_aux_loss_coeff")
    moe = Moe(
        hidden_size=hidden,
        num_experts=config.size("moe_num_experts", required=True),
        num_experts_per_tok=config.size("moe_topk", required=True),
        moe_intermediate_size=width,
        shared_intermediate_size=width * config.size("moe_num_shared_experts"),
        shared_bias=config.flag("mlp_bias"),
    )
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=bias, o_bias=bias),), feed_forwards=(moe,), norms=norms(hidden)
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
