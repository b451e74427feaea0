"""MiniMax-M3: norms over the heads of queries and keys, blocks of keys that an indexer picks, experts with a shared
one.

A prediction layer has sparse attention and experts wherever it stands (vLLM 0.33.0, minimax_m3/nvidia/mtp.py).
"""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.block_sparse import BlockSparseAttention
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import normed_attention
from sparsecalc.read.build import FULL, Body, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_by_type, local_experts
from sparsecalc.read.prediction_layers import count_mtp, mtp_steps

SPARSE = "minimax_m3_sparse"
OLDER_NAMES = {
    "index_n_heads": "sparse_num_index_heads",
    "index_head_dim": "sparse_index_dim",
    "index_block_size": "sparse_block_size",
    "index_topk_blocks": "sparse_topk_blocks",
}
"""The released configs' sparse_attention_config, which wins over the flat keys."""


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    full = normed_attention(config, hidden)
    older = config.part("sparse_attention_config") if config.has("sparse_attention_config") else None
    kinds = _kinds(config, older, count)
    mixers: dict[str, Gqa | BlockSparseAttention] = {FULL: full, SPARSE: _block_sparse(config, older, full)}
    fixed(config, attention_output_gate=False, use_qk_norm=True, qk_norm_type="per_head", n_shared_experts=1)
    config.ignore("use_gemma_norm", "use_routing_bias", "swiglu_alpha", "swiglu_limit", "rotary_dim")
    config.ignore("scoring_func", "routed_scaling_factor", "index_local_blocks", "first_k_dense_replace")
    config.ignore("num_nextn_predict_layers", "moe_intermediate_size")
    layers = [
        Layer(mixers=(mixers[kind],), feed_forwards=(feed_forward,), norms=norms(hidden))
        for kind, feed_forward in zip(kinds, _feed_forwards(config, hidden, count), strict=True)
    ]
    step = Layer(mixers=(mixers[SPARSE],), feed_forwards=(_experts(config, hidden),), norms=norms(hidden))
    count_mtp(config, [[step]] * mtp_steps(config, "num_mtp_modules"), hidden)
    return body(config, layers, hidden=hidden)


def _kinds(config: Fields, older: Fields | None, count: int) -> list[str]:
    """layer_types, or sparse where sparse_attention_freq has a 1."""
    kinds = config.per_layer("layer_types", count, (FULL, SPARSE))
    places = older.integers("sparse_attention_freq") if older else []
    if kinds is None and places:
        kinds = [SPARSE if place else FULL for place in places[:count]]
    kinds = kinds or [FULL] * count
    if len(kinds) < count:
        config.refuse(f"sparse_attention_freq has {len(kinds)} entries for {count} layers")
    return kinds


def _block_sparse(config: Fields, older: Fields | None, full: Gqa) -> BlockSparseAttention:
    """The attention of the sparse layers."""
    sizes = {key: config.size(key) for key in OLDER_NAMES}
    if older:
        sizes |= {key: older.size(name) for key, name in OLDER_NAMES.items() if older.has(name)}
        for key in OLDER_NAMES:
            config.defaulted.pop(key, None)
        older.ignore("sparse_local_block", "sparse_init_block", "sparse_score_type", "use_sparse_attention")
        older.ignore("sparse_disable_index_value")
    return BlockSparseAttention(
        hidden_size=full.hidden_size,
        num_attention_heads=full.num_attention_heads,
        num_key_value_heads=full.num_key_value_heads,
        head_dim=full.head_dim,
        **sizes,  # type: ignore[arg-type]
    )


def _feed_forwards(config: Fields, hidden: int, count: int) -> list[DenseMlp | Moe]:
    """Experts where mlp_layer_types or moe_layer_freq says so (a layer without an entry has them), else a dense MLP."""
    places = config.integers("moe_layer_freq") if isinstance(config.raw("moe_layer_freq", default=None), list) else []
    if places and len(places) < count:
        config.refuse(f"moe_layer_freq has {len(places)} entries for {count} layers")
    dense = mlp(hidden, config.size("dense_intermediate_size"))
    moe = _experts(config, hidden)
    is_dense = dense_by_type(config, count, [not place for place in places[:count]] or [False] * count)
    return [dense if plain else moe for plain in is_dense]


def _experts(config: Fields, hidden: int) -> Moe:
    return local_experts(config, hidden, shared=config.size("shared_intermediate_size"))
