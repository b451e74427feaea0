"""StableLM 3B, Zephyr and StableLM 2: LayerNorms with bias, optional parallel residual and norms per head."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    heads, kv_heads = config.heads()
    if hidden % heads:
        config.refuse(f"hidden_size ({hidden}) is not a multiple of the {heads} heads")
    mixer = attention(
        config,
        hidden,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=hidden // heads,
        qkv_bias=config.flag("use_qkv_bias"),
        qk_norm=(heads + kv_heads) * (hidden // heads) if config.flag("qk_layernorm") else 0,
    )
    layer = Layer(
        mixers=(mixer,),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden, 1 if config.flag("use_parallel_residual") else 2, bias=True),
    )
    config.ignore("rotary_scaling_factor", "use_norm_bias")
    return body(config, [layer] * config.layers(), hidden=hidden, norm_bias=True)
