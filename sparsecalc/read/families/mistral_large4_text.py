"""Mistral Large 4: latent attention with an indexer, whose latents several layers may share, rotary in most layers;
leading dense layers, experts beside a shared one."""

from sparsecalc.model.basic_parts import Constants, Norm
from sparsecalc.model.latent import Mla
from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import OWN_INDEXER, indexed_attention, indexer_types
from sparsecalc.read.build import Body, body, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_by_type, leading_dense, routed_and_shared_experts
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    config.ignore("layer_types", "q_lora_rank", "kv_sharing_modes")
    note_mtp(config)
    own = indexed_attention(config, hidden).but(q_lora_rank=None)
    moe = routed_and_shared_experts(config, hidden)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    is_dense = dense_by_type(config, count, leading_dense(config, count))
    scaling = Constants(name="softmax_scaling", component="attention", elements=2 * own.num_attention_heads)
    index_norm = Norm(name="indexer.q_input_norm", size=hidden, bias=True)
    index_scaling = Constants(name="indexer.softmax_scaling", component="attention", elements=2 * own.index_n_heads)
    layers = []
    for indexer, shared, rotary, plain in zip(
        indexer_types(config, count), _shared(config, count), _rotary(config, count), is_dense, strict=True
    ):
        indexes = indexer == OWN_INDEXER
        layers.append(
            Layer(
                mixers=(_mixer(own, indexes, shared, rotary),),
                feed_forwards=(dense if plain else moe,),
                norms=(*norms(hidden), *((index_norm,) if indexes else ())),
                extras=(scaling, *((index_scaling,) if indexes else ())),
            )
        )
    learned = Constants(name="rotary_emb.alpha", elements=own.qk_rope_head_dim // 2)
    return body(config, layers, hidden=hidden, final=(learned, Norm(size=hidden)))


def _mixer(own: Mla, indexes: bool, shared: bool, rotary: bool) -> Mla:
    """Without rotary positions their channels are plain ones."""
    if not rotary:
        own = own.but(qk_nope_head_dim=own.qk_nope_head_dim + own.qk_rope_head_dim, qk_rope_head_dim=0)
    if not indexes:
        own = own.but(index_n_heads=0, index_head_dim=0)
    return own.but(kv_shared=shared)


def _shared(config: Fields, count: int) -> list[bool]:
    """Whether a layer takes the latents of another, which kv_source_layers names."""
    sources = config.integers("kv_source_layers") or list(range(count))
    if len(sources) < count:
        config.refuse(f"kv_source_layers has {len(sources)} entries for {count} layers")
    return [source != index for index, source in enumerate(sources[:count])]


def _rotary(config: Fields, count: int) -> list[bool]:
    """no_rope_layers has a 1 where there are rotary positions, by default but for every fourth layer."""
    every = config.size("no_rope_layer_interval", default=4)
    given = config.integers("no_rope_layers") or [int((index + 1) % every != 0) for index in range(count)]
    if len(given) < count:
        config.refuse(f"no_rope_layers has {len(given)} entries for {count} layers")
    return [bool(each) for each in given[:count]]
