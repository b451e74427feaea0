"""Residual connections of several streams, which replace the plain sum around mixers and feed-forwards."""

from typing import TYPE_CHECKING

from sparsecalc.model.basic_parts import Constants, Product, Projection

if TYPE_CHECKING:
    from sparsecalc.model.kinds import Extra


def hyper_connection(name: str, hidden: int, streams: int, *, mixes: bool = True) -> "tuple[Extra, ...]":
    """Weights that mix the residual streams, computed from all of them; then the mixing itself (mHC).

    Without mixing (iHC) the streams are read and written by a weight for each, and else stay as they are.
    """
    wide = (2 + streams) * streams if mixes else 2 * streams
    weights = (
        Projection(name=f"{name}.fn", in_features=streams * hidden, out_features=wide),
        Constants(name=f"{name}.base, scale", elements=wide + (3 if mixes else 2)),
    )
    if not mixes:
        return weights
    return (
        *weights,
        Product(name=f"{name}.mix", rows=streams, in_features=streams, out_features=hidden),
    )


def hyper_head(hidden: int, streams: int) -> tuple[Projection | Constants, ...]:
    """The weights by which the streams become one at the end."""
    return (
        Projection(name="hc_head", in_features=streams * hidden, out_features=streams),
        Constants(name="hc_head.base, scale", elements=streams + 1),
    )
