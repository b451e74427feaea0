"""LongCat-Flash: two latent attentions and two dense MLPs per layer beside one mixture with zero-compute experts."""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.latent import Mla
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers("num_layers")
    heads, _ = config.heads()
    config.ignore("qk_head_dim", "head_dim", "mla_scale_q_lora", "mla_scale_kv_lora", "attention_method")
    config.ignore("zero_expert_type", "router_bias", "num_hidden_layers")
    mixer = Mla(
        hidden_size=hidden,
        num_attention_heads=heads,
        q_lora_rank=config.optional_size("q_lora_rank"),
        kv_lora_rank=config.size("kv_lora_rank"),
        qk_nope_head_dim=config.size("qk_nope_head_dim"),
        qk_rope_head_dim=config.size("qk_rope_head_dim"),
        v_head_dim=config.size("v_head_dim"),
        attention_bias=config.flag("attention_bias"),
    )
    width = config.size("expert_ffn_hidden_size")
    experts, zero = config.size("n_routed_experts", required=True), config.size("zero_expert_num", zero=True)
    moe = Moe(
        hidden_size=hidden,
        num_experts=experts,
        num_experts_per_tok=config.size("moe_topk", required=True),
        moe_intermediate_size=width,
        zero_experts=zero,
    )
    if zero:
        rows = count * zero * 2 * width * hidden
        text = f"{zero} zero-compute experts have no weights; transformers allocates {rows:,} elements for them, not counted"
        config.note("zero-experts", text)
    dense = mlp(hidden, config.size("ffn_hidden_size", required=True))
    layer = Layer(mixers=(mixer, mixer), feed_forwards=(dense, dense, moe), norms=(*norms(hidden), *norms(hidden)))
    return body(config, [layer] * count, hidden=hidden)
