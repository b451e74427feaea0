"""Mamba 2 (state space duality): one norm and one mixer with a gated norm per layer, no feed-forward."""

from sparsecalc.model.recurrent import Mamba2
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, body, fixed, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.recurrent import expanded_width


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    fixed(config, d_model=hidden, n_layer=count, ssm_cfg={}, rms_norm=True)
    config.ignore("time_step_rank", "norm_before_gate", "intermediate_size", "pad_vocab_size_multiple")
    heads, dim, inner = config.size("num_heads"), config.size("head_dim"), expanded_width(config, hidden, "expand")
    if heads * dim != inner:
        config.refuse(f"num_heads ({heads}) times head_dim ({dim}) is not expand times hidden_size ({inner})")
    mixer = Mamba2(
        hidden_size=hidden,
        num_heads=heads,
        head_dim=dim,
        state_size=config.size("state_size"),
        n_groups=config.size("n_groups"),
        conv_kernel=config.size("conv_kernel"),
        use_conv_bias=config.flag("use_conv_bias"),
        use_bias=config.flag("use_bias"),
    )
    return body(config, [Layer(mixers=(mixer,), norms=norms(hidden, 1))] * count, hidden=hidden)
