"""Phi-3.5-MoE: experts in every layer, LayerNorms with bias, optional biases of attention and LM head."""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, norms
from sparsecalc.read.fields import Fields

PICKED = 2


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    bias = config.flag("attention_bias")
    window = config.optional_size("sliding_window")
    top_k = config.size("num_experts_per_tok", required=True)
    if top_k != PICKED:
        config.refuse(f"num_experts_per_tok is {top_k}", f"Phi-3.5-MoE's router (SparseMixer) always picks {PICKED}")
    moe = Moe(
        hidden_size=hidden,
        num_experts=config.size("num_local_experts", required=True),
        num_experts_per_tok=top_k,
        moe_intermediate_size=config.size("intermediate_size", required=True),
    )
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=bias, o_bias=bias, sliding_window=window),),
        feed_forwards=(moe,),
        norms=norms(hidden, bias=True),
    )
    head_bias = config.flag("lm_head_bias")
    return body(config, [layer] * config.layers(), hidden=hidden, norm_bias=True, head_bias=head_bias)
