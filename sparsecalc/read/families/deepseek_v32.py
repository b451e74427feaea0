"""DeepSeek-V3.2: V3 with a sparse indexer (DSA) that picks index_topk past tokens for each query."""

from sparsecalc.read.attention import indexed_attention
from sparsecalc.read.build import Body
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import indexed_moe_body
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    note_mtp(config)
    return indexed_moe_body(config, hidden, [indexed_attention(config, hidden)] * count)
