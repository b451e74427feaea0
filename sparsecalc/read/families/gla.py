"""GLA 1.3B and 2.7B (remote code, fla): gated linear attention in Llama's frame, attention in some layers if asked.

Not in transformers.
"""

from sparsecalc.core.text import brief
from sparsecalc.model.linear_attention import GatedLinearAttention
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.recurrent import expanded_width

MULTIPLE = 256


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    if config.raw("attn"):
        config.refuse("attn is given: some layers have softmax attention", "Only purely recurrent GLA is read")
    fixed(config, feature_map=None, use_gk=True, use_gv=False, attnres_block_size=None, elementwise_affine=True)
    config.ignore("attn_mode", "clamp_min", "fuse_norm", "fuse_swiglu", "fuse_linear_cross_entropy", "use_l2warp")
    config.ignore("gate_fn", "gate_logit_normalizer", "fuse_cross_entropy")
    dense = mlp(hidden, _width(config, hidden))
    layer = Layer(mixers=(_mixer(config, hidden),), feed_forwards=(dense,), norms=norms(hidden))
    return body(config, [layer] * config.layers(), hidden=hidden)


def _mixer(config: Fields, hidden: int) -> GatedLinearAttention:
    heads, kv_heads = config.heads("num_heads", "num_kv_heads")
    keys, values = expanded_width(config, hidden, "expand_k"), expanded_width(config, hidden, "expand_v")
    if keys % heads or values % heads:
        config.refuse(f"num_heads ({heads}) does not divide the {keys} keys and {values} values of a layer")
    kernel = config.size("conv_size")
    return GatedLinearAttention(
        hidden_size=hidden,
        num_heads=heads,
        num_key_value_heads=kv_heads,
        key_head_dim=keys // heads,
        value_head_dim=values // heads,
        gate_low_rank_dim=config.size("gate_low_rank_dim"),
        output_gate=config.flag("use_output_gate"),
        conv_kernel=kernel if config.flag("use_short_conv") else 0,
    )


def _width(config: Fields, hidden: int) -> int:
    """intermediate_size, or 2 / 3 of hidden_ratio times hidden_size, rounded up to 256."""
    given = config.optional_size("intermediate_size")
    if given is not None:
        return given
    ratio = config.number("hidden_ratio")
    if not 0 < ratio < hidden:
        config.refuse(f"hidden_ratio is {brief(ratio)}, not a positive number")
    return -(-int(hidden * ratio * 2 / 3) // MULTIPLE) * MULTIPLE
