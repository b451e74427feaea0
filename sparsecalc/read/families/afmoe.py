"""Trinity (AFMoE): gated attention with q/k norms, full on every n-th layer, leading dense layers, shared experts."""

from sparsecalc.model.basic_parts import Projection
from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, every_nth_full, mlp, norms, windows
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count, bias = config.size("hidden_size", required=True), config.layers(), config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    mixer = mixer.but(qk_norm=2 * mixer.head_dim)
    gate_width = mixer.num_attention_heads * mixer.head_dim
    gate = Projection(name="gate_proj", component="attention", in_features=hidden, out_features=gate_width)
    dense_layers, width = (
        config.size("num_dense_layers", zero=True),
        config.size("moe_intermediate_size", required=True),
    )
    dense = mlp(hidden, config.size("intermediate_size", required=dense_layers > 0))
    experts = config.size("num_experts", required=True)
    moe = Moe(
        hidden_size=hidden,
        num_experts=experts,
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=width,
        router_bias=True,
        shared_intermediate_size=(config.optional_size("num_shared_experts", zero=True) or 0) * width,
    )
    config.ignore("route_norm", "route_scale", "load_balance_coeff", "num_expert_groups", "num_limited_groups")
    config.ignore("score_func", "use_grouped_mm")
    pattern = every_nth_full(count, config.size("global_attn_every_n_layers"))
    found = windows(config, count, config.optional_size("sliding_window"), pattern)
    layers = [
        Layer(
            mixers=(mixer.but(sliding_window=window),),
            feed_forwards=(dense if index < dense_layers else moe,),
            norms=norms(hidden, 4),
            extras=(gate,),
        )
        for index, window in enumerate(found)
    ]
    return body(config, layers, hidden=hidden)
