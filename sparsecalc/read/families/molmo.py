"""Molmo (7B-D on Qwen2, 7B-O on OLMo): the language model of the original multimodal config, which is flat.

Not part of transformers: the architecture is that which vLLM 0.33.0 serves (molmo.py). intermediate_size counts gate
and up together; the tokens for images have a table of their own, additional_vocab_size rows, beside the input table.
"""

from dataclasses import replace

from sparsecalc.model.basic_parts import Head, Table
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    mixer = attention(config, hidden, qkv_bias=config.flag("qkv_bias"))
    if config.flag("attention_layer_norm"):
        mixer = mixer.but(qk_norm=(mixer.num_attention_heads + mixer.num_key_value_heads) * mixer.head_dim)
    both = config.size("intermediate_size", required=True)
    if both % 2:
        config.refuse(f"intermediate_size is {both}", "It counts gate and up together, so it is even")
    if config.text("layer_norm_type") not in ("", "rms"):
        config.refuse("layer_norm_type is not rms", "Only Molmo's released sizes are read")
    config.ignore("norm_after", "tie_word_embeddings", "layer_norm_type", "use_position_ids")
    config.ignore("image_feature_dropout", "image_padding_embed", "pad_tokenizer")
    tied = config.flag("weight_tying")
    layer = Layer(mixers=(mixer,), feed_forwards=(mlp(hidden, both // 2),), norms=norms(hidden))
    extra = Table(name="new_embedding", rows=config.size("additional_vocab_size"), size=hidden)
    rows = config.optional_size("embedding_size") or config.size("vocab_size", required=True)
    found = body(config, [layer] * config.layers(), hidden=hidden, tied=tied)
    tables = (Table(rows=rows, size=hidden, is_input=True), extra)
    return replace(found, tables=tables, head=Head(in_features=hidden, out_features=rows, tied=tied))
