"""GLM-5: DeepSeek-V3.2's attention with other sizes; layers may reuse the selection of an earlier layer's indexer."""

from sparsecalc.read.attention import OWN_INDEXER, indexed_attention, indexer_types
from sparsecalc.read.build import Body
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import indexed_moe_body
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    config.ignore("index_share_for_mtp_iteration")
    own = indexed_attention(config, hidden)
    shared = own.but(index_n_heads=0, index_head_dim=0)
    note_mtp(config)
    return indexed_moe_body(
        config, hidden, [own if kind == OWN_INDEXER else shared for kind in indexer_types(config, count)]
    )
