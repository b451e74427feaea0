"""Dots 3 Note: latent attention with a gate per head, an indexer in some layers and in the others a window and sizes of
their own; leading dense layers, experts beside shared ones."""

from typing import Any

from sparsecalc.model.basic_parts import Norm, Projection
from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.latent import Mla
from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import indexed_attention
from sparsecalc.read.build import FULL, SLIDING, Body, body, mlp, norms
from sparsecalc.read.class_constants import class_constants
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_by_type
from sparsecalc.read.vendor_keys import note_mtp

INDEXED = "indexed_attention"


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    config.ignore("swa_num_key_value_heads", "swa_rope_theta", "moe_shared_expert_intermediate_size")
    note_mtp(config)
    own = indexed_attention(config, hidden)
    dense, moe = mlp(hidden, config.size("intermediate_size", required=True)), _experts(config, hidden)
    layers = []
    for index, (kind, plain) in enumerate(zip(_kinds(config, count), _dense(config, count), strict=True)):
        mixer = _mixer(config, own, kind, index)
        gate = Projection(
            name="g_proj", component="attention", in_features=hidden, out_features=mixer.num_attention_heads
        )
        layers.append(
            Layer(
                mixers=(mixer,),
                feed_forwards=(dense if plain else moe,),
                norms=(*norms(hidden), Norm(name="k_rope_only_layernorm", size=mixer.qk_rope_head_dim)),
                extras=(gate,),
            )
        )
    return body(config, layers, hidden=hidden)


def _mixer(config: Fields, own: Mla, kind: str, index: int) -> Mla:
    if kind == INDEXED:
        return own
    plain = own.but(index_n_heads=0, index_head_dim=0, index_topk=None)
    if kind == FULL:
        return plain
    listed = config.raw("per_layer_config", default=None)
    given: dict[str, Any] = listed.get(str(index), {}) if isinstance(listed, dict) else {}
    fixed = class_constants("dots3_note_text")
    sizes = {
        key: given[key] if type(given.get(key)) is int else config.size(f"swa_{key}", default=default)
        for key, default in fixed["sizes"].items()
    }
    head_dim = given.get("head_dim") or config.size("swa_head_dim", default=fixed["head_dim"])
    rope = given.get("qk_rope_head_dim") or config.optional_size("swa_qk_rope_head_dim", default=None)
    window = config.optional_size("sliding_window") or config.size(
        "sliding_window_size", default=fixed["sliding_window"]
    )
    return plain.but(**sizes, qk_rope_head_dim=rope or head_dim - sizes["qk_nope_head_dim"], sliding_window=window)


def _experts(config: Fields, hidden: int) -> Moe:
    shared = config.raw("moe_shared_expert_intermediate_size", default=None)
    width = shared if type(shared) is int else config.size("shared_experts_intermediate_size")
    config.ignore("shared_experts_intermediate_size")
    return Moe(
        hidden_size=hidden,
        num_experts=config.size("n_routed_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("moe_intermediate_size", required=True),
        shared_intermediate_size=width * config.size("n_shared_experts"),
    )


def _kinds(config: Fields, count: int) -> list[str]:
    """layer_types, or windows but in the first two layers and every fourth; full layers have an indexer by use_dsa."""
    indexes = config.raw("use_dsa", default=None if config.has("per_layer_config") else True)
    windowed = config.flag("use_sliding_window", default=True)
    default = [FULL if not windowed or at < 2 or at % 4 == 1 else SLIDING for at in range(count)]
    kinds = config.per_layer("layer_types", count, (SLIDING, FULL, INDEXED))
    if kinds is None:
        return [INDEXED if kind == FULL and indexes is not False else kind for kind in default]
    if indexes is None:
        return kinds
    old, new = (FULL, INDEXED) if indexes else (INDEXED, FULL)
    return [new if kind == old else kind for kind in kinds]


def _dense(config: Fields, count: int) -> list[bool]:
    """mlp_layer_types, or experts from first_k_dense_replace on where moe_layer_freq, a number or a list, says so."""
    first, every = config.size("first_k_dense_replace", default=1, zero=True), config.raw("moe_layer_freq", default=1)
    if isinstance(every, list) and len(every) < count:
        config.refuse(f"moe_layer_freq has {len(every)} entries for {count} layers")
    step = 1 if isinstance(every, list) else config.size("moe_layer_freq", default=1)
    sparse = [bool(every[at]) if isinstance(every, list) else at % step == 0 for at in range(count)]
    return dense_by_type(config, count, [at < first or not sparse[at] for at in range(count)])
