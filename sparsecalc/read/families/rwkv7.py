"""RWKV-7 "Goose" (remote code, fla): the delta rule with gates of low rank, a squared-ReLU MLP with a token shift.

Not in transformers. RWKV7-World 0.1B, 0.4B, 1.5B and 2.9B so counted have the totals of the paper, arXiv:2503.14456.
"""

from sparsecalc.model.basic_parts import Constants, Norm
from sparsecalc.model.linear_attention import Rwkv7TimeMix
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, body, mlp, norms
from sparsecalc.read.fields import Fields

RANKS = {"decay_low_rank_dim": 2.5, "a_low_rank_dim": 2.5, "v_low_rank_dim": 1.7, "gate_low_rank_dim": 5.0}
"""Where a rank is null: this times the root of hidden_size, rounded to a multiple of 32 (fla, layers/rwkv7.py)."""


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    if config.raw("attn"):
        config.refuse("attn is given: some layers have softmax attention", "Only purely recurrent RWKV-7 is read")
    config.ignore("attn_mode", "fuse_norm", "fuse_linear_cross_entropy", "use_l2warp", "num_heads", "value_dim")
    bias = config.flag("norm_bias")
    width = config.optional_size("intermediate_size") or int(config.number("hidden_ratio") * hidden)
    mixer = Rwkv7TimeMix(
        hidden_size=hidden,
        head_dim=config.size("head_dim"),
        decay_low_rank_dim=_rank(config, "decay_low_rank_dim", hidden),
        a_low_rank_dim=_rank(config, "a_low_rank_dim", hidden),
        v_low_rank_dim=_rank(config, "v_low_rank_dim", hidden),
        gate_low_rank_dim=_rank(config, "gate_low_rank_dim", hidden),
    )
    shift = Constants(name="x_k", component="dense_ffn", elements=hidden)
    layer = Layer(
        mixers=(mixer,),
        feed_forwards=(mlp(hidden, width, gated=False),),
        norms=norms(hidden, bias=bias),
        extras=(shift,),
    )
    first = layer.but(mixers=(mixer.but(v_low_rank_dim=0),))
    if config.flag("norm_first"):
        first = first.but(norms=(Norm(name="pre_norm", size=hidden, bias=bias), *layer.norms))
    return body(config, [first] + [layer] * (count - 1), hidden=hidden, norm_bias=bias)


def _rank(config: Fields, key: str, hidden: int) -> int:
    given = config.optional_size(key)
    return given or max(32, round(RANKS[key] * hidden**0.5 / 32) * 32)
