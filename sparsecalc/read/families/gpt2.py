"""GPT-2 and GPT-3: learned positions, LayerNorms with bias, biases on all maps."""

from sparsecalc.model.basic_parts import Table
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms, without
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, heads = config.size("n_embd", required=True), config.size("n_head", required=True)
    without(config, "add_cross_attention")
    config.ignore("n_ctx", "n_special", "predict_special_tokens", "afn")
    dim = config.head_dim(hidden, heads)
    mixer = attention(
        config, hidden, num_attention_heads=heads, num_key_value_heads=heads, head_dim=dim, qkv_bias=True, o_bias=True
    )
    width = config.optional_size("n_inner") or 4 * hidden
    layer = Layer(
        mixers=(mixer,), feed_forwards=(mlp(hidden, width, bias=True, gated=False),), norms=norms(hidden, bias=True)
    )
    positions = Table(name="wpe", rows=config.size("n_positions"), size=hidden)
    return body(config, [layer] * config.layers("n_layer"), hidden=hidden, norm_bias=True, tables=(positions,))
