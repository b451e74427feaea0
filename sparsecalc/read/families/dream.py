"""Dream 7B, DiffuCoder, Dream-Coder (remote code): Qwen2.5's layers without a causal mask, for masked diffusion.

Not in transformers. Dream 7B has Qwen2.5-7B's 7,615,616,512 parameters, from which it was trained.
"""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, fixed, mlp, norms
from sparsecalc.read.diffusion import note_whole
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    fixed(config, use_sliding_window=False, use_mrope=False)
    config.ignore("sliding_window", "max_window_layers")
    note_whole(config)
    layer = Layer(
        mixers=(attention(config, hidden, qkv_bias=True, causal=False),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)
