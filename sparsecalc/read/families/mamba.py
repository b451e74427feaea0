"""Mamba 1: one norm and one selective state space per layer, no feed-forward; an explicit intermediate_size wins."""

from sparsecalc.model.recurrent import Mamba
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, body, fixed, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.recurrent import expanded_width, time_step_rank


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    inner = config.optional_size("intermediate_size") or expanded_width(config, hidden, "expand")
    fixed(config, d_model=hidden, n_layer=count, d_inner=inner, ssm_cfg={}, rms_norm=True)
    config.ignore("expand", "mixer_rms_eps", "use_associative_scan", "use_falcon_mambapy", "pad_vocab_size_multiple")
    mixer = Mamba(
        hidden_size=hidden,
        intermediate_size=inner,
        state_size=config.size("state_size"),
        conv_kernel=config.size("conv_kernel"),
        time_step_rank=time_step_rank(config, "time_step_rank", hidden),
        use_conv_bias=config.flag("use_conv_bias"),
        use_bias=config.flag("use_bias"),
    )
    return body(config, [Layer(mixers=(mixer,), norms=norms(hidden, 1))] * count, hidden=hidden)
