"""LLaDA 8B and LLaDA-MoE 7B-A1B (remote code): Llama's or OLMoE's layers without a causal mask, for masked diffusion.

Not in transformers. LLaDA-8B so counted has the 8,015,581,184 parameters of its checkpoint, LLaDA-MoE the 7.36 B.
"""

from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, fixed, mlp, norms
from sparsecalc.read.diffusion import note_whole
from sparsecalc.read.fields import Fields

UNUSED = (
    *("alibi", "alibi_bias_max", "attention_layer_norm_with_affine", "block_group_size", "flash_attention", "rope"),
    *("input_emb_norm", "layer_norm_with_affine", "mlp_ratio", "multi_query_attention", "precision", "embedding_size"),
    *("scale_logits", "init_device", "init_fn", "init_std", "init_cutoff_factor", "rope_full_precision"),
    *("bias_for_layer_norm", "dense_intermediate_size", "moe_layer_freq", "qk_layernorm_type", "intermediate_size"),
)
"""Keys of the released configs that are read otherwise, or change no tensor where the keys that `fixed` names agree."""


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    fixed(config, block_type="llama", include_bias=False, attention_layer_norm=False, layer_norm_type="rms")
    config.ignore(*UNUSED)
    note_whole(config)
    mixer = attention(config, hidden, qkv_bias=config.flag("include_qkv_bias"), causal=False)
    if config.flag("qk_layernorm"):
        mixer = mixer.but(qk_norm=2 * mixer.head_dim)
    layer = Layer(mixers=(mixer,), feed_forwards=(_feed_forward(config, hidden),), norms=norms(hidden))
    return body(config, [layer] * config.layers(), hidden=hidden, tied=config.flag("weight_tying"))


def _feed_forward(config: Fields, hidden: int) -> DenseMlp | Moe:
    """Experts of expert_intermediate_size where num_experts is given, else a dense MLP."""
    experts = config.optional_size("num_experts", zero=True)
    if not experts:
        return mlp(hidden, config.size("intermediate_size", required=True))
    width = config.size("expert_intermediate_size", required=True)
    shared = config.optional_size("shared_expert_intermediate_size", zero=True) or 0
    return Moe(
        hidden_size=hidden,
        num_experts=experts,
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=width,
        shared_intermediate_size=shared,
    )
