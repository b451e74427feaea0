"""Grok-2: Grok-1's layers with a dense MLP beside the experts, and an LM head of its own.

Its config has the model_type of another architecture, git. Not part of transformers: the architecture is that which
SGLang 0.5.23 serves (grok.py); the total agrees with the published "270B".
"""

from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms, without
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    without(config, "attention_bias")
    config.ignore("attn_output_multiplier", "embedding_multiplier_scale", "output_multiplier_scale")
    config.ignore("attn_temperature_len", "sliding_window_size", "global_attn_every_n", "scaling_factor")
    config.ignore("extrapolation_factor", "attn_factor", "beta_fast", "beta_slow", "router_logit_softcapping")
    moe = Moe(
        hidden_size=hidden,
        num_experts=config.size("num_local_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("moe_intermediate_size", required=True),
    )
    feed_forwards: tuple[DenseMlp | Moe, ...] = (moe,)
    if config.flag("residual_moe"):
        feed_forwards = (mlp(hidden, config.size("intermediate_size", required=True)), moe)
    config.ignore("intermediate_size")
    layer = Layer(mixers=(attention(config, hidden),), feed_forwards=feed_forwards, norms=norms(hidden, 4))
    return body(config, [layer] * config.layers(), hidden=hidden)
