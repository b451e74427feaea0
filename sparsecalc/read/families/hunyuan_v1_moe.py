"""Hunyuan A13B: q/k norms, and in every layer experts beside one shared MLP of the same width."""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import hunyuan_attention
from sparsecalc.read.build import Body, body, fixed, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import per_layer_sizes


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    width = config.size("intermediate_size", required=True)
    mixer = hunyuan_attention(config, hidden)
    fixed(config, moe_layer_num_skipped=0, use_mixed_mlp_moe=True)
    for key, always in (("moe_intermediate_size", width), ("num_shared_expert", 1)):
        fixed_in_layers(config, key, always, count)
    experts, top_k = per_layer_sizes(config, "num_experts", count), per_layer_sizes(config, "moe_topk", count)
    layers = [
        Layer(
            mixers=(mixer,),
            feed_forwards=(
                Moe(
                    hidden_size=hidden,
                    num_experts=experts[index],
                    num_experts_per_tok=top_k[index],
                    moe_intermediate_size=width,
                    shared_intermediate_size=width,
                ),
            ),
            norms=norms(hidden),
        )
        for index in range(count)
    ]
    return body(config, layers, hidden=hidden)


def fixed_in_layers(config: Fields, key: str, always: int, count: int) -> None:
    """`fixed` for a key that may be a list with one value per layer."""
    value = config.raw(key, default=None)
    if not isinstance(value, list) or any(each != always for each in value[:count]):
        fixed(config, **{key: always})
