"""Gemma 4: full layers have heads of another size (and K = V if attention_k_eq_v); experts may run beside the dense
MLP; per-layer inputs and shared keys and values as in Gemma 3n."""

from sparsecalc.model.basic_parts import Norm
from sparsecalc.model.feed_forward import Moe
from sparsecalc.read.build import Body, body
from sparsecalc.read.fields import Fields
from sparsecalc.read.gemma4 import gemma4_layers
from sparsecalc.read.per_layer_inputs import per_layer_inputs, per_layer_table


def read(config: Fields) -> Body:
    width = config.optional_size("hidden_size_per_layer_input", zero=True) or 0
    table = per_layer_table(config, config.layers(), width) if width else None
    config.ignore("vocab_size_per_layer_input", "num_experts", "top_k_experts", "moe_intermediate_size")
    moe = _experts(config) if config.flag("enable_moe_block") else None
    found = gemma4_layers(config, width, moe)
    hidden = config.size("hidden_size")
    if table is None:
        return body(config, found, hidden=hidden)
    final = (Norm(size=hidden), *per_layer_inputs(hidden, len(found), width))
    return body(config, found, hidden=hidden, final=final, tables=(table,))


def _experts(config: Fields) -> Moe:
    """The router scales its input per channel and its choices per expert."""
    hidden, experts = config.size("hidden_size", required=True), config.size("num_experts", required=True)
    return Moe(
        hidden_size=hidden,
        num_experts=experts,
        num_experts_per_tok=config.size("top_k_experts", required=True),
        moe_intermediate_size=config.size("moe_intermediate_size", required=True),
        router_bias=True,
        router_scales=hidden,
    )
