"""MiMo-V2-Flash: windowed layers with sinks and twice the key-value heads, values narrower than keys, experts."""

from sparsecalc.model.attention import Gqa
from sparsecalc.read.build import FULL, SLIDING, Body, attention, windows
from sparsecalc.read.families.deepseek_v3 import deepseek_body, deepseek_moe
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    full = attention(config, hidden, qkv_bias=config.flag("attention_bias"), v_head_dim=config.size("v_head_dim"))
    moe = deepseek_moe(config, hidden)
    return deepseek_body(config, hidden, _mixers(config, full, count), moe, dense_layers=1)


def _mixers(config: Fields, full: Gqa, count: int) -> list[Gqa]:
    previous = config.optional_size("sliding_window_size", default=None)
    own = config.size("sliding_window")
    window = own if previous is None else previous + 1  # the checkpoint's key leaves the query itself out
    default = [FULL if index == 0 or (index + 1) % 6 == 0 else SLIDING for index in range(count)]
    narrow = full.but(num_key_value_heads=2 * full.num_key_value_heads, sinks=True)
    if narrow.num_attention_heads % narrow.num_key_value_heads:
        config.refuse("num_attention_heads is not a multiple of twice num_key_value_heads")
    found = windows(config, count, window, default)
    return [narrow.but(sliding_window=size) if size else full for size in found]
