"""Zamba2: Mamba 2 in every layer; in the hybrid ones a transformer block before it, whose weights the layers share."""

from sparsecalc.model.recurrent import Mamba2
from sparsecalc.model.shared_transformer import SharedTransformer
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, body, fixed, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.recurrent import expanded_width

HYBRID = "hybrid"


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    kinds = config.per_layer("layers_block_type", count, ("mamba", "linear_attention", HYBRID))
    if kinds is None:
        config.refuse("layers_block_type is missing", "It names each layer: mamba or hybrid")
    config.need_own_name("layers_block_type")
    bias = config.flag("add_bias_linear")
    recurrent, block = _mamba(config, hidden, bias), _block(config, hidden, bias)
    config.ignore("hybrid_layer_ids", "kv_channels", "num_query_groups", "use_mem_rope", "use_long_context", "ft_lora")
    config.ignore("use_mem_eff_path", "mamba_headdim", "lora_rank", "num_logits_to_keep")
    fixed(config, use_conv_bias=True, gated_linear_unit=True, use_shared_mlp_adapter=True)
    sets, seen, layers = config.size("num_mem_blocks"), 0, []
    if not config.flag("tie_word_embeddings") and kinds.count(HYBRID) > sets:
        text = "tie_word_embeddings is off: transformers then gives each hybrid layer a block of its own, counted so"
        config.note("untied-blocks", text)
        sets = count
    plain = Layer(mixers=(recurrent,), norms=norms(hidden, 1))
    for kind in kinds:
        if kind == HYBRID:
            layers.append(plain.but(mixers=(block.but(owns=seen < sets), recurrent)))
            seen += 1
        else:
            layers.append(plain)
    return body(config, layers, hidden=hidden)


def _mamba(config: Fields, hidden: int, bias: bool) -> Mamba2:
    inner, heads = expanded_width(config, hidden, "mamba_expand"), config.size("n_mamba_heads")
    if inner % heads:
        config.refuse(f"mamba_expand times hidden_size ({inner}) is not a multiple of n_mamba_heads ({heads})")
    return Mamba2(
        hidden_size=hidden,
        num_heads=heads,
        head_dim=inner // heads,
        state_size=config.size("mamba_d_state"),
        n_groups=config.size("mamba_ngroups"),
        conv_kernel=config.size("mamba_d_conv"),
        use_bias=bias,
    )


def _block(config: Fields, hidden: int, bias: bool) -> SharedTransformer:
    heads, kv_heads = config.heads()
    if 2 * hidden % heads:
        config.refuse(f"twice hidden_size ({2 * hidden}) is not a multiple of the {heads} heads")
    fixed(config, attention_hidden_size=2 * hidden, attention_head_dim=2 * hidden // heads)
    width = config.optional_size("intermediate_size") or 4 * hidden
    fixed(config, ffn_hidden_size=width)
    return SharedTransformer(
        hidden_size=hidden,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=2 * hidden // heads,
        intermediate_size=width,
        mlp_bias=bias,
        adapter_rank=config.size("adapter_rank"),
        attention_adapters=config.flag("use_shared_attention_adapter"),
        owns=True,
    )
