"""K2 Horizon: gated attention over dense MLPs or experts; in MoVA models the values of sparse layers come from experts.

Not part of transformers: the architecture is that of IFM's published model code, as vLLM 0.33.0 serves it
(k2_horizon.py). Norms in groups have the gains of plain ones; the routers' biases are stored and counted.
"""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.expert_values import ExpertValues
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms, without
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import qwen_sparse_layers


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    without(config, "use_sliding_window")
    config.ignore("layernorm_num_groups", "rope_head_dim", "router_score_func", "router_scaling_factor")
    plain = _attention(config, hidden)
    values = _expert_values(config, plain)
    moe = _experts(config, hidden)
    sparse = qwen_sparse_layers(config, count) if moe else [False] * count
    config.ignore("decoder_sparse_step", "mlp_only_layers", "moe_intermediate_size")
    dense = mlp(hidden, config.size("intermediate_size")) if not all(sparse) else None
    config.ignore("intermediate_size")
    layers = []
    for is_sparse in sparse:
        feed_forward: DenseMlp | Moe | None = moe if is_sparse else dense
        assert feed_forward is not None
        mixer: Gqa | ExpertValues = values if is_sparse and values else plain
        layers.append(Layer(mixers=(mixer,), feed_forwards=(feed_forward,), norms=norms(hidden)))
    return body(config, layers, hidden=hidden)


def _attention(config: Fields, hidden: int) -> Gqa:
    """Gated where attention_gate_func names a function; query_key_norm has a gain for each channel of each head."""
    bias, gated = config.flag("attention_bias"), bool(config.text("attention_gate_func"))
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias, output_gate="per_element" if gated else "none")
    if config.flag("query_key_norm"):
        mixer = mixer.but(qk_norm=(mixer.num_attention_heads + mixer.num_key_value_heads) * mixer.head_dim)
    return mixer


def _expert_values(config: Fields, plain: Gqa) -> ExpertValues | None:
    experts = config.size("mova_num_experts", zero=True)
    config.ignore("mova_num_experts_per_tok", "moe_gate_bias")
    if not experts:
        return None
    return ExpertValues(
        **{key: value for key, value in vars(plain).items() if key != "kind"},
        num_value_experts=experts,
        num_value_experts_per_tok=config.size("mova_num_experts_per_tok"),
        value_router_bias=config.flag("moe_gate_bias"),
    )


def _experts(config: Fields, hidden: int) -> Moe | None:
    experts = config.size("num_experts", zero=True)
    config.ignore("num_experts_per_tok", "num_shared_experts")
    if not experts:
        return None
    width = config.size("moe_intermediate_size", required=True)
    return Moe(
        hidden_size=hidden,
        num_experts=experts,
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=width,
        shared_intermediate_size=config.size("num_shared_experts", zero=True) * width,
        router_bias=config.flag("moe_gate_bias"),
    )
