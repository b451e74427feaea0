"""Alice AI Foundation 80B-A3B (vLLM's AliceAIForCausalLM): Kimi Delta Attention and gated attention, experts, AttnRes.

Not in transformers. Sizes are Qwen3-Next's; each part's input is a softmax mix of the blocks of layers before it
(attention residuals): one row and one gain of hidden_size for each mix. The routers' biases are not counted.
"""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Constants, Norm, Projection
from sparsecalc.model.recurrent import GatedDeltaNet
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, Body, body, norms, without
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import gated_shared_moe
from sparsecalc.read.recurrent import LINEAR, delta_net, gated_attention, layer_kinds
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    without(config, "kda_allow_negative_eigenvalues", "attention_bias")
    config.ignore("router_score_function", "router_bias_correction", "number_of_conv_states", "decoder_sparse_step")
    config.ignore("mlp_only_layers", "intermediate_size", "block_attn_res_block_size")
    note_mtp(config, "mtp_num_hidden_layers", as_deepseek=False)
    mixers: dict[str, Gqa | GatedDeltaNet] = {
        LINEAR: _delta_attention(config, hidden),
        FULL: gated_attention(config, hidden),
    }
    moe = gated_shared_moe(config, hidden)
    layers = [
        Layer(
            mixers=(mixers[kind],),
            feed_forwards=(moe,),
            norms=norms(hidden),
            extras=_residual_mixes(hidden, 2 if index else 1),
        )
        for index, kind in enumerate(layer_kinds(config, count))
    ]
    return body(config, layers, hidden=hidden, final=(Norm(size=hidden), *_residual_mixes(hidden, 1)))


def _delta_attention(config: Fields, hidden: int) -> GatedDeltaNet:
    mixer = delta_net(config, hidden)
    pairs = (mixer.num_key_heads, mixer.key_head_dim), (mixer.num_value_heads, mixer.value_head_dim)
    if pairs[0] != pairs[1]:
        config.refuse("keys and values of the linear layers differ in heads or head size, which alice_ai does not have")
    return mixer.but(channel_decay=True)


def _residual_mixes(hidden: int, count: int) -> tuple[Projection | Constants, ...]:
    """`count` mixes over earlier blocks: the map to one score each, and the gain of the norm before it."""
    return (
        Projection(name="res_proj", in_features=hidden, out_features=1, matrices=count),
        Constants(name="res_norm", elements=hidden * count),
    )
