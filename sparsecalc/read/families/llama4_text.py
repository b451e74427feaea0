"""Llama 4 (Scout, Maverick): attention within chunks on the layers that have rotary positions, one shared expert
beside the routed ones, experts on every interleave_moe_layer_step-th layer."""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import CHUNKED, FULL, Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    count = config.layers()
    bias = config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    config.ignore("use_qk_norm", "for_llm_compressor")
    width = config.size("intermediate_size", required=True)
    sparse = _sparse_layers(config, count)
    dense = mlp(hidden, config.size("intermediate_size_mlp")) if len(sparse) < count else None
    moe = _experts(config, hidden, width) if sparse else None
    config.ignore("intermediate_size_mlp", "num_local_experts", "num_experts_per_tok")
    layers = [
        Layer(
            mixers=(mixer.but(attention_chunk_size=chunk),),
            feed_forwards=tuple(filter(None, (moe if index in sparse else dense,))),
            norms=norms(hidden),
        )
        for index, chunk in enumerate(_chunks(config, count))
    ]
    return body(config, layers, hidden=hidden)


def _experts(config: Fields, hidden: int, width: int) -> Moe:
    """Routed experts and a shared one of the same width."""
    return Moe(
        hidden_size=hidden,
        num_experts=config.size("num_local_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=width,
        shared_intermediate_size=width,
    )


def _sparse_layers(config: Fields, count: int) -> set[int]:
    """moe_layers, or the last layer of each interleave_moe_layer_step."""
    if config.has("moe_layers"):
        config.ignore("interleave_moe_layer_step")
        return {index for index in config.integers("moe_layers") if 0 <= index < count}
    step = config.size("interleave_moe_layer_step", default=config.defaults["interleave_moe_layer_step"])
    return set(range(step - 1, count, step))


def _chunks(config: Fields, count: int) -> list[int | None]:
    """The chunk of each layer (None: full attention): layer_types, or full where no_rope_layers has a 0."""
    period = config.size("no_rope_layer_interval", default=config.defaults["no_rope_layer_interval"])
    rotary = config.integers("no_rope_layers") or [int((index + 1) % period != 0) for index in range(count)]
    kinds = config.per_layer("layer_types", count, (CHUNKED, FULL))
    if kinds is None:
        if len(rotary) < count:
            config.refuse(f"no_rope_layers has {len(rotary)} entries for {count} layers")
        kinds = [CHUNKED if each else FULL for each in rotary[:count]]
    chunk = config.optional_size("attention_chunk_size")
    return [chunk if kind == CHUNKED else None for kind in kinds]
