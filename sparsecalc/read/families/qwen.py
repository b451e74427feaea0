"""Qwen 1 (remote code): multi-head attention with biases on q, k and v only; a gated MLP of half intermediate_size.

Not part of transformers: the architecture is that of the published model code; Qwen-7B's total is its 7,721,324,544.
"""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, heads = config.size("hidden_size", required=True), config.size("num_attention_heads", required=True)
    bias = not config.flag("no_bias")
    config.ignore("attn_dropout_prob", "bf16", "fp16", "fp32", "onnx_safe", "softmax_in_fp32", "use_cache_quantization")
    width = config.size("intermediate_size", required=True)
    if width % 2:
        config.refuse(f"intermediate_size ({width}) is odd", "Qwen 1's is twice the width of its MLP")
    mixer = attention(
        config,
        hidden,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=config.size("kv_channels"),
        qkv_bias=True,
        o_bias=bias,
    )
    layer = Layer(mixers=(mixer,), feed_forwards=(mlp(hidden, width // 2, bias=bias),), norms=norms(hidden))
    return body(config, [layer] * config.layers(), hidden=hidden)
