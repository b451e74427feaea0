"""GLM-5: DeepSeek-V3.2's attention with other sizes; layers may reuse the selection of an earlier layer's indexer."""

from sparsecalc.core.text import brief
from sparsecalc.read.attention import indexed_attention
from sparsecalc.read.build import Body
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import indexed_moe_body
from sparsecalc.read.vendor_keys import note_mtp

FULL, SHARED = "full", "shared"


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    config.ignore("index_share_for_mtp_iteration")
    own = indexed_attention(config, hidden)
    shared = own.but(index_n_heads=0, index_head_dim=0)
    note_mtp(config)
    return indexed_moe_body(config, hidden, [own if kind == FULL else shared for kind in _indexer_types(config, count)])


def _indexer_types(config: Fields, count: int) -> list[str]:
    """Which layers run an indexer of their own: a list, a pattern such as FSS, or a frequency and an offset."""
    given = config.per_layer("indexer_types", count, (FULL, SHARED))
    pattern = config.raw("index_topk_pattern")
    every = max(config.size("index_topk_freq", default=1, zero=True), 1)
    offset = config.size("index_skip_topk_offset", default=2, zero=True)
    if given is None and isinstance(pattern, list):
        given = config.per_layer("index_topk_pattern", count, (FULL, SHARED))
    if given is None and pattern is not None:
        if not isinstance(pattern, str) or len(pattern) < count or not set(pattern) <= set("FS"):
            config.refuse(f"index_topk_pattern is {brief(pattern)}", "It needs F or S for every layer")
        given = [FULL if letter == "F" else SHARED for letter in pattern[:count]]
    if given is None:
        given = [SHARED if max(index - offset + 1, 0) % every else FULL for index in range(count)]
    if given[0] != FULL:
        config.refuse("the first layer shares an indexer, but there is none before it")
    return given
