"""openPangu: Embedded 7B (dense), Ultra-MoE 718B (latent attention) and Pro-MoE V2 (attention with stored sinks).

Not part of transformers: the architecture is that of Huawei's published model code, as vLLM 0.33.0 serves it
(openpangu.py). sandwich_norm adds two norms to a layer. The biases of the routers, buffers elsewhere, are not counted.
"""

from typing import TYPE_CHECKING

from sparsecalc.model.basic_parts import Constants
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import latent_attention
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import leading_dense, routed_and_shared_experts
from sparsecalc.read.vendor_keys import note_mtp

if TYPE_CHECKING:
    from sparsecalc.model.kinds import Mixer


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    mixer, sinks = _attention(config, hidden)
    dense = mlp(hidden, config.size("intermediate_size", required=True), bias=config.flag("mlp_bias"))
    feed_forwards: list[DenseMlp | Moe] = [dense] * count
    if config.has("n_routed_experts"):
        moe = routed_and_shared_experts(config, hidden)
        feed_forwards = [dense if plain else moe for plain in leading_dense(config, count)]
    between = norms(hidden, 4 if config.flag("sandwich_norm") else 2)
    config.ignore("router_enable_expert_bias")
    note_mtp(config)
    layers = [
        Layer(mixers=(mixer,), feed_forwards=(feed_forward,), norms=between, extras=sinks)
        for feed_forward in feed_forwards
    ]
    return body(config, layers, hidden=hidden)


def _attention(config: Fields, hidden: int) -> "tuple[Mixer, tuple[Constants, ...]]":
    """Latent where kv_lora_rank is given, with stored sinks where param_sink_number is, or else grouped queries."""
    if config.has("kv_lora_rank"):
        return latent_attention(config, hidden), ()
    o_bias = config.flag("attention_bias") or config.flag("bias")
    qkv_bias = config.flag("qkv_bias") if config.has("qkv_bias") else o_bias
    number = config.optional_size("param_sink_number", zero=True)
    if not number:
        return attention(config, hidden, qkv_bias=qkv_bias, o_bias=o_bias), ()
    dim, value_dim = config.size("qk_nope_dim") + config.size("qk_rope_dim"), config.size("v_channels")
    mixer = attention(config, hidden, head_dim=dim, v_head_dim=value_dim, qkv_bias=qkv_bias, o_bias=o_bias, qk_norm=dim)
    width = dim + (value_dim if config.flag("param_sink_with_value") else 0)
    stored = Constants(name="param_sink", component="attention", elements=number * mixer.num_key_value_heads * width)
    return mixer, (stored,)
