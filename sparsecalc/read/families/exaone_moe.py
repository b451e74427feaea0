"""K-EXAONE: EXAONE 4's attention, leading dense layers, experts beside shared ones in the others."""

from sparsecalc.read.attention import normed_attention, window_pattern
from sparsecalc.read.build import Body, fixed
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_by_type, dense_or_moe_body, leading_dense, routed_and_shared_experts
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    mixer = normed_attention(config, hidden)
    mixers = [mixer.but(sliding_window=window) for window in window_pattern(config, count)]
    moe = routed_and_shared_experts(config, hidden, experts="num_experts", shared="num_shared_experts")
    note_mtp(config)
    is_dense = dense_by_type(config, count, leading_dense(config, count))
    fixed(config, is_moe_layer=[not dense for dense in is_dense], first_last_k_dense_replace=sum(is_dense))
    return dense_or_moe_body(config, hidden, mixers, moe, is_dense)
