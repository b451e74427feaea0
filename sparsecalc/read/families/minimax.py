"""MiniMax-01 and M1: lightning attention with full attention at some layers; all MLPs are experts."""

from sparsecalc.model.recurrent import LightningAttention
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, Body, attention, body, norms
from sparsecalc.read.families.mixtral import local_experts
from sparsecalc.read.fields import Fields

LINEAR = "linear_attention"


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    full = attention(config, hidden, sliding_window=config.optional_size("sliding_window"))
    linear = LightningAttention(
        hidden_size=hidden, num_attention_heads=full.num_attention_heads, head_dim=full.head_dim
    )
    factors = [f"{part}_{greek}_factor" for part in ("full_attn", "linear_attn", "mlp") for greek in ("alpha", "beta")]
    config.ignore(*factors, "block_size")
    default = [FULL if (index + 1) % 2 else LINEAR for index in range(count)]
    kinds = config.per_layer("layer_types", count, (FULL, LINEAR)) or default
    moe = local_experts(config, hidden)
    layers = [
        Layer(mixers=(full if kind == FULL else linear,), feed_forwards=(moe,), norms=norms(hidden)) for kind in kinds
    ]
    return body(config, layers, hidden=hidden)
