"""GLM-4.7-Flash: DeepSeek-V3's layers; the first layer is dense unless mlp_layer_types says otherwise."""

from sparsecalc.read.attention import latent_attention
from sparsecalc.read.build import Body, fixed
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_by_type, dense_or_moe_body, routed_and_shared_experts
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    mixers = [latent_attention(config, hidden)] * count
    note_mtp(config)
    fixed(config, moe_layer_freq=1)
    if not config.has("mlp_layer_types"):
        fixed(config, first_k_dense_replace=1)
    config.ignore("first_k_dense_replace")
    is_dense = dense_by_type(config, count, [index == 0 for index in range(count)])
    return dense_or_moe_body(config, hidden, mixers, routed_and_shared_experts(config, hidden), is_dense)
