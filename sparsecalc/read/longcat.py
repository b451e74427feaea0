"""The layers that all LongCat-Flash models share: two of attention and of dense MLPs beside one mixture."""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.latent import Mla
from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import latent_attention
from sparsecalc.read.build import fixed, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.vendor_keys import note_mtp


def longcat_layers(config: Fields, hidden: int, *, sparse: bool = False) -> list[Layer]:
    """The layers, with what LongCat's configs repeat checked against it; `sparse` ones have indexers."""
    count = config.layers("num_layers")
    fixed(config, num_hidden_layers=2 * count, zero_expert_type="identity")
    fixed(config, mla_scale_q_lora=True, mla_scale_kv_lora=True)
    note_mtp(config, as_deepseek=False)
    mixer = latent_attention(config, hidden)
    mixers = _sparse_pair(config, mixer) if sparse else (mixer, mixer)
    width = mixer.qk_nope_head_dim + mixer.qk_rope_head_dim
    if (config.optional_size("qk_head_dim") or width) != width:
        config.refuse(f"qk_head_dim is not qk_nope_head_dim + qk_rope_head_dim ({width})", "Remove it")
    dense = mlp(hidden, config.size("ffn_hidden_size", required=True))
    layer = Layer(
        mixers=mixers,
        feed_forwards=(dense, dense, _experts(config, hidden, count)),
        norms=norms(hidden) * 2,
    )
    return [layer] * count


def _sparse_pair(config: Fields, plain: Mla) -> tuple[Mla, Mla]:
    """LongCat Sparse Attention: an indexer in each attention, or in the first of each cli_factor of them."""
    own = plain.but(
        index_n_heads=config.size("index_n_heads"),
        index_head_dim=config.size("index_head_dim"),
        index_topk=config.size("index_topk"),
        index_k_norm_bias=config.text("index_k_norm_type") != "rms",
    )
    every = config.size("cli_factor", default=1)
    if every > 2:
        config.refuse(f"cli_factor is {every}", "LongCat's layers have two attentions: 1 and 2 are known")
    config.ignore("index_init_tokens", "index_local_tokens", "index_topk_pattern", "dsa_mtp_cli", "moe_impl")
    config.ignore("moe_switch_token_num", "mtp_replicate_modules", "mtp_disable_over_tokenizer", "mtp_num_layers")
    return own, own if every == 1 else own.but(index_n_heads=0, index_head_dim=0)


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
