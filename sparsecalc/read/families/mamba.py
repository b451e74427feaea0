"""Mamba 1: one norm and one selective state space per layer, no feed-forward; an explicit intermediate_size wins."""

import math

from sparsecalc.model.recurrent import Mamba
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, body, fixed, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    inner = config.optional_size("intermediate_size") or expanded(config, hidden, "expand")
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


def expanded(config: Fields, hidden: int, key: str) -> int:
    """The inner width: hidden_size times an expansion factor that may be a fraction, rounded down."""
    width = int(config.number(key) * hidden)
    if width < 1:
        config.refuse(f"{key} times hidden_size is {width}", "It must be positive")
    return width


def time_step_rank(config: Fields, key: str, hidden: int) -> int:
    """The rank of the step sizes; "auto" means hidden_size / 16, rounded up."""
    if config.raw(key) == "auto":
        return math.ceil(hidden / 16)
    return config.size(key)
