"""Solar-Open-100B: GLM-4.5's layers with experts in all of them and no q/k norms."""

from sparsecalc.read.build import Body, attention, fixed
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_or_moe_body, routed_and_shared_experts
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    mixer = attention(config, hidden, qkv_bias=config.flag("attention_bias"))
    fixed(config, use_qk_norm=False, first_k_dense_replace=0)
    note_mtp(config)
    return dense_or_moe_body(
        config, hidden, [mixer] * count, routed_and_shared_experts(config, hidden), [False] * count
    )
