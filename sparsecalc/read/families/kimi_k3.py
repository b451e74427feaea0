"""Kimi K3: Kimi Linear with experts on a latent, gated attention, and residual streams kept by blocks of layers.

Not part of transformers: the architecture is that of Moonshot's published model code, as vLLM 0.33.0 serves it
(models/kimi_k3). Each sublayer's input mixes the outputs of earlier blocks (attention over residuals): a gain and one
score per block, then their weighted sum. The biases of the routers, buffers in Kimi Linear, are not counted.
"""

from typing import TYPE_CHECKING

from sparsecalc.model.basic_parts import Norm, Product, Projection
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.latent import Mla
from sparsecalc.model.recurrent import GatedDeltaNet
from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import latent_attention
from sparsecalc.read.build import Body, body, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import leading_dense, routed_and_shared_experts
from sparsecalc.read.recurrent import LINEAR, delta_kinds, kimi_delta_attention
from sparsecalc.read.vendor_keys import note_mtp

if TYPE_CHECKING:
    from sparsecalc.model.kinds import Extra


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    nested = config.part("linear_attn_config")
    full = latent_attention(config, hidden).but(output_gate=config.flag("mla_use_output_gate"))
    delta = kimi_delta_attention(config, nested, hidden).but(
        full_rank_gate=nested.flag("use_full_rank_gate", default=False)
    )
    nested.ignore("gate_lower_bound")
    config.ignore("mla_use_nope", "moe_renormalize", "num_expert_group", "use_grouped_topk")
    config.ignore("activation_situ_beta", "activation_situ_linear_beta")
    note_mtp(config)
    moe, latent = _experts(config, hidden)
    dense, is_dense = mlp(hidden, config.size("intermediate_size", required=True)), leading_dense(config, count)
    block = config.optional_size("attn_res_block_size", default=None)
    layers = []
    for index, kind in enumerate(delta_kinds(config, nested, count)):
        mixer: Mla | GatedDeltaNet = delta if kind == LINEAR else full
        feed_forward: DenseMlp | Moe = dense if is_dense[index] else moe
        mixing = _layer_streams(hidden, index, block) if block else ()
        extras = (*mixing, *(() if is_dense[index] else latent))
        layers.append(Layer(mixers=(mixer,), feed_forwards=(feed_forward,), norms=norms(hidden), extras=extras))
    final: tuple[Norm | Projection | Product, ...] = (Norm(size=hidden),)
    if block:
        final = (*final, *_streams("output_attn_res", hidden, -(-count // block) + 1))
    return body(config, layers, hidden=hidden, final=final)


def _experts(config: Fields, hidden: int) -> "tuple[Moe, tuple[Extra, ...]]":
    """Experts on a latent of routed_expert_hidden_size where given, shared ones on the hidden state."""
    moe = routed_and_shared_experts(config, hidden, experts="num_local_experts")
    latent, normed = config.optional_size("routed_expert_hidden_size"), config.flag("latent_moe_use_norm")
    if latent is None:
        return moe, ()
    down = Projection(name="routed_expert_down_proj", in_features=hidden, out_features=latent)
    up = Projection(name="routed_expert_up_proj", in_features=latent, out_features=hidden)
    norm = (Norm(name="routed_expert_norm", size=latent),) if normed else ()
    return moe.but(expert_input_size=latent), (down, *norm, up)


def _layer_streams(hidden: int, index: int, block: int) -> "tuple[Extra, ...]":
    """The mixing before the layer's two sublayers: over the blocks closed before it, and the open one."""
    before = -(-index // block)
    own = 1 if index % block == 0 else 0
    return (
        *_streams("self_attention_res", hidden, before + 1),
        *_streams("mlp_res", hidden, before + own + 1),
    )


def _streams(name: str, hidden: int, streams: int) -> tuple[Norm | Projection | Product, ...]:
    """A score for each of the residual streams, from its normed state, and their weighted sum."""
    return (
        Norm(name=f"{name}_norm", size=hidden),
        Projection(name=f"{name}_proj", in_features=hidden, out_features=1, per_token=streams),
        Product(name=f"{name}_mix", rows=1, in_features=streams, out_features=hidden),
    )
