"""Qwen3 MoE (30B-A3B, 235B-A22B): q/k norms, experts on every decoder_sparse_step-th layer, none shared."""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import qwen_sparse_layers


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    bias = config.flag("attention_bias")
    window = config.optional_size("sliding_window", zero=True) if config.flag("use_sliding_window") else None
    config.ignore("sliding_window", "max_window_layers", "layer_types")
    fixed(config, use_qk_norm=True, qkv_bias=False, shared_expert_intermediate_size=0)
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias, sliding_window=window or None)
    mixer = mixer.but(qk_norm=2 * mixer.head_dim)
    moe = Moe(
        hidden_size=hidden,
        num_experts=config.size("num_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("moe_intermediate_size", required=True),
    )
    count = config.layers()
    sparse = qwen_sparse_layers(config, count)
    dense = None if all(sparse) else mlp(hidden, config.size("intermediate_size"))
    config.ignore("intermediate_size")
    layers = [
        Layer(mixers=(mixer,), feed_forwards=(moe if is_sparse or dense is None else dense,), norms=norms(hidden))
        for is_sparse in sparse
    ]
    return body(config, layers, hidden=hidden)
