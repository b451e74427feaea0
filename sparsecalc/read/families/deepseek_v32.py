"""DeepSeek-V3.2: V3 with a sparse indexer (DSA) that picks index_topk past tokens for each query."""

from sparsecalc.model.latent import Mla
from sparsecalc.read.build import Body, fixed
from sparsecalc.read.families.deepseek_v3 import (
    deepseek_body,
    deepseek_moe,
    dense_by_type,
    latent_attention,
    leading_dense,
    note_mtp,
)
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    return sparse_body(config, hidden, [indexed_attention(config, hidden)] * count)


def indexed_attention(config: Fields, hidden: int) -> Mla:
    """Latent attention with an indexer of its own."""
    sizes = {key: config.size(key) for key in ("index_n_heads", "index_head_dim", "index_topk")}
    return latent_attention(config, hidden, **sizes)


def sparse_body(config: Fields, hidden: int, mixers: list[Mla]) -> Body:
    """The layers of V3 around these mixers; layer_types only names the kind of cache."""
    fixed(config, mlp_bias=False)
    config.ignore("layer_types")
    note_mtp(config)
    is_dense = dense_by_type(config, len(mixers), leading_dense(config, len(mixers)))
    return deepseek_body(config, hidden, mixers, deepseek_moe(config, hidden), is_dense)
