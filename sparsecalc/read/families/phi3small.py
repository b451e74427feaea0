"""Phi-3-small 7B (remote code; SGLang's Phi3SmallForCausalLM): LayerNorms and biases, some layers block-sparse.

Not in transformers. The block-sparse layers keep all keys; attention is counted over the whole context, which is the
upper bound for them. Phi-3-small-8k so counted has its 7.39 B parameters.
"""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields

UNUSED = (
    *("blocksparse_block_size", "blocksparse_homo_head_pattern", "blocksparse_num_local_blocks", "gegelu_limit"),
    *("blocksparse_vert_stride", "blocksparse_triton_kernel_block_size", "dummy_token_indices", "gegelu_pad_to_256"),
    *("mup_use_scaling", "mup_width_multiplier", "mup_embedding_multiplier", "mup_attn_multiplier"),
    *("rope_embedding_base", "rope_position_scale", "attention_dropout_prob", "ffn_dropout_prob", "ff_dim_multiplier"),
    *("embedding_dropout_prob", "use_cache", "layer_norm_epsilon"),
)


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    config.ignore(*UNUSED)
    if config.optional_size("dense_attention_every_n_layers", default=None) not in (None, 1):
        text = "block-sparse layers: attention is counted over the whole context, not over the blocks that they pick"
        config.note("sparse-attention", text)
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=True, o_bias=True),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True), bias=True),),
        norms=norms(hidden, bias=True),
    )
    return body(config, [layer] * config.layers(), hidden=hidden, norm_bias=True)
