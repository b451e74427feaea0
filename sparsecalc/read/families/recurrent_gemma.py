"""RecurrentGemma (Griffin): gated linear recurrences, windowed attention by block_types; half of intermediate_size."""

from sparsecalc.model.recurrent import RgLru
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields

KINDS = ("recurrent", "attention")
DEFAULT_BLOCKS = ("recurrent", "recurrent", "attention")


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    heads, kv_heads = config.heads()
    if hidden % heads:
        config.refuse(f"hidden_size ({hidden}) is not a multiple of the {heads} heads")
    config.ignore(
        "w_init_variance_scale", "final_w_init_variance_scale", "logits_soft_cap", "embeddings_scale_by_sqrt_dim"
    )
    config.ignore("head_dim", "_block_types")
    width = config.optional_size("lru_width") or hidden
    if width % heads:
        config.refuse(f"lru_width ({width}) is not a multiple of the {heads} heads")
    local = attention(
        config,
        hidden,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=hidden // heads,
        qkv_bias=config.flag("attention_bias"),
        o_bias=True,
        sliding_window=config.size("attention_window_size"),
    )
    recurrent = RgLru(hidden_size=hidden, lru_width=width, num_heads=heads, conv_kernel=config.size("conv1d_width"))
    dense = mlp(hidden, config.size("intermediate_size", required=True) // 2, bias=True)
    pattern = config.sequence("block_types") or list(DEFAULT_BLOCKS)
    if any(kind not in KINDS for kind in pattern):
        config.refuse("block_types holds an unknown kind", f"Known are {', '.join(KINDS)}")
    layers = [
        Layer(
            mixers=(local if pattern[index % len(pattern)] == "attention" else recurrent,),
            feed_forwards=(dense,),
            norms=norms(hidden),
        )
        for index in range(count)
    ]
    return body(config, layers, hidden=hidden)
