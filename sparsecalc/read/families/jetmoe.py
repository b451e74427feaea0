"""JetMoE-8B: experts in attention (pairs of query and output maps) and in every MLP, each with its own router."""

from sparsecalc.model.basic_parts import Constants
from sparsecalc.model.expert_attention import ExpertAttention
from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, body, fixed, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, kv_heads = config.size("hidden_size", required=True), config.size("num_key_value_heads", required=True)
    experts, top_k = config.size("num_local_experts", required=True), config.size("num_experts_per_tok", required=True)
    fixed(config, num_attention_heads=kv_heads * top_k, bias=True, glu=True)
    config.ignore("norm_topk_prob", "moe_top_k")
    mixer = ExpertAttention(
        hidden_size=hidden,
        num_experts=experts,
        num_experts_per_tok=top_k,
        num_key_value_heads=kv_heads,
        head_dim=config.size("kv_channels"),
    )
    moe = Moe(
        hidden_size=hidden,
        num_experts=experts,
        num_experts_per_tok=top_k,
        moe_intermediate_size=config.size("intermediate_size", required=True),
    )
    bias = Constants(name="mlp.bias", elements=hidden)
    layer = Layer(mixers=(mixer,), feed_forwards=(moe,), norms=norms(hidden), extras=(bias,))
    return body(config, [layer] * config.layers(), hidden=hidden)
