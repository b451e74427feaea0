"""ERNIE 4.5 MoE: experts between moe_layer_start_index and moe_layer_end_index, a bias of the router as a parameter.

Its layers for multi-token prediction are dense, each with a map 2 H -> H and two norms (vLLM 0.33.0, ernie_mtp.py).
"""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields, whole
from sparsecalc.read.prediction_layers import count_mtp, mtp_steps


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    bias = config.flag("use_bias")
    fixed(config, moe_use_aux_free=True)
    config.ignore("compression_ratio")
    config.ignore("moe_capacity", "moe_gate", "moe_gate_act", "moe_norm_gate_logits", "moe_norm_min", "use_moe")
    width = config.size("moe_intermediate_size")
    experts = config.size("moe_num_experts", required=True)
    moe = Moe(
        hidden_size=hidden,
        num_experts=experts,
        num_experts_per_tok=config.size("moe_k", required=True),
        moe_intermediate_size=width,
        router_bias=True,
        shared_intermediate_size=config.size("moe_num_shared_experts", zero=True) * width,
        shared_bias=bias,
    )
    dense = mlp(hidden, config.size("intermediate_size", required=True), bias=bias)
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    plain = Layer(mixers=(mixer,), feed_forwards=(dense,), norms=norms(hidden))
    count_mtp(config, [[plain]] * mtp_steps(config), hidden, norms=2 * hidden)
    layers = [
        Layer(mixers=(mixer,), feed_forwards=(moe if is_sparse else dense,), norms=norms(hidden))
        for is_sparse in _sparse(config, count)
    ]
    return body(config, layers, hidden=hidden, head_bias=bias)


def _sparse(config: Fields, count: int) -> list[bool]:
    """Every moe_layer_interval-th layer from the first to the last layer with experts (-1: the model's last)."""
    start = config.size("moe_layer_start_index", zero=True)
    end = whole(config.raw("moe_layer_end_index"))
    if isinstance(end, bool) or not isinstance(end, int) or end < -1:
        config.refuse("moe_layer_end_index is not a layer")
    every = config.size("moe_layer_interval")
    last = count - 1 if end == -1 else end
    return [(index + 1) % every == 0 and start <= index <= last for index in range(count)]
