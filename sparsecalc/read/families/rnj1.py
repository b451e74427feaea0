"""RNJ-1 (vLLM's Rnj1ForCausalLM): Gemma 3's layers, all of them full or some within chunks that look back at one more.

Not in transformers under this name: the model_type is taken from the file's name in vLLM. A query of a chunked layer
sees its own chunk and the one before: that is counted as a window of two chunks, its upper bound, and said in a note.
"""

from sparsecalc.read.build import CHUNKED, FULL, Body, attention, body, mlp, norms, windowed_layers
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    bias = config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    kinds = config.per_layer("layer_types", count, (CHUNKED, FULL)) or [FULL] * count
    chunk = config.optional_size("sliding_window")
    config.ignore("sliding_window", "query_pre_attn_scalar", "sliding_window_pattern")
    if CHUNKED in kinds and chunk is None:
        config.refuse("layer_types has chunked_attention, but sliding_window, the size of a chunk, is missing")
    if CHUNKED in kinds:
        text = (
            f"chunks of {chunk} that look back one chunk are counted as windows of {2 * (chunk or 0)}, the upper bound"
        )
        config.note("by-formula", text)
    found = [2 * chunk if kind == CHUNKED and chunk else None for kind in kinds]
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    layers = windowed_layers(mixer.but(qk_norm=2 * mixer.head_dim), dense, norms(hidden, 4), found)
    return body(config, layers, hidden=hidden)
