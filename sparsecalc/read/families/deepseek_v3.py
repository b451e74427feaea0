"""DeepSeek-V3 and R1, Kimi K2, Moonlight: latent attention, leading dense layers, shared and routed experts."""

from typing import TYPE_CHECKING

from sparsecalc.read.attention import latent_attention
from sparsecalc.read.build import Body
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_or_moe_body, leading_dense, routed_and_shared_experts
from sparsecalc.read.vendor_keys import note_mtp

if TYPE_CHECKING:
    pass


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    mixers = [latent_attention(config, hidden)] * count
    note_mtp(config)
    return dense_or_moe_body(
        config, hidden, mixers, routed_and_shared_experts(config, hidden), leading_dense(config, count)
    )
