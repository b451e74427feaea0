"""OLMo 3: OLMo 2 with three windowed layers before each full one."""

from sparsecalc.read.attention import wide_qk_norm_attention
from sparsecalc.read.build import Body, body, every_nth_full, mlp, norms, windowed_layers, windows
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    count = config.layers()
    mixer = wide_qk_norm_attention(config, hidden)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    found = windows(config, count, config.optional_size("sliding_window"), every_nth_full(count, 4))
    return body(config, windowed_layers(mixer, dense, norms(hidden), found), hidden=hidden)
