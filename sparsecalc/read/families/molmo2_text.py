"""The language model of Molmo 2: Qwen3's or OLMo 2's norms over queries and keys, an input table with rows of its own
for the tokens of images."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    config.ignore("norm_after", "rope_scaling_layers", "rope_theta")
    mixer, kind = attention(config, hidden, qkv_bias=config.flag("attention_bias")), config.text("qk_norm_type")
    if kind not in ("qwen3", "olmo"):
        config.refuse(f"qk_norm_type is {kind!r}", "Known are qwen3 and olmo")
    heads = 2 if kind == "qwen3" else mixer.num_attention_heads + mixer.num_key_value_heads
    layer = Layer(
        mixers=(mixer.but(qk_norm=heads * mixer.head_dim),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden),
    )
    found = body(config, [layer] * config.layers(), hidden=hidden)
    more = config.size("additional_vocab_size", zero=True)
    found.tables = (found.tables[0].but(rows=found.vocab_size + more),)
    return found
