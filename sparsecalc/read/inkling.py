"""What the generations of Inkling share: attention with short convolutions and a relative position bias."""

from typing import TYPE_CHECKING

from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Projection
from sparsecalc.model.recurrent import DepthwiseConv
from sparsecalc.read.fields import Fields

if TYPE_CHECKING:
    from sparsecalc.model.kinds import Extra

HYBRID, HYBRID_SLIDING = "hybrid", "hybrid_sliding"


def layer_kinds(config: Fields, count: int) -> list[str]:
    """layer_types, or local_layer_ids, or a full layer at the end of each six."""
    kinds = config.per_layer("layer_types", count, (HYBRID, HYBRID_SLIDING))
    if kinds:
        return kinds
    given = config.has("local_layer_ids")
    local = config.integers("local_layer_ids") if given else [index for index in range(count) if (index + 1) % 6]
    return [HYBRID_SLIDING if index in local else HYBRID for index in range(count)]


def inkling_attention(config: Fields, hidden: int, kind: str) -> Gqa:
    """Full layers and windowed ones have heads of their own."""
    prefix = "swa_" if kind == HYBRID_SLIDING else ""
    heads, kv_heads = config.heads(f"{prefix}num_attention_heads", f"{prefix}num_key_value_heads")
    return Gqa(
        hidden_size=hidden,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=config.size(f"{prefix}head_dim"),
        sliding_window=config.size("sliding_window_size") if prefix else None,
    )


def relative_bias(config: Fields, mixer: Gqa) -> tuple[Projection, Projection]:
    """States of d_rel per head, and the bank of profiles over distances that they mix into a bias of the scores."""
    extent, rank = mixer.sliding_window or config.size("rel_extent"), config.size("d_rel")
    config.ignore("rel_extent")
    heads, hidden = mixer.num_attention_heads, mixer.hidden_size
    return (
        Projection(name="r_proj", component="attention", in_features=hidden, out_features=heads * rank),
        Projection(name="rel_proj", component="attention", in_features=rank, out_features=extent, per_token=heads),
    )


def convolutions(*channels: int, kernel: int) -> "tuple[Extra, ...]":
    """A short convolution over each of these widths."""
    return tuple(DepthwiseConv(channels=each, kernel=kernel) for each in channels)
