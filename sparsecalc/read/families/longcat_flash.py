"""LongCat-Flash: two latent attentions and two dense MLPs per layer beside one mixture with zero-compute experts."""

from sparsecalc.read.build import Body, body, fixed
from sparsecalc.read.fields import Fields
from sparsecalc.read.longcat import longcat_layers


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    fixed(config, attention_method="MLA")
    return body(config, longcat_layers(config, hidden), hidden=hidden)
