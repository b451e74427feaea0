"""RWKV-4: time mix and channel mix behind LayerNorms with bias, one more norm in the first layer; no attention."""

from sparsecalc.model.feed_forward import RwkvChannelMix
from sparsecalc.model.recurrent import RwkvTimeMix
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, body, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    config.ignore("context_length", "rescale_every")
    inner = config.optional_size("attention_hidden_size") or hidden
    width = config.optional_size("intermediate_size") or 4 * hidden
    first, other = (
        Layer(
            mixers=(RwkvTimeMix(hidden_size=hidden, attention_hidden_size=inner),),
            feed_forwards=(RwkvChannelMix(hidden_size=hidden, intermediate_size=width),),
            norms=norms(hidden, norm_count, bias=True),
        )
        for norm_count in (3, 2)
    )
    return body(config, [first] + [other] * (count - 1), hidden=hidden, norm_bias=True)
