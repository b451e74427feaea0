"""Falcon: one key-value head (7B), groups (40B, 180B, 11B) or all heads (RW); attention and MLP side by side or not."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, heads = config.size("hidden_size", required=True), config.size("num_attention_heads", required=True)
    if hidden % heads:
        config.refuse(f"hidden_size ({hidden}) is not a multiple of the {heads} heads")
    config.ignore("ff_factor", "apply_residual_connection_post_layernorm")
    grouped = config.flag("new_decoder_architecture", default=config.config.get("model_type") == "RefinedWeb")
    given = config.optional_size("num_kv_heads", default=None) or heads
    ungrouped = 1 if config.flag("multi_query") else heads
    kv_heads = given if grouped else ungrouped
    if heads % kv_heads:
        config.refuse(f"num_attention_heads ({heads}) is not a multiple of num_kv_heads ({kv_heads})")
    bias = config.flag("bias")
    mixer = attention(
        config,
        hidden,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=hidden // heads,
        qkv_bias=bias,
        o_bias=bias,
    )
    width = config.optional_size("ffn_hidden_size") or 4 * hidden
    layer = Layer(
        mixers=(mixer,),
        feed_forwards=(mlp(hidden, width, bias=bias, gated=False),),
        norms=norms(hidden, _norms(config, grouped), bias=True),
    )
    return body(config, [layer] * config.layers(), hidden=hidden, norm_bias=True)


def _norms(config: Fields, grouped: bool) -> int:
    """Side by side: num_ln_in_parallel_attn norms (absent: 2 with groups); one after the other: 2."""
    count = config.optional_size("num_ln_in_parallel_attn")
    if not config.flag("parallel_attn"):
        return 2
    return 2 if count == 2 or (count is None and grouped) else 1
