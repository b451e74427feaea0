"""Grok-1: experts in every layer and four norms per layer, input table as LM head.

Not part of transformers: the architecture is that of xAI's published model code; the total agrees with its "314B".
"""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, norms, without
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    without(config, "attention_bias", "residual_moe")
    config.ignore("attn_output_multiplier", "embedding_multiplier_scale", "max_attn_value", "output_multiplier_scale")
    moe = Moe(
        hidden_size=hidden,
        num_experts=config.size("num_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("intermediate_size", required=True),
    )
    count = config.size("norms_per_layer", default=config.defaults["norms_per_layer"])
    if count > 4:
        config.refuse(f"norms_per_layer is {count}", "Grok-1 has 4")
    layer = Layer(mixers=(attention(config, hidden),), feed_forwards=(moe,), norms=norms(hidden, count))
    return body(config, [layer] * config.layers(), hidden=hidden)
