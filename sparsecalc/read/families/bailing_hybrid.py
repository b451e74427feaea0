"""Ling 3.0: Kimi Delta Attention with full maps for decay and gate, latent attention with a gate per head at the end of
each group of layers, experts beside a shared one."""

from sparsecalc.model.basic_parts import Projection
from sparsecalc.model.recurrent import GatedDeltaNet
from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import latent_attention
from sparsecalc.read.build import FULL, Body, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_by_type, leading_dense, routed_and_shared_experts
from sparsecalc.read.recurrent import LINEAR
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    for key in ("group_norm_size", "linear_silu", "use_linear_silu", "num_kv_heads_for_linear_attn"):
        if config.raw(key, default=None) is not None:
            config.refuse(f"{key} is given: this is Ling 2.5, another architecture", "Ling 3.0 is read")
    config.ignore("kda_safe_gate", "kda_lower_bound", "mtp_loss_scaling_factor")
    note_mtp(config)
    linear, full, gate = _delta_attention(config, hidden), latent_attention(config, hidden), _gate(config, hidden)
    moe = routed_and_shared_experts(config, hidden, experts="num_local_experts")
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    is_dense = dense_by_type(config, count, leading_dense(config, count))
    layers = [
        Layer(
            mixers=(linear if kind == LINEAR else full,),
            feed_forwards=(dense if plain else moe,),
            norms=norms(hidden),
            extras=() if kind == LINEAR else (gate,),
        )
        for kind, plain in zip(_kinds(config, count), is_dense, strict=True)
    ]
    fixed(config, tie_word_embeddings=False)
    return body(config, layers, hidden=hidden, tied=False)


def _kinds(config: Fields, count: int) -> list[str]:
    """layer_types, or latent attention at the end of each layer_group_size."""
    period = config.size("layer_group_size")
    kinds = config.per_layer("layer_types", count, (LINEAR, FULL))
    return kinds or [LINEAR if (index + 1) % period else FULL for index in range(count)]


def _delta_attention(config: Fields, hidden: int) -> GatedDeltaNet:
    """As many heads as latent attention has, of head_dim."""
    heads, dim = config.size("num_attention_heads", required=True), config.size("head_dim")
    return GatedDeltaNet(
        hidden_size=hidden,
        num_key_heads=heads,
        num_value_heads=heads,
        key_head_dim=dim,
        value_head_dim=dim,
        conv_kernel=config.size("short_conv_kernel_size"),
        channel_decay=True,
        bottleneck=False,
    )


def _gate(config: Fields, hidden: int) -> Projection:
    """The gate of latent attention, one per head."""
    heads = config.size("num_attention_heads", required=True)
    return Projection(name="g_proj", component="attention", in_features=hidden, out_features=heads)
