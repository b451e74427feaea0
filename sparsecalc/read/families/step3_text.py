"""Step 3: one key-value head under factorized queries, experts beside a shared one in the listed layers.

Not part of transformers: the architecture is that which vLLM 0.33.0 serves (step3_text.py; arXiv:2507.19427). The
total agrees with the published 316B of the language model.
"""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.feed_forward import Moe
from sparsecalc.read.build import Body
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_or_moe_body, listed_layers


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    dim = config.size("head_dim")
    mixer = Gqa(
        hidden_size=hidden,
        num_attention_heads=config.size("num_attention_heads", required=True),
        num_key_value_heads=config.size("num_attention_groups", default=1),
        head_dim=dim,
        q_lora_rank=config.optional_size("share_q_dim") or dim,
    )
    if mixer.num_key_value_heads != 1:
        config.refuse("num_attention_groups is not 1", "Step 3 has one key-value head")
    moe = Moe(
        hidden_size=hidden,
        num_experts=config.size("moe_num_experts", required=True),
        num_experts_per_tok=config.size("moe_top_k", required=True),
        moe_intermediate_size=config.size("moe_intermediate_size", required=True),
        shared_intermediate_size=config.size("share_expert_dim"),
    )
    config.ignore("norm_expert_weight", "max_position_embedding", "max_seq_len")
    sparse = listed_layers(config, "moe_layers_enum")
    is_dense = [index == 0 for index in range(count)] if sparse is None else [i not in sparse for i in range(count)]
    return dense_or_moe_body(config, hidden, [mixer] * count, moe, is_dense)
