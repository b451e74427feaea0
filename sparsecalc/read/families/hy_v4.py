"""Hunyuan 4: latent attention with an indexer, sinks and a gate per output element, hyper-connections without mixing,
experts beside a shared one."""

from sparsecalc.model.basic_parts import Constants, Norm, Projection
from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import OWN_INDEXER, indexed_attention, indexer_types
from sparsecalc.read.build import Body, body, mlp, norms
from sparsecalc.read.connections import hyper_connection, hyper_head
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_by_type, routed_and_shared_experts
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count, streams = config.size("hidden_size", required=True), config.layers(), config.size("hc_mult")
    config.ignore("layer_types", "hc_magnitude", "hc_eps", "learnable_sink_init", "swiglu_limit", "num_key_value_heads")
    note_mtp(config)
    own = indexed_attention(config, hidden)
    if own.q_lora_rank is None:
        config.refuse("q_lora_rank is null, which the indexer needs")
    shared = own.but(index_n_heads=0, index_head_dim=0)
    heads, width = own.num_attention_heads, own.num_attention_heads * own.v_head_dim
    extras = (
        Projection(name="gate_proj", component="attention", in_features=hidden, out_features=width),
        Constants(name="sinks", component="attention", elements=heads),
        *hyper_connection("attn_hc", hidden, streams, mixes=False),
        *hyper_connection("ffn_hc", hidden, streams, mixes=False),
    )
    moe = routed_and_shared_experts(config, hidden)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    is_dense = dense_by_type(config, count, [index == 0 for index in range(count)])
    layers = [
        Layer(
            mixers=(own if kind == OWN_INDEXER else shared,),
            feed_forwards=(dense if plain else moe,),
            norms=norms(hidden),
            extras=extras,
        )
        for kind, plain in zip(indexer_types(config, count, every=4), is_dense, strict=True)
    ]
    return body(config, layers, hidden=hidden, final=(*hyper_head(hidden, streams), Norm(size=hidden)))
