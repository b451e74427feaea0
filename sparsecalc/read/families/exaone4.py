"""EXAONE 4.0: q/k norms, norms after attention and MLP only, windowed layers with a full one after each three."""

from sparsecalc.read.attention import normed_attention, window_pattern
from sparsecalc.read.build import Body, body, mlp, norms, windowed_layers
from sparsecalc.read.fields import Fields
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    config.ignore("_num_mtp_layers", "mtp_share_layers", "mtp_loss_scaling_factor")
    note_mtp(config)
    found = window_pattern(config, config.layers())
    return body(config, windowed_layers(normed_attention(config, hidden), dense, norms(hidden), found), hidden=hidden)
