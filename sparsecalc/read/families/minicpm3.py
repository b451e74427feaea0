"""MiniCPM3: latent attention in Llama's layers; v_head_dim is hidden_size / heads where it is absent."""

from sparsecalc.model.latent import Mla
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, heads = config.size("hidden_size", required=True), config.size("num_attention_heads", required=True)
    if hidden % heads:
        config.refuse(f"hidden_size ({hidden}) is not a multiple of the {heads} heads")
    config.ignore("head_dim", "num_key_value_heads")
    mixer = Mla(
        hidden_size=hidden,
        num_attention_heads=heads,
        q_lora_rank=config.optional_size("q_lora_rank"),
        kv_lora_rank=config.size("kv_lora_rank"),
        qk_nope_head_dim=config.size("qk_nope_head_dim"),
        qk_rope_head_dim=config.size("qk_rope_head_dim"),
        v_head_dim=config.optional_size("v_head_dim") or hidden // heads,
        attention_bias=config.flag("attention_bias"),
    )
    layer = Layer(
        mixers=(mixer,),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True), bias=config.flag("mlp_bias")),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
