"""The layers that all LongCat-Flash models share: two of attention and of dense MLPs beside one mixture."""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import latent_attention
from sparsecalc.read.build import fixed, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.vendor_keys import note_mtp


def longcat_layers(config: Fields, hidden: int) -> list[Layer]:
    """The layers, with what LongCat's configs repeat checked against it."""
    count = config.layers("num_layers")
    fixed(config, num_hidden_layers=2 * count, zero_expert_type="identity", attention_method="MLA")
    fixed(config, mla_scale_q_lora=True, mla_scale_kv_lora=True)
    note_mtp(config, as_deepseek=False)
    mixer = latent_attention(config, hidden)
    width = mixer.qk_nope_head_dim + mixer.qk_rope_head_dim
    if (config.optional_size("qk_head_dim") or width) != width:
        config.refuse(f"qk_head_dim is not qk_nope_head_dim + qk_rope_head_dim ({width})", "Remove it")
    dense = mlp(hidden, config.size("ffn_hidden_size", required=True))
    layer = Layer(
        mixers=(mixer, mixer),
        feed_forwards=(dense, dense, _experts(config, hidden, count)),
        norms=norms(hidden) * 2,
    )
    return [layer] * count


def _experts(config: Fields, hidden: int, count: int) -> Moe:
    """Experts with weights, and zero experts that only take part in the routing."""
    width = config.size("expert_ffn_hidden_size", required=True)
    experts, zero = config.size("n_routed_experts", required=True), config.size("zero_expert_num", zero=True)
    if zero:
        size = f"{count * zero * 2 * width * hidden:,} elements"
        text = f"{zero} zero-compute experts have no weights; transformers allocates {size} for them, not counted here"
        config.note("zero-experts", text)
    return Moe(
        hidden_size=hidden,
        num_experts=experts,
        num_experts_per_tok=config.size("moe_topk", required=True),
        moe_intermediate_size=width,
        router_bias=config.flag("router_bias", default=False),
        zero_experts=zero,
    )
