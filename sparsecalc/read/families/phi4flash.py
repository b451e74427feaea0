"""Phi-4-mini-flash (SambaY, remote code; vLLM up to 0.10.2): Mamba and windows, then a decoder over one cache.

Not in transformers. Of the lower half's layers every second has a window; the layer after next to the middle keeps all
keys, and the attention above it reads them. Above the middle, Mamba layers give way to gated memory units, two maps
around the last Mamba's output. Attention is differential: its gains and its second weighing of the values are small
beside the maps, and the latter is left out of the FLOPs. So counted, the model has its 3.85 B parameters.
"""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Constants, Projection
from sparsecalc.model.recurrent import Mamba
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.recurrent import expanded_width, time_step_rank


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    if count % 4:
        config.refuse(f"num_hidden_layers is {count}", "It must be a multiple of 4")
    every = config.size("mb_per_layer")
    if every != 2:
        config.refuse(f"mb_per_layer is {every}", "Only Mamba in every second layer is read")
    config.note(
        "by-formula", "differential attention weighs the values twice; the FLOPs of scores and values count it once"
    )
    dense = mlp(hidden, config.size("intermediate_size", required=True), bias=config.flag("mlp_bias"))
    plain = Layer(feed_forwards=(dense,), norms=norms(hidden, bias=True))
    found = {name: plain.but(**parts) for name, parts in _kinds(config, hidden).items()}
    layers = [found[_kind(index, count)] for index in range(count)]
    bias = config.flag("lm_head_bias")
    return body(config, layers, hidden=hidden, norm_bias=True, head_bias=bias)


def _kind(index: int, count: int) -> str:
    above = index >= count // 2 + 2
    if index % 2 == 0:
        return "memory unit" if above else "mamba"
    return "cross" if above else "full" if index == count // 2 + 1 else "window"


def _kinds(config: Fields, hidden: int) -> "dict[str, dict[str, tuple[object, ...]]]":
    """Mixers and extras of each kind of layer."""
    mixer = attention(config, hidden, qkv_bias=True, o_bias=True)
    gains = (Constants(name="lambda, subln", component="attention", elements=6 * mixer.head_dim),)
    window = config.size("sliding_window")
    mamba = _mamba(config, hidden)
    inner = mamba.intermediate_size
    unit = (
        Projection(name="gmu.in_proj", component="state_space", in_features=hidden, out_features=inner),
        Projection(name="gmu.out_proj", component="state_space", in_features=inner, out_features=hidden),
    )
    attended: dict[str, Gqa] = {
        "window": mixer.but(sliding_window=window),
        "full": mixer,
        "cross": mixer.but(key_value="shared"),
    }
    kinds: dict[str, dict[str, tuple[object, ...]]] = {
        name: {"mixers": (each,), "extras": gains} for name, each in attended.items()
    }
    return {**kinds, "mamba": {"mixers": (mamba,)}, "memory unit": {"extras": unit}}


def _mamba(config: Fields, hidden: int) -> Mamba:
    return Mamba(
        hidden_size=hidden,
        intermediate_size=expanded_width(config, hidden, "mamba_expand"),
        state_size=config.size("mamba_d_state"),
        conv_kernel=config.size("mamba_d_conv"),
        time_step_rank=time_step_rank(config, "mamba_dt_rank", hidden),
        use_conv_bias=config.flag("mamba_conv_bias"),
        use_bias=config.flag("mamba_proj_bias"),
    )
