"""Residual connections of several streams, which replace the plain sum around mixers and feed-forwards."""

from typing import TYPE_CHECKING

from sparsecalc.model.basic_parts import Constants, Product, Projection

if TYPE_CHECKING:
    from sparsecalc.model.kinds import Extra


def hyper_connection(name: str, hidden: int, streams: int) -> "tuple[Extra, ...]":
    """Weights that mix the residual streams, computed from all of them; then the mixing itself (mHC)."""
    wide = (2 + streams) * streams
    return (
        Projection(name=f"{name}.fn", in_features=streams * hidden, out_features=wide),
        Constants(name=f"{name}.base, scale", elements=wide + 3),
        Product(name=f"{name}.mix", rows=streams, in_features=streams, out_features=hidden),
    )
