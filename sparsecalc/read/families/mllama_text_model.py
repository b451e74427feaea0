"""Llama 3.2 Vision: Llama's layers, between them layers that attend to an image, which a text alone passes by.

Such a layer is cross-attention with norms over the heads of queries and keys, an MLP, and a gate of one element for
each. Without an image transformers skips it and caches nothing for it, and so do these counts; a note tells what an
image adds. Source: transformers' mllama; The Llama 3 Herd of Models, arXiv:2407.21783, section 7.2.
"""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Constants
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.class_constants import class_constants
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    config.ignore("dropout")
    mixer = attention(config, hidden)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    own = Layer(mixers=(mixer,), feed_forwards=(dense,), norms=norms(hidden))
    cross = Layer(
        mixers=(mixer.but(name="cross_attn", key_value="cross", qk_norm=2 * mixer.head_dim),),
        feed_forwards=(dense,),
        norms=norms(hidden),
        extras=(Constants(name="cross_attn_gates", component="attention", elements=2),),
        idle=True,
    )
    given, fixed = config.has("cross_attention_layers"), class_constants("mllama_text_model")
    places = set(config.integers("cross_attention_layers") if given else fixed["cross_attention_layers"]) & set(
        range(count)
    )
    config.ignore("cross_attention_layers")
    _note_images(config, mixer, len(places))
    found = body(config, [cross if index in places else own for index in range(count)], hidden=hidden)
    found.tables = (found.tables[0].but(rows=found.vocab_size + fixed["image_rows"]),)
    if found.head and found.tie_word_embeddings:
        found.head = found.head.but(out_features=found.tables[0].rows)
    return found


def _note_images(config: Fields, mixer: Gqa, layers: int) -> None:
    """What one token of an image adds to the cache."""
    each = layers * 2 * mixer.num_key_value_heads * mixer.head_dim
    text = f"counted for text alone: without an image its {layers} cross-attention layers are stored but not run"
    config.note("text-alone", f"{text}; each vision token of an image adds {each:,} elements of keys and values")
