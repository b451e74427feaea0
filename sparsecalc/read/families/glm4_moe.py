"""GLM-4.5 and 4.6: grouped-query attention, q/k norms where use_qk_norm, leading dense layers, a shared expert."""

from sparsecalc.read.build import Body, attention
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_or_moe_body, leading_dense, routed_and_shared_experts
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    mixer = attention(config, hidden, qkv_bias=config.flag("attention_bias"))
    mixer = mixer.but(qk_norm=2 * mixer.head_dim if config.flag("use_qk_norm") else 0)
    note_mtp(config)
    return dense_or_moe_body(
        config, hidden, [mixer] * count, routed_and_shared_experts(config, hidden), leading_dense(config, count)
    )
