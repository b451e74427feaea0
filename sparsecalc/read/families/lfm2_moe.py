"""LFM2-8B-A1B: LFM2's mixers; num_dense_layers leading dense MLPs, experts in the other layers."""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, Body, body, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.recurrent import lfm2_layer_types, lfm2_mixers, lfm2_tie


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    config.ignore("use_expert_bias", "theta")
    full, conv = lfm2_mixers(config, hidden)
    kinds = lfm2_layer_types(config, count)
    if kinds is None:
        config.refuse("layer_types is missing", "An lfm2_moe config needs it: conv or full_attention for each layer")
    dense_layers = config.size("num_dense_layers", zero=True)
    dense = mlp(hidden, config.size("intermediate_size", required=dense_layers > 0))
    moe = Moe(
        hidden_size=hidden,
        num_experts=config.size("num_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("moe_intermediate_size", required=True),
    )
    layers = [
        Layer(
            mixers=(full if kind == FULL else conv,),
            feed_forwards=(dense if index < dense_layers else moe,),
            norms=norms(hidden),
        )
        for index, kind in enumerate(kinds)
    ]
    return body(config, layers, hidden=hidden, tied=lfm2_tie(config))
