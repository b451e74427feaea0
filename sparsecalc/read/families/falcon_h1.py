"""Falcon-H1: attention and Mamba 2 side by side in every layer; the inner width is mamba_d_ssm where given."""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.recurrent import mamba2_mixer


def read(config: Fields) -> Body:
    hidden, bias = config.size("hidden_size", required=True), config.flag("attention_bias")
    config.ignore("attention_in_multiplier", "attention_out_multiplier", "key_multiplier", "lm_head_multiplier")
    config.ignore("mlp_multipliers", "ssm_in_multiplier", "ssm_multipliers", "ssm_out_multiplier", "mamba_expand")
    config.ignore("mamba_norm_before_gate", "mlp_expansion_factor", "time_step_rank")
    fixed(config, mamba_use_mlp=True, attn_layer_indices=None)
    width = config.optional_size("mamba_d_ssm") or config.size("mamba_expand") * hidden
    recurrent = mamba2_mixer(config, hidden, width)
    recurrent = recurrent.but(out_bias=config.flag("projectors_bias"), gated_norm=config.flag("mamba_rms_norm"))
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=bias, o_bias=bias), recurrent),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True), bias=config.flag("mlp_bias")),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
