"""Snowflake Arctic: a dense residual MLP of the hidden size beside the experts of each sparse layer, with its own norm.

Not part of transformers: the architecture is that of the published remote code; the totals agree with its "480B" and
"17B active".
"""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms, without
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    without(config, "attention_bias")
    config.ignore("enable_expert_tensor_parallelism", "enc_index", "moe_eval_capacity_factor", "moe_min_capacity")
    config.ignore("moe_token_dropping", "moe_train_capacity_factor", "quantization")
    mixer = attention(config, hidden, sliding_window=config.optional_size("sliding_window"))
    width = config.size("intermediate_size", required=True)
    moe = Moe(
        hidden_size=hidden,
        num_experts=config.size("num_local_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=width,
    )
    dense = Layer(mixers=(mixer,), feed_forwards=(mlp(hidden, width),), norms=norms(hidden))
    sparse = Layer(mixers=(mixer,), feed_forwards=(moe,), norms=norms(hidden))
    if config.flag("parallel_attn_mlp_res"):
        residual = mlp(hidden, config.optional_size("residual_intermediate_size") or hidden)
        sparse = Layer(mixers=(mixer,), feed_forwards=(residual, moe), norms=norms(hidden, 3))
    config.ignore("residual_intermediate_size", "use_residual")
    step = config.size("moe_layer_frequency")
    layers = [dense if (index + 1) % step else sparse for index in range(config.layers())]
    return body(config, layers, hidden=hidden)
