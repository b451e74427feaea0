"""Skywork-MoE 146B (remote code): Mixtral's structure with 16 experts, two for each token.

Not in transformers. num_experts is a list with one number for all layers.
"""

from sparsecalc.core.text import brief
from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, norms
from sparsecalc.read.fields import Fields, whole


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    config.ignore("moe_use_skywork_gating", "moe_2layer_gate", "moe_use_logits_norm", "moe_gate_norm_std")
    config.ignore("moe_feature_no_mul_topk", "moe_expert_layer_offset", "num_experts")
    moe = Moe(
        hidden_size=hidden,
        num_experts=_experts(config),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("intermediate_size", required=True),
    )
    layer = Layer(mixers=(attention(config, hidden),), feed_forwards=(moe,), norms=norms(hidden))
    return body(config, [layer] * config.layers(), hidden=hidden)


def _experts(config: Fields) -> int:
    value = config.raw("num_experts")
    value = value[0] if isinstance(value, list) and len(set(map(str, value))) == 1 else value
    value = whole(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        config.refuse(f"num_experts is {brief(value)}", "It needs one positive number for all layers")
    return value
