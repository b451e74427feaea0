"""DBRX: experts in every layer, norms without bias, keys of its own names in attn_config and ffn_config."""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, norms, without
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("d_model", required=True)
    config.need_own_name("d_model")
    config.ignore("emb_pdrop")
    without(config, "tie_word_embeddings")
    heads = config.size("n_heads", required=True)
    ffn, attn = config.part("ffn_config"), config.part("attn_config")
    kv_heads = attn.size("kv_n_heads", required=True)
    if heads % kv_heads or hidden % heads:
        config.refuse(f"d_model ({hidden}), n_heads ({heads}) and kv_n_heads ({kv_heads}) do not divide")
    ffn.ignore("hidden_size", "moe_jitter_eps", "moe_loss_weight", "uniform_expert_assignment")
    moe = Moe(
        hidden_size=hidden,
        num_experts=ffn.size("moe_num_experts", required=True),
        num_experts_per_tok=ffn.size("moe_top_k", required=True),
        moe_intermediate_size=ffn.size("ffn_hidden_size", required=True),
    )
    sizes = {"num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": hidden // heads}
    layer = Layer(mixers=(attention(config, hidden, **sizes),), feed_forwards=(moe,), norms=norms(hidden))
    return body(config, [layer] * config.layers("n_layers"), hidden=hidden)
