"""MiMo-V2-Flash: windowed layers with sinks and twice the key-value heads, values narrower than keys, experts."""

from sparsecalc.model.attention import Gqa
from sparsecalc.read.build import FULL, SLIDING, Body, attention, fixed, windows
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_by_type, dense_or_moe_body, routed_and_shared_experts
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    bias, value_dim = config.flag("attention_bias"), config.size("v_head_dim")
    full = attention(config, hidden, qkv_bias=bias, v_head_dim=value_dim)
    kinds = [FULL if index == 0 or (index + 1) % 6 == 0 else SLIDING for index in range(count)]
    mixers = _mixers(config, full, kinds)
    is_dense = dense_by_type(config, count, [index == 0 for index in range(count)])
    _fixed_by_transformers(config, full, [int(mixer is not full) for mixer in mixers], is_dense)
    note_mtp(config, as_deepseek=False)
    moe = routed_and_shared_experts(config, hidden).but(shared_intermediate_size=0)
    return dense_or_moe_body(config, hidden, mixers, moe, is_dense)


def _mixers(config: Fields, full: Gqa, default: list[str]) -> list[Gqa]:
    """Windowed layers have sinks and twice the key-value heads."""
    previous = config.optional_size("sliding_window_size", default=None)
    own = config.optional_size("sliding_window", default=None if previous else config.defaults["sliding_window"])
    window = own if previous is None else previous + 1  # the checkpoint's key leaves the query itself out
    found = windows(config, len(default), window, default)
    kv_heads = 2 * full.num_key_value_heads
    if any(found) and full.num_attention_heads % kv_heads:
        config.refuse(f"num_attention_heads ({full.num_attention_heads}) is not a multiple of {kv_heads}")
    return [full.but(num_key_value_heads=kv_heads, sinks=True, sliding_window=size) if size else full for size in found]


def _fixed_by_transformers(config: Fields, full: Gqa, pattern: list[int], is_dense: list[bool]) -> None:
    """Keys of the released config which transformers derives from others."""
    fixed(
        config,
        swa_num_attention_heads=full.num_attention_heads,
        swa_num_key_value_heads=2 * full.num_key_value_heads,
        swa_head_dim=full.head_dim,
        swa_v_head_dim=full.v_head_dim,
        hybrid_layer_pattern=pattern,
        moe_layer_freq=[int(not dense) for dense in is_dense],
        add_swa_attention_sink_bias=True,
        add_full_attention_sink_bias=False,
        n_shared_experts=None,
    )
    config.ignore("attention_chunk_size", "attention_projection_layout", "attention_value_scale", "hybrid_block_size")
