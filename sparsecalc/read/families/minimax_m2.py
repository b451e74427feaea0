"""MiniMax-M2: full attention with norms over all queries and all keys; all MLPs are experts."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, norms
from sparsecalc.read.families.deepseek_v3 import note_mtp
from sparsecalc.read.families.mixtral import local_experts
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    mixer = attention(config, hidden)
    mixer = mixer.but(qk_norm=(mixer.num_attention_heads + mixer.num_key_value_heads) * mixer.head_dim)
    if not config.flag("use_qk_norm", default=True) or config.text("qk_norm_type", default="per_layer") != "per_layer":
        config.refuse("use_qk_norm is off or not per layer, which this architecture does not have")
    if config.optional_size("shared_intermediate_size", default=0, zero=True):
        config.refuse("shared_intermediate_size is set, but this architecture has no shared expert")
    if config.flag("use_mtp", default=False):
        note_mtp(config, "num_mtp_modules")
    config.ignore("use_routing_bias", "mtp_transformer_layers", "num_mtp_modules", "attn_type_list", "layer_types")
    layer = Layer(mixers=(mixer,), feed_forwards=(local_experts(config, hidden),), norms=norms(hidden))
    return body(config, [layer] * config.layers(), hidden=hidden)
