"""MiniCPM-SALA (SGLang's MiniCPMSALAForCausalLM): sparse and Lightning attention by mixer_types, in MiniCPM's frame.

Not in transformers: formula; no published config was at hand. The sparse layers' selection of past blocks has no
weights; attention is counted over the whole context.
"""

from sparsecalc.core.text import brief
from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Projection
from sparsecalc.model.recurrent import LightningAttention
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, Body, attention, body, mlp, norms, without
from sparsecalc.read.fields import Fields
from sparsecalc.read.recurrent import LINEAR

FULL_NAMES, LINEAR_NAMES = ("minicpm4", "minicpm", "standard", "attention", "attn"), ("lightning", "lightning_attn")
NAMES = {
    **dict.fromkeys(FULL_NAMES, FULL),
    **dict.fromkeys((*LINEAR_NAMES, "lightning-attn"), LINEAR),
}


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    without(config, "attention_bias", "mlp_bias")
    config.ignore("mup_denominator", "attn_use_rope", "minicpm4", "lightning", "sparse_use_nope", "lightning_scale")
    config.ignore("lightning_use_rope", "lightning_layerwise_decay", "mixer_types")
    if config.raw("sparse_config"):
        config.note("sparse-attention", "sparse_config: attention is counted over the whole context, not its selection")
    full = attention(config, hidden)
    gate = Projection(
        name="o_gate",
        component="attention",
        in_features=hidden,
        out_features=full.num_attention_heads * full.head_dim,
    )
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    plain = Layer(feed_forwards=(dense,), norms=norms(hidden))
    found = {
        FULL: plain.but(mixers=(full,), extras=(gate,) if config.flag("attn_use_output_gate") else ()),
        LINEAR: plain.but(mixers=(_lightning(config, hidden, full),)),
    }
    return body(config, [found[kind] for kind in _kinds(config, count)], hidden=hidden)


def _lightning(config: Fields, hidden: int, full: Gqa) -> LightningAttention:
    """Heads of its own, or those of the full layers; as many for keys and values as for queries."""
    heads = config.optional_size("lightning_nh") or full.num_attention_heads
    kv_heads = config.optional_size("lightning_nkv") or heads
    if heads != kv_heads:
        config.refuse(f"lightning_nh ({heads}) and lightning_nkv ({kv_heads}) differ", "They must be equal")
    dim = config.optional_size("lightning_head_dim") or full.head_dim
    return LightningAttention(
        hidden_size=hidden,
        num_attention_heads=heads,
        head_dim=dim,
        qk_norm=2 * dim if config.flag("qk_norm") else 0,
        output_gate=config.flag("use_output_gate"),
        output_norm=config.flag("use_output_norm"),
    )


def _kinds(config: Fields, count: int) -> list[str]:
    """mixer_types, repeated until there is one for each layer."""
    given = config.sequence("mixer_types") or [FULL_NAMES[0]]
    if unknown := [each for each in given if not isinstance(each, str) or each not in NAMES]:
        config.refuse(f"mixer_types holds {brief(unknown[0])}", f"Known are {', '.join(NAMES)}")
    return [NAMES[given[index % len(given)]] for index in range(count)]
