"""Qwen1.5-MoE-A2.7B and Qwen2-57B-A14B: routed experts beside one shared expert behind a gate of its own."""

from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, SLIDING, Body, attention, body, mlp, norms, windows, without_windows
from sparsecalc.read.families.qwen3_moe import sparse_layers
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    mixer = attention(config, hidden, qkv_bias=config.flag("qkv_bias"))
    layers = [
        Layer(mixers=(mixer.but(sliding_window=window),), feed_forwards=(feed_forward,), norms=norms(hidden))
        for window, feed_forward in zip(_windows(config, count), feed_forwards(config, hidden, count), strict=True)
    ]
    return body(config, layers, hidden=hidden)


def gated_shared_moe(config: Fields, hidden: int) -> Moe:
    """Routed experts and a gated shared expert, as all of Qwen's that have one."""
    return Moe(
        hidden_size=hidden,
        num_experts=config.size("num_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("moe_intermediate_size", required=True),
        shared_intermediate_size=config.size("shared_expert_intermediate_size", zero=True),
        shared_gate=True,
    )


def feed_forwards(config: Fields, hidden: int, count: int) -> list[DenseMlp | Moe]:
    """Experts by Qwen's rule, dense MLPs of intermediate_size in the other layers."""
    moe, sparse = gated_shared_moe(config, hidden), sparse_layers(config, count)
    dense = None if all(sparse) else mlp(hidden, config.size("intermediate_size"))
    config.ignore("intermediate_size")
    return [moe if is_sparse or dense is None else dense for is_sparse in sparse]


def _windows(config: Fields, count: int) -> list[int | None]:
    """Where use_sliding_window is set: every other layer below max_window_layers, or as layer_types says."""
    if not config.flag("use_sliding_window"):
        config.ignore("sliding_window", "max_window_layers")
        without_windows(config, count)
        return [None] * count
    below = count if config.has("layer_types") else config.size("max_window_layers", zero=True)
    config.ignore("max_window_layers")
    pattern = [SLIDING if index < below and index % 2 == 0 else FULL for index in range(count)]
    return windows(config, count, config.optional_size("sliding_window"), pattern)
