"""MiMo-V2.5, V2.6 and their Pro forms: MiMo-V2-Flash, with all that its windowed layers have in the config.

Not part of transformers: the architecture is that of Xiaomi's published model code, as vLLM 0.33.0 serves it
(mimo_v2.py). hybrid_layer_pattern says which layers are windowed (1), moe_layer_freq which have experts (1).
"""

from sparsecalc.core.text import brief
from sparsecalc.model.attention import Gqa
from sparsecalc.read.build import Body, attention
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_or_moe_body, routed_and_shared_experts
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    bias = config.flag("attention_bias")
    full = attention(config, hidden, qkv_bias=bias, sinks=config.flag("add_full_attention_sink_bias"))
    full = full.but(v_head_dim=config.optional_size("v_head_dim"))
    windowed, sparse = _switches(config, "hybrid_layer_pattern", count), _switches(config, "moe_layer_freq", count)
    other = _windowed(config, full) if any(windowed) else full
    config.ignore("attention_chunk_size", "attention_projection_layout", "attention_value_scale", "hybrid_block_size")
    config.ignore("sliding_window", "sliding_window_size")
    note_mtp(config, as_deepseek=False)
    moe = routed_and_shared_experts(config, hidden).but(shared_intermediate_size=0)  # n_shared_experts is not used
    mixers = [other if is_windowed else full for is_windowed in windowed]
    return dense_or_moe_body(config, hidden, mixers, moe, [not is_sparse for is_sparse in sparse])


def _windowed(config: Fields, full: Gqa) -> Gqa:
    """The windowed layers' own heads, and sinks."""
    heads, kv_heads = config.heads("swa_num_attention_heads", "swa_num_key_value_heads")
    before = config.optional_size("sliding_window_size")  # it leaves the query itself out
    return full.but(
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=config.size("swa_head_dim", default=full.head_dim),
        v_head_dim=config.optional_size("swa_v_head_dim", default=full.v_head_dim),
        sinks=config.flag("add_swa_attention_sink_bias"),
        sliding_window=config.size("sliding_window") if before is None else before + 1,
    )


def _switches(config: Fields, key: str, count: int) -> list[bool]:
    """A list with 0 or 1 for each layer."""
    values = config.integers(key)
    if len(values) < count or not set(values) <= {0, 1}:
        config.refuse(f"{key} is {brief(values)}", f"Each of the {count} layers needs 0 or 1")
    return [bool(value) for value in values[:count]]
