"""OLMo Hybrid: three gated delta nets to each full attention of OLMo 3, whose norms stand after mixer and MLP."""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.recurrent import GatedDeltaNet
from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import wide_qk_norm_attention
from sparsecalc.read.build import FULL, Body, body, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.recurrent import LINEAR


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    config.ignore("linear_a_log_min", "linear_a_log_max", "linear_dt_min", "linear_dt_max", "linear_dt_init_floor")
    config.ignore("linear_allow_neg_eigval", "linear_use_gate")
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    full = wide_qk_norm_attention(config, hidden)
    mixers: dict[str, Gqa | GatedDeltaNet] = {FULL: full, LINEAR: _delta_net(config, hidden, full.num_attention_heads)}
    kinds = config.per_layer("layer_types", count, (LINEAR, FULL)) or _default(count)
    layers = [Layer(mixers=(mixers[kind],), feed_forwards=(dense,), norms=norms(hidden)) for kind in kinds]
    return body(config, layers, hidden=hidden)


def _default(count: int) -> list[str]:
    """Every fourth layer is full; of fewer, the last."""
    kinds = [FULL if index % 4 == 3 else LINEAR for index in range(count)]
    return kinds if FULL in kinds else [*kinds[:-1], FULL]


def _delta_net(config: Fields, hidden: int, heads: int) -> GatedDeltaNet:
    """As many heads as attention, 3/4 of the hidden size for keys and twice that for values, or as the config says."""
    keys = config.optional_size("linear_num_key_heads") or heads
    values = config.optional_size("linear_num_value_heads") or heads
    if values % keys:
        config.refuse(f"linear_num_value_heads ({values}) is not a multiple of linear_num_key_heads ({keys})")
    key_dim = config.optional_size("linear_key_head_dim") or 3 * hidden // (4 * keys)
    return GatedDeltaNet(
        hidden_size=hidden,
        num_key_heads=keys,
        num_value_heads=values,
        key_head_dim=key_dim,
        value_head_dim=config.optional_size("linear_value_head_dim") or 2 * key_dim,
        conv_kernel=config.size("linear_conv_kernel_dim"),
    )
