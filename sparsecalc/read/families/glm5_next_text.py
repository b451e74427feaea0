"""GLM-5.3-Flash: Kimi Delta Attention, in every fourth layer latent attention whose indexer picks pools of keys;
experts beside a shared one, and hyper-connections around each."""

from sparsecalc.model.latent import Mla
from sparsecalc.model.recurrent import GatedDeltaNet
from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import OWN_INDEXER, indexed_attention, indexer_types
from sparsecalc.read.build import FULL, Body, body, fixed, mlp, norms
from sparsecalc.read.connections import hyper_connection
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_by_type, leading_dense, routed_and_shared_experts
from sparsecalc.read.recurrent import LINEAR, kimi_delta_attention
from sparsecalc.read.vendor_keys import note_mtp

INDEXED = ("indexed_attention", "deepseek_sparse_attention", FULL)


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    streams, mixers = config.size("hc_mult"), _mixers(config, hidden, count)
    default = leading_dense(config, count) if config.has("first_k_dense_replace") else [at < 3 for at in range(count)]
    is_dense = dense_by_type(config, count, default)
    moe = routed_and_shared_experts(config, hidden)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    fixed(config, mhc=True, index_kpool_compress=True)
    config.ignore("swiglu_limit", "hc_eps", "hc_sinkhorn_iters", "linear_lower_bound", "index_share_for_mtp_iteration")
    config.ignore("moe_router_dtype", "mla_use_nope")
    note_mtp(config)
    layers = [
        Layer(
            mixers=(mixer,),
            feed_forwards=(dense if plain else moe,),
            norms=norms(hidden),
            extras=(*hyper_connection("attn_hc", hidden, streams), *hyper_connection("ffn_hc", hidden, streams)),
        )
        for mixer, plain in zip(mixers, is_dense, strict=True)
    ]
    return body(config, layers, hidden=hidden)


def _mixers(config: Fields, hidden: int, count: int) -> list[Mla | GatedDeltaNet]:
    """One mixer per layer: layer_types, or latent attention at the end of each four; indexers as in GLM-5."""
    nested = config.part("linear_attn_config")
    nested.ignore("full_attn_layers", "kda_layers", "gate_lower_bound", "safe_gate")
    linear = kimi_delta_attention(config, nested, hidden)
    pool = config.size("index_kpool")
    own = indexed_attention(config, hidden).but(
        index_kpool=pool, index_tail=config.flag("index_kpool_always_select_tail")
    )
    if own.q_lora_rank is None:
        config.refuse("q_lora_rank is null, which the indexer needs")
    if config.size("index_topk") % pool:
        config.refuse(f"index_topk ({own.index_topk}) is not a multiple of index_kpool ({pool})")
    shared = own.but(index_n_heads=0, index_head_dim=0)
    kinds = config.per_layer("layer_types", count, (LINEAR, *INDEXED))
    kinds = kinds or [LINEAR if index % 4 != 3 else FULL for index in range(count)]
    indexers = indexer_types(config, count)
    return [
        linear if kind == LINEAR else own if indexer == OWN_INDEXER else shared
        for kind, indexer in zip(kinds, indexers, strict=True)
    ]
