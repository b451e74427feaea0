"""ZAYA1: attention whose queries and keys are convolved, a router of several layers that passes its state on to the
next layer's, one expert per token, learned scales around each residual."""

from typing import TYPE_CHECKING

from sparsecalc.model.basic_parts import Constants, Norm, Projection
from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.query_key_conv import QueryKeyConv
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.inkling import HYBRID, HYBRID_SLIDING

if TYPE_CHECKING:
    from sparsecalc.model.kinds import Extra


def read(config: Fields) -> Body:
    hidden, count, bias = config.size("hidden_size", required=True), config.layers(), config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    conv = QueryKeyConv(
        num_attention_heads=mixer.num_attention_heads,
        num_key_value_heads=mixer.num_key_value_heads,
        head_dim=mixer.head_dim,
        depthwise_kernel=config.size("cca_time0"),
        grouped_kernel=config.size("cca_time1"),
    )
    scales = (
        Constants(name="qk_norm.temp", component="norm", elements=mixer.num_key_value_heads),
        Constants(name="residual scales", elements=2 * 4 * hidden),
    )
    rank, moe = config.size("router_hidden_size"), _experts(config, hidden)
    layers = [
        Layer(
            mixers=(mixer.but(sliding_window=window),),
            feed_forwards=(moe,),
            norms=(*norms(hidden), Norm(name="router_mlp.norm", size=rank)),
            extras=(conv, *scales, *_router(hidden, rank, first=index == 0)),
        )
        for index, window in enumerate(_windows(config, count))
    ]
    final = (Constants(name="input_hidden_states_scale, bias", elements=2 * hidden), Norm(size=hidden))
    return body(config, layers, hidden=hidden, final=final, head_bias=config.flag("lm_head_bias"))


def _experts(config: Fields, hidden: int) -> Moe:
    """One more output of the router than experts: a token may skip them, which these counts do not expect."""
    return Moe(
        hidden_size=hidden,
        num_experts=config.size("num_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("moe_intermediate_size", required=True),
        router_input_size=config.size("router_hidden_size"),
        router_extra=1,
    )


def _router(hidden: int, rank: int, *, first: bool) -> "tuple[Extra, ...]":
    """The router's layers before its last, and the scale of the state that the layer before hands over."""
    down = Projection(name="router.down_proj", component="router", in_features=hidden, out_features=rank, bias=True)
    inner = Projection(
        name="router.fc1, fc2", component="router", in_features=rank, out_features=rank, bias=True, matrices=2
    )
    scale = Constants(name="router_states_scale", component="router", elements=rank)
    return (down, inner) if first else (down, inner, scale)


def _windows(config: Fields, count: int) -> list[int | None]:
    kinds = config.per_layer("layer_types", count, (HYBRID, HYBRID_SLIDING)) or [HYBRID] * count
    window = config.optional_size("sliding_window")
    if HYBRID_SLIDING in kinds and window is None:
        config.refuse("layer_types has hybrid_sliding, but sliding_window is missing")
    return [window if kind == HYBRID_SLIDING else None for kind in kinds]
