"""GPT-J and CodeGen: attention and a plain MLP side by side behind one LayerNorm; biases on MLP and LM head only."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("n_embd", required=True)
    heads = config.size("n_head", required=True)
    config.ignore("n_positions", "n_ctx", "rotary", "scale_attn_weights", "gradient_checkpointing")
    dim = config.head_dim(hidden, heads)
    mixer = attention(config, hidden, num_attention_heads=heads, num_key_value_heads=heads, head_dim=dim)
    width = config.optional_size("n_inner") or 4 * hidden
    layer = Layer(
        mixers=(mixer,), feed_forwards=(mlp(hidden, width, bias=True, gated=False),), norms=norms(hidden, 1, bias=True)
    )
    return body(config, [layer] * config.layers("n_layer"), hidden=hidden, norm_bias=True, head_bias=True)
