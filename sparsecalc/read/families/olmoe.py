"""OLMoE: experts in every layer, norms over all queries and all keys of a token."""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import wide_qk_norm_attention
from sparsecalc.read.build import Body, body, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    moe = Moe(
        hidden_size=hidden,
        num_experts=config.size("num_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("intermediate_size", required=True),
    )
    layer = Layer(mixers=(wide_qk_norm_attention(config, hidden),), feed_forwards=(moe,), norms=norms(hidden))
    return body(config, [layer] * config.layers(), hidden=hidden)
