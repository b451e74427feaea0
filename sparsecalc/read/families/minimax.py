"""MiniMax-01 and M1: lightning attention with full attention in some layers; all MLPs are experts."""

from sparsecalc.model.recurrent import LightningAttention
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, Body, attention, body, fixed, norms
from sparsecalc.read.families.mixtral import local_experts
from sparsecalc.read.fields import Fields

LINEAR = "linear_attention"


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    full = attention(config, hidden, sliding_window=config.optional_size("sliding_window"))
    linear = LightningAttention(
        hidden_size=hidden, num_attention_heads=full.num_attention_heads, head_dim=full.head_dim
    )
    for part in ("full_attn", "linear_attn", "mlp"):
        config.ignore(f"{part}_alpha_factor", f"{part}_beta_factor")
    for part in ("full_attention", "linear_attention", "mlp"):
        config.ignore(f"layernorm_{part}_alpha", f"layernorm_{part}_beta")
    config.ignore("block_size", "shared_moe_mode", "postnorm")
    fixed(config, shared_intermediate_size=0)
    moe = local_experts(config, hidden)
    layers = [
        Layer(mixers=(full if kind == FULL else linear,), feed_forwards=(moe,), norms=norms(hidden))
        for kind in _kinds(config, count)
    ]
    return body(config, layers, hidden=hidden)


def _kinds(config: Fields, count: int) -> list[str]:
    """layer_types, or attn_type_list of older configs (1: full attention), or full attention in every other layer."""
    given = config.per_layer("layer_types", count, (FULL, LINEAR))
    older = config.integers("attn_type_list")
    if given is None and older:
        if len(older) < count or not set(older) <= {0, 1}:
            config.refuse("attn_type_list needs 0 or 1 for every layer")
        given = [FULL if kind else LINEAR for kind in older[:count]]
    return given or [LINEAR if index % 2 else FULL for index in range(count)]
