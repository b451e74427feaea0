"""MiniMax-Text-01 and M1 as first released (remote code): transformers' MiniMax with older keys.

Not in transformers under this name; MiniMax-Text-01 so counted is its published 456,089,655,296.
"""

from sparsecalc.core.text import brief
from sparsecalc.read.build import FULL, Body, without
from sparsecalc.read.fields import Fields
from sparsecalc.read.recurrent import LINEAR, lightning_body


def read(config: Fields) -> Body:
    count = config.layers()
    kinds = config.integers("attn_type_list")
    if len(kinds) < count or not set(kinds) <= {0, 1}:
        config.refuse(
            f"attn_type_list is {brief(kinds)}", f"Each of the {count} layers needs 0 (lightning) or 1 (full)"
        )
    if config.optional_size("shared_intermediate_size", zero=True):
        config.refuse("shared_intermediate_size is set; no released MiniMax has a shared expert")
    without(config, "attention_bias")
    for part in ("full_attention", "linear_attention", "mlp"):
        config.ignore(f"layernorm_{part}_alpha", f"layernorm_{part}_beta")
    config.ignore("postnorm", "shared_moe_mode")
    return lightning_body(config, [FULL if kind else LINEAR for kind in kinds[:count]])
