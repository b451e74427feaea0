"""GLM-5: DeepSeek-V3.2's attention with other sizes; layers may reuse the selection of an earlier layer's indexer."""

from sparsecalc.read.build import Body
from sparsecalc.read.families.deepseek_v3 import deepseek_body, deepseek_moe, latent_attention
from sparsecalc.read.families.deepseek_v32 import indexer
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    own = latent_attention(config, hidden, **indexer(config))
    shared = own.but(index_n_heads=0, index_head_dim=0)
    config.ignore("layer_types", "head_dim", "qk_head_dim", "indexer_rope_interleave", "num_experts")
    mixers = [own if kind == "full" else shared for kind in _indexer_types(config, count)]
    bias = config.flag("mlp_bias")
    return deepseek_body(config, hidden, mixers, deepseek_moe(config, hidden), mlp_bias=bias)


def _indexer_types(config: Fields, count: int) -> list[str]:
    """Which layers run an indexer of their own: a list, a pattern such as FSS, or a frequency and an offset."""
    given = config.per_layer("indexer_types", count, ("full", "shared"))
    pattern = config.raw("index_topk_pattern")
    every = max(config.size("index_topk_freq", default=1, zero=True), 1)
    offset = config.size("index_skip_topk_offset", default=2, zero=True)
    if given:
        return given
    if isinstance(pattern, str) and len(pattern) >= count and set(pattern) <= set("FS"):
        return ["full" if letter == "F" else "shared" for letter in pattern[:count]]
    if pattern is not None:
        config.refuse("index_topk_pattern is not a string of F and S for every layer")
    return ["full" if max(index - offset + 1, 0) % every == 0 else "shared" for index in range(count)]
