"""StarCoder 1, SantaCoder: GPT-2's layers with one key-value head (multi_query), learned positions."""

from sparsecalc.model.basic_parts import Table
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms, without
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("n_embd", required=True)
    heads = config.size("n_head", required=True)
    without(config, "add_cross_attention")
    config.ignore("attention_softmax_in_fp32", "scale_attention_softmax_in_fp32", "n_ctx", "inference_runner")
    config.ignore("max_batch_size", "pad_key_length", "pre_allocate_kv_cache", "validate_runner_input", "eos_token")
    mixer = attention(
        config,
        hidden,
        num_attention_heads=heads,
        num_key_value_heads=1 if config.flag("multi_query") else heads,
        head_dim=config.head_dim(hidden, heads),
        qkv_bias=True,
        o_bias=True,
    )
    width = config.optional_size("n_inner") or 4 * hidden
    layer = Layer(
        mixers=(mixer,), feed_forwards=(mlp(hidden, width, bias=True, gated=False),), norms=norms(hidden, bias=True)
    )
    positions = Table(name="wpe", rows=config.size("n_positions"), size=hidden)
    return body(config, [layer] * config.layers("n_layer"), hidden=hidden, norm_bias=True, tables=(positions,))
