"""The layers of Inkling 2: inputs that attend to earlier blocks of layers, gated attention with sinks made of the
input, in full layers convolutions whose taps depend on the input; experts in every layer."""

from typing import TYPE_CHECKING

from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Constants, Norm, Projection
from sparsecalc.model.block_residual import BlockResidual
from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, body
from sparsecalc.read.fields import Fields
from sparsecalc.read.inkling import HYBRID, convolutions, inkling_attention, layer_kinds, relative_bias

if TYPE_CHECKING:
    from sparsecalc.model.kinds import Extra


def inkling2_layers(config: Fields, hidden: int) -> list[Layer]:
    """The layers in order, each once."""
    count = config.layers()
    config.ignore("log_scaling_n_floor", "log_scaling_alpha", "qk_l2_clip_threshold", "rel_l2_clip_threshold")
    config.ignore("mlp_gate_softcap", "mlp_up_softcap", "scoring_func", "route_scale")
    moe = Moe(
        hidden_size=hidden,
        num_experts=config.size("n_routed_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("moe_intermediate_size", required=True),
    )
    per_block = config.size("n_layers_per_attn_res_block")
    return [_layer(config, moe, kind, index, per_block) for index, kind in enumerate(layer_kinds(config, count))]


def inkling2_body(config: Fields, hidden: int, layers: list[Layer], *more: Constants) -> Body:
    """The frame: norms of embedding and output, the last residual, and an LM head of unpadded_vocab_size rows."""
    blocks = -(-config.layers() // config.size("n_layers_per_attn_res_block"))
    residual = BlockResidual(name="final_input", hidden_size=hidden, sources=blocks + 1)
    final: tuple[Extra, ...] = (Norm(name="embed_norm", size=hidden), *more, residual, Norm(size=hidden))
    found = body(config, layers, hidden=hidden, final=final, tied=False)
    if found.head:
        found.head = found.head.but(out_features=config.size("unpadded_vocab_size"))
    return found


def _layer(config: Fields, moe: Moe, kind: str, index: int, per_block: int) -> Layer:
    """A layer adds a block where its index is a multiple of `per_block`; the first has no residual before attention."""
    hidden, full = moe.hidden_size, kind == HYBRID
    before, adds = -(-index // per_block), index % per_block == 0
    mixer = inkling_attention(config, hidden, kind)
    inputs = BlockResidual(name="attention_input", hidden_size=hidden, queries=3 if full else 1, sources=before + 1)
    outputs = BlockResidual(name="mlp_input", hidden_size=hidden, sources=before + adds + 1)
    names = ("q_input_layernorm", "k_input_layernorm", "v_input_layernorm") if full else ("input_layernorm",)
    return Layer(
        mixers=(mixer,),
        feed_forwards=(moe,),
        norms=tuple(Norm(name=name, size=hidden) for name in (*names, "post_attention_layernorm")),
        extras=(*((inputs,) if index else ()), outputs, *_beside_attention(config, mixer, full)),
    )


def _beside_attention(config: Fields, mixer: Gqa, full: bool) -> "tuple[Extra, ...]":
    """Gate, sinks, scales, position bias and convolutions of one attention."""
    hidden, heads, kernel = mixer.hidden_size, mixer.num_attention_heads, config.size("conv_kernel_size")
    width, keys = heads * mixer.head_dim, mixer.num_key_value_heads * mixer.head_dim
    taps = Projection(
        name="sconv.weight_proj",
        component="state_space",
        in_features=hidden,
        out_features=mixer.num_key_value_heads * kernel,
        matrices=2,
    )
    return (
        Projection(name="gate_proj", component="attention", in_features=hidden, out_features=width),
        Projection(name="sink_proj", component="attention", in_features=hidden, out_features=heads),
        Constants(
            name="q and r scales", component="attention", elements=heads * (mixer.head_dim + config.size("d_rel"))
        ),
        *relative_bias(config, mixer),
        *convolutions(keys, keys, hidden, hidden, kernel=kernel),
        *((taps,) if full else ()),
    )
