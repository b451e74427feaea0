"""Kimi Linear: Kimi Delta Attention, with latent attention in some layers; shared and routed experts."""

from sparsecalc.model.latent import Mla
from sparsecalc.model.recurrent import GatedDeltaNet
from sparsecalc.read.attention import latent_attention
from sparsecalc.read.build import FULL, Body, fixed
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import dense_by_type, dense_or_moe_body, leading_dense, routed_and_shared_experts
from sparsecalc.read.recurrent import LINEAR, delta_kinds, kimi_delta_attention
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    nested = config.part("linear_attn_config")
    kinds = delta_kinds(config, nested, count)
    found: dict[str, Mla | GatedDeltaNet] = {}
    if FULL in kinds:
        found[FULL] = latent_attention(config, hidden)
    if LINEAR in kinds:
        found[LINEAR] = kimi_delta_attention(config, nested, hidden)
    config.ignore("mla_use_nope", "moe_renormalize", "num_expert_group", "use_grouped_topk")
    note_mtp(config)
    is_dense = dense_by_type(config, count, leading_dense(config, count))
    moe = routed_and_shared_experts(config, hidden, experts="num_local_experts")
    fixed(config, tie_word_embeddings=False)
    return dense_or_moe_body(config, hidden, [found[kind] for kind in kinds], moe, is_dense, tied=False)
