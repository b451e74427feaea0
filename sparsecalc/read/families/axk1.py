"""A.X K1: DeepSeek-V3's layers, with one more norm after the experts."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import latent_attention
from sparsecalc.read.build import Body, body, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import routed_and_shared_experts, sparse_by_frequency
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    mixer, moe = latent_attention(config, hidden), routed_and_shared_experts(config, hidden)
    note_mtp(config)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    layers = [
        Layer(
            mixers=(mixer,),
            feed_forwards=(moe if sparse else dense,),
            norms=norms(hidden, 3 if sparse else 2),
        )
        for sparse in sparse_by_frequency(config, count)
    ]
    return body(config, layers, hidden=hidden)
