"""OPT and Galactica: learned positions with two extra rows; a narrower input table with projections in OPT-350M."""

from sparsecalc.model.basic_parts import Norm, Projection, Table
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields

EXTRA_POSITIONS = 2
"""transformers' offset of the position table."""


def read(config: Fields) -> Body:
    hidden, heads = config.size("hidden_size", required=True), config.size("num_attention_heads", required=True)
    if hidden % heads:
        config.refuse(f"hidden_size ({hidden}) is not a multiple of the {heads} heads")
    fixed(config, learned_embeddings=True, scale_embeddings=False)
    config.ignore("attn_bias")
    bias, gain = config.flag("enable_bias"), config.flag("layer_norm_elementwise_affine")
    mixer = attention(
        config,
        hidden,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=hidden // heads,
        qkv_bias=bias,
        o_bias=bias,
    )
    layer = Layer(
        mixers=(mixer,),
        feed_forwards=(mlp(hidden, config.size("ffn_dim", required=True), bias=bias, gated=False),),
        norms=norms(hidden, bias=gain, gain=gain),
    )
    width = config.optional_size("word_embed_proj_dim") or hidden
    final: list[Norm | Projection] = []
    if width != hidden:
        final.append(Projection(name="project_in", in_features=width, out_features=hidden))
        final.append(Projection(name="project_out", in_features=hidden, out_features=width))
    before, removed = config.flag("do_layer_norm_before"), config.flag("_remove_final_layer_norm")
    if before and not removed:
        final.append(Norm(name="final_layer_norm", size=hidden, bias=gain, gain=gain))
    rows = config.size("max_position_embeddings") + EXTRA_POSITIONS
    positions = Table(name="embed_positions", rows=rows, size=hidden)
    layers = [layer] * config.layers()
    return body(config, layers, hidden=hidden, final=tuple(final), tables=(positions,), embedding_size=width)
