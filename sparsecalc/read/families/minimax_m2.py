"""MiniMax-M2: full attention with norms over all queries and all keys; all MLPs are experts."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, fixed, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import local_experts
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    mixer = attention(config, hidden)
    mixer = mixer.but(qk_norm=(mixer.num_attention_heads + mixer.num_key_value_heads) * mixer.head_dim)
    fixed(config, use_qk_norm=True, qk_norm_type="per_layer", shared_intermediate_size=0, attn_type_list=[1] * count)
    if config.flag("use_mtp", default=False):
        note_mtp(config, "num_mtp_modules", as_deepseek=False)
    config.ignore("use_routing_bias", "mtp_transformer_layers", "num_mtp_modules", "layer_types")
    layer = Layer(mixers=(mixer,), feed_forwards=(local_experts(config, hidden),), norms=norms(hidden))
    return body(config, [layer] * count, hidden=hidden)
