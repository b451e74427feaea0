"""MiniMax-01 (-hf checkpoints): lightning attention with full attention in some layers; all MLPs are experts."""

from collections.abc import Sequence

from sparsecalc.model.recurrent import LightningAttention
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, Body, attention, body, norms
from sparsecalc.read.families.mixtral import local_experts
from sparsecalc.read.fields import Fields

LINEAR = "linear_attention"


def read(config: Fields) -> Body:
    count = config.layers()
    given = config.per_layer("layer_types", count, (FULL, LINEAR))
    for part in ("full_attn", "linear_attn", "mlp"):
        config.ignore(f"{part}_alpha_factor", f"{part}_beta_factor")
    return lightning_body(config, given or [LINEAR if index % 2 else FULL for index in range(count)])


def lightning_body(config: Fields, kinds: Sequence[str]) -> Body:
    """Lightning or full attention by `kinds`, over experts of intermediate_size."""
    hidden = config.size("hidden_size", required=True)
    full = attention(config, hidden, sliding_window=config.optional_size("sliding_window"))
    linear = LightningAttention(
        hidden_size=hidden, num_attention_heads=full.num_attention_heads, head_dim=full.head_dim
    )
    config.ignore("block_size")
    moe = local_experts(config, hidden)
    layers = [
        Layer(mixers=(full if kind == FULL else linear,), feed_forwards=(moe,), norms=norms(hidden)) for kind in kinds
    ]
    return body(config, layers, hidden=hidden)
