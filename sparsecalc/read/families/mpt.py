"""MPT: norms without bias, one matrix for q, k and v, an MLP of four times d_model, ALiBi instead of positions.

transformers' class has only what the released models use; options of MosaicML's own code beyond that are named in a
warning.
"""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, heads = config.size("d_model", required=True), config.size("n_heads", required=True)
    config.ignore("learned_pos_emb", "logit_scale", "tokenizer_name", "verbose", "fc_type", "max_seq_len")
    fixed(config, no_bias=True, expansion_ratio=4, embedding_fraction=1.0, ffn_config={"ffn_type": "mptmlp"})
    config.ignore("norm_type", "emb_pdrop")
    options = config.part("attn_config")
    options.ignore("attn_uses_sequence_id", "model_type", "prefix_lm")
    fixed(options, attn_type="multihead_attention", alibi=True, qk_ln=False, rope=False, sliding_window_size=-1)
    fixed(options, kv_n_heads=heads)
    dim = config.head_dim(hidden, heads)
    mixer = attention(config, hidden, num_attention_heads=heads, num_key_value_heads=heads, head_dim=dim)
    layer = Layer(mixers=(mixer,), feed_forwards=(mlp(hidden, 4 * hidden, gated=False),), norms=norms(hidden))
    return body(config, [layer] * config.layers("n_layers"), hidden=hidden)
