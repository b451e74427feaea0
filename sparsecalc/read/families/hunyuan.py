"""Hunyuan-Large: cross-layer attention (only every cla_share_factor-th layer has keys and values), shared experts.

Not part of transformers: the architecture is that of Tencent's published model code; the totals agree with its "389B"
and "52B active".
"""

from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms, without
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import per_layer_sizes
from sparsecalc.read.vendor_keys import ignore_tencent_keys


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    bias = config.flag("attention_bias")
    without(config, "mlp_bias", "use_mla", "add_classification_head")
    own = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    normed = config.flag("use_qk_norm")
    shared = own.but(key_value="shared", qk_norm=own.head_dim if normed else 0)
    own = own.but(qk_norm=2 * own.head_dim if normed else 0)
    period = config.size("cla_share_factor") if config.flag("use_cla") else 1
    feed_forwards = _feed_forwards(config, hidden, count)
    ignore_tencent_keys(config)
    layers = [
        Layer(mixers=(shared if index % period else own,), feed_forwards=(feed_forward,), norms=norms(hidden))
        for index, feed_forward in enumerate(feed_forwards)
    ]
    return body(config, layers, hidden=hidden)


def _feed_forwards(config: Fields, hidden: int, count: int) -> list[DenseMlp | Moe]:
    """Experts of intermediate_size in each layer (a dense MLP where there is one), shared ones of the same width."""
    width = config.size("intermediate_size", required=True)
    has_shared = config.flag("use_mixed_mlp_moe", default=config.has("num_shared_expert"))
    experts, top_k = per_layer_sizes(config, "num_experts", count), per_layer_sizes(config, "moe_topk", count)
    shared = per_layer_sizes(config, "num_shared_expert", count) if has_shared else [0] * count
    widths = [width] * count
    if config.has("moe_intermediate_size"):
        widths = per_layer_sizes(config, "moe_intermediate_size", count)
    dense = config.optional_size("moe_layer_num_skipped", zero=True) or 0
    return [
        mlp(hidden, width)
        if index < dense or experts[index] == 1
        else Moe(
            hidden_size=hidden,
            num_experts=experts[index],
            num_experts_per_tok=top_k[index],
            moe_intermediate_size=widths[index],
            shared_intermediate_size=shared[index] * widths[index],
        )
        for index in range(count)
    ]
