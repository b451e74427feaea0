"""ERNIE 4.5 VL: ERNIE 4.5's experts for text, others of their own for images beside them, shared ones for both."""

from sparsecalc.core.text import brief
from sparsecalc.model.feed_forward import IdleExperts, Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_by_type
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    bias = config.flag("use_bias")
    _ignore_extras(config)
    note_mtp(config, as_deepseek=False)
    experts, (width, vision_width) = _experts(config), _widths(config)
    moe = Moe(
        hidden_size=hidden,
        num_experts=experts,
        num_experts_per_tok=config.size("moe_k", required=True),
        moe_intermediate_size=width,
        router_bias=True,
        shared_intermediate_size=config.size("moe_num_shared_experts", zero=True) * width,
        shared_bias=bias,
    )
    vision = IdleExperts(hidden_size=hidden, num_experts=experts, moe_intermediate_size=vision_width, router_bias=True)
    dense = mlp(hidden, config.size("intermediate_size", required=True), bias=bias)
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    is_dense = dense_by_type(config, count, [index < 1 for index in range(count)])
    config.note(
        "vision-experts", "the experts for images are in the total; they are not active, as no text token uses them"
    )
    layers = [
        Layer(mixers=(mixer,), feed_forwards=(dense,), norms=norms(hidden))
        if plain
        else Layer(mixers=(mixer,), feed_forwards=(moe,), norms=norms(hidden), extras=(vision,))
        for plain in is_dense
    ]
    return body(config, layers, hidden=hidden)


def _experts(config: Fields) -> int:
    """moe_num_experts, in released configs once for text and once for images."""
    given = config.raw("moe_num_experts")
    if isinstance(given, list) and len(given) == 2 and given[0] == given[1]:
        config.config = {**config.config, "moe_num_experts": given[0]}
    return config.size("moe_num_experts", required=True)


def _widths(config: Fields) -> tuple[int, int]:
    """moe_intermediate_size: for text and for images."""
    given = config.integers("moe_intermediate_size") or config.defaults["moe_intermediate_size"]
    if len(given) != 2 or min(given) < 1:
        config.refuse(f"moe_intermediate_size is {brief(given)}", "It holds two widths: for text and for images")
    return given[0], given[1]


def _ignore_extras(config: Fields) -> None:
    """Keys of released configs that describe what this architecture always is, or the vision part."""
    fixed(config, moe_use_aux_free=True, moe_layer_interval=1, moe_layer_start_index=[1, 1])
    config.ignore("moe_layer_end_index", "moe_capacity", "moe_gate", "moe_norm_min", "moe_gate_act")
    config.ignore("moe_multimodal_dispatch_use_allgather", "multimodal", "pixel_hidden_size", "spatial_conv_size")
    config.ignore("modality_detach", "max_text_id", "compression_ratio", "sinkhorn_2gate", "sinkhorn_temp", "use_moe")
    config.ignore("moe_norm_gate_logits", "moe_use_hard_gate")
