"""GigaChat 3.5 432B-A28B (SGLang's GigaChat35ForCausalLM): delta nets and gated latent attention, gated norms, experts.

Not in transformers: formula; no published config was at hand. A gated norm has, beside its gain, a gate of rank 16 made
from its output: two maps r -> 16 -> r.
"""

from sparsecalc.model.basic_parts import Norm, Projection
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import latent_attention
from sparsecalc.read.build import FULL, Body, body, fixed, mlp, norms, without
from sparsecalc.read.class_constants import class_constants
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import leading_dense, routed_and_shared_experts
from sparsecalc.read.recurrent import LINEAR, delta_net
from sparsecalc.read.vendor_keys import note_mtp

GATED = ("ZeroCenteredGatedNorm", "GatedNorm")
UNUSED = (
    *("use_mla_scaling_factor", "layernorm_gating_weight", "swiglu_limit", "linear_sigmoid_gate_scale"),
    *("linear_gating_type", "output_gate_type", "linear_attn_o_norm_eps", "optimizer_eps", "attention_distillation"),
    *("attention_type", "num_krope_heads", "linear_use_legacy_qkvz_layout", "linear_use_short_conv"),
    *("num_key_value_heads", "nextn_is_sparse"),
)
"""Keys that change no tensor and no product."""


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    without(config, "use_shared_expert_sigmoid")
    fixed(config, linear_attention_type="Qwen3NextGatedDeltaNet")
    config.ignore(*UNUSED)
    note_mtp(config, as_deepseek=False)
    gated = config.text("norm_type") in GATED
    per_layer = 4 if config.text("layernorm_type") == "pre_post" else 2
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    moe = routed_and_shared_experts(config, hidden)
    found = {LINEAR: _linear(config, hidden), FULL: _latent(config, hidden, gated)}
    layers = [
        _layer(found[kind], dense if plain else moe, hidden, per_layer, gated)
        for kind, plain in zip(_kinds(config, count), leading_dense(config, count), strict=True)
    ]
    return body(config, layers, hidden=hidden, final=(Norm(size=hidden), *(norm_gates(hidden, 1) if gated else ())))


def norm_gates(size: int, count: int) -> tuple[Projection, Projection]:
    """The gates of `count` norms over `size` features."""
    rank = class_constants("gigachat3_5")["gate_rank"]
    down = Projection(name="norm gates down", in_features=size, out_features=rank, matrices=count)
    return down, Projection(name="norm gates up", in_features=rank, out_features=size, matrices=count)


def _layer(mixing: Layer, feed_forward: DenseMlp | Moe, hidden: int, count: int, gated: bool) -> Layer:
    extras = (*mixing.extras, *(norm_gates(hidden, count) if gated else ()))
    return mixing.but(feed_forwards=(feed_forward,), norms=norms(hidden, count), extras=extras)


def _linear(config: Fields, hidden: int) -> Layer:
    return Layer(mixers=(delta_net(config, hidden),))


def _latent(config: Fields, hidden: int, gated: bool) -> Layer:
    """Latent attention, the gates of its own norms, and the gate on its output."""
    mixer = latent_attention(config, hidden)
    extras: tuple[Projection, ...] = ()
    for rank in (mixer.q_lora_rank, mixer.kv_lora_rank):
        extras += norm_gates(rank, 1) if gated and rank else ()
    if config.flag("gated_attention"):
        wide = mixer.num_attention_heads * mixer.v_head_dim
        extras += (Projection(name="attn_gate", component="attention", in_features=hidden, out_features=wide),)
    return Layer(mixers=(mixer,), extras=extras)


def _kinds(config: Fields, count: int) -> list[str]:
    """layer_types, or the layers that full_attention_layers names; all others are linear."""
    given = config.per_layer("layer_types", count, (LINEAR, FULL, "attention"))
    named = set(config.integers("full_attention_layers"))
    if given is None:
        return [FULL if index in named else LINEAR for index in range(count)]
    return [LINEAR if kind == LINEAR else FULL for kind in given]
