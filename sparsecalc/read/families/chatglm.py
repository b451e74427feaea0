"""ChatGLM2, ChatGLM3, GLM-4-9B: Llama's layers by Megatron's key names, grouped key-value heads, biases on q, k and v.

Not part of transformers: the architecture is that of the published model code; the totals of ChatGLM3-6B and GLM-4-9B
equal those of their checkpoints.
"""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, heads = config.size("hidden_size", required=True), config.size("num_attention_heads", required=True)
    if config.has("position_encoding_2d") or config.has("inner_hidden_size"):
        config.refuse("this is the first ChatGLM-6B, another architecture", "ChatGLM2, ChatGLM3 and GLM-4 are read")
    config.ignore("apply_query_key_layer_scaling", "apply_residual_connection_post_layernorm", "bias_dropout_fusion")
    config.ignore("attention_softmax_in_fp32", "fp32_residual_connection", "interleaved_qkv", "original_rope")
    config.ignore("prefix_projection", "quantization_bit", "vocab_size")
    if config.optional_size("pre_seq_len", default=None, zero=True):
        config.refuse("pre_seq_len is given: prefix tuning is not part of the model", "Remove it")
    kv_heads = config.size("multi_query_group_num") if config.flag("multi_query_attention") else heads
    if heads % kv_heads:
        config.refuse(f"num_attention_heads ({heads}) is not a multiple of multi_query_group_num ({kv_heads})")
    config.ignore("multi_query_group_num")
    bias, centered = config.flag("add_bias_linear"), not config.flag("rmsnorm")
    mixer = attention(
        config,
        hidden,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=config.size("kv_channels"),
        qkv_bias=bias or config.flag("add_qkv_bias"),
        o_bias=bias,
    )
    layer = Layer(
        mixers=(mixer,),
        feed_forwards=(mlp(hidden, config.size("ffn_hidden_size", required=True), bias=bias),),
        norms=norms(hidden, bias=centered),
    )
    final = norms(hidden, int(config.flag("post_layer_norm")), bias=centered)
    config.config = {**config.config, "vocab_size": config.size("padded_vocab_size", required=True)}
    return body(config, [layer] * config.layers("num_layers"), hidden=hidden, final=final)
