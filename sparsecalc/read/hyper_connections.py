"""Residual streams that are mixed around each sublayer (manifold-constrained hyper-connections, DeepSeek-V4)."""

from typing import TYPE_CHECKING

from sparsecalc.model.basic_parts import Constants, Product, Projection
from sparsecalc.model.feed_forward import Moe
from sparsecalc.read.fields import Fields

if TYPE_CHECKING:
    from sparsecalc.model.kinds import Extra


def stream_mixing(hidden: int, streams: int) -> "tuple[Extra, ...]":
    """The mixing around attention and around the feed-forward of a layer."""
    return (*_connection("attn_hc", hidden, streams), *_connection("ffn_hc", hidden, streams))


def _connection(name: str, hidden: int, streams: int) -> "tuple[Extra, ...]":
    """Weights that mix the residual streams, computed from all of them; then the mixing itself (mHC)."""
    wide = (2 + streams) * streams
    return (
        Projection(name=f"{name}.fn", in_features=streams * hidden, out_features=wide),
        Constants(name=f"{name}.base, scale", elements=wide + 3),
        Product(name=f"{name}.mix", rows=streams, in_features=streams, out_features=hidden),
    )


def shared_width_experts(config: Fields, hidden: int) -> Moe:
    """Routed experts beside one shared of their width; the first layers route by token id, at the same cost."""
    width = config.size("moe_intermediate_size", required=True)
    return Moe(
        hidden_size=hidden,
        num_experts=config.size("n_routed_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=width,
        shared_intermediate_size=width,
        shared_bias=config.flag("mlp_bias"),
    )
