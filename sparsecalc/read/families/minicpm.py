"""MiniCPM 1, 2 and 4, MiniCPM-MoE: Llama's layers with scaled activations, experts where num_experts is given.

Not part of transformers: the architecture is that of OpenBMB's published model code.
"""

from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms, without
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, width = config.size("hidden_size", required=True), config.size("intermediate_size", required=True)
    without(config, "mlp_bias")
    config.ignore("mup_denominator")
    if config.raw("sparse_config"):
        config.note("sparse-attention", "sparse_config: attention is counted over the whole context, not its selection")
    bias, experts = config.flag("attention_bias"), config.optional_size("num_experts", zero=True)
    feed_forward: DenseMlp | Moe = mlp(hidden, width)
    if experts:
        feed_forward = Moe(
            hidden_size=hidden,
            num_experts=experts,
            num_experts_per_tok=config.size("num_experts_per_tok", required=True),
            moe_intermediate_size=width,
        )
    config.ignore("num_experts_per_tok")
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=bias, o_bias=bias),),
        feed_forwards=(feed_forward,),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
