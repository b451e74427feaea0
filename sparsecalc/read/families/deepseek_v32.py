"""DeepSeek-V3.2: V3 with a sparse indexer (DSA) that picks index_topk past tokens for each query."""

from sparsecalc.read.build import Body
from sparsecalc.read.families.deepseek_v3 import deepseek_body, deepseek_moe, latent_attention
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    mixer = latent_attention(config, hidden, **indexer(config))
    config.ignore("layer_types", "head_dim", "indexer_types", "qk_head_dim", "num_experts")
    bias = config.flag("mlp_bias")
    return deepseek_body(config, hidden, mixer, deepseek_moe(config, hidden), mlp_bias=bias)


def indexer(config: Fields) -> dict[str, int]:
    """The indexer's sizes, as fields of `Mla`."""
    return {key: config.size(key) for key in ("index_n_heads", "index_head_dim", "index_topk")}
