"""Recurrent mixers, and layers that mix them with attention, by the keys that several families share."""

import math
from collections.abc import Sequence

from sparsecalc.model.attention import Gqa
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.recurrent import GatedDeltaNet, LightningAttention, Mamba2, ShortConv
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, Body, attention, body, fixed, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import local_experts


def mamba2_mixer(config: Fields, hidden: int, inner: int) -> Mamba2:
    """Mamba 2 by the keys that hybrid families share; mamba_d_head may be "auto"."""
    heads = config.size("mamba_n_heads")
    dim = inner // heads if config.raw("mamba_d_head") in ("auto", None) else config.size("mamba_d_head")
    if heads * dim != inner:
        config.refuse(f"mamba_n_heads ({heads}) times mamba_d_head ({dim}) is not the inner width {inner}")
    return Mamba2(
        hidden_size=hidden,
        num_heads=heads,
        head_dim=dim,
        state_size=config.size("mamba_d_state"),
        n_groups=config.size("mamba_n_groups"),
        conv_kernel=config.size("mamba_d_conv"),
        use_conv_bias=config.flag("mamba_conv_bias"),
        use_bias=config.flag("mamba_proj_bias"),
    )


def expanded_width(config: Fields, hidden: int, key: str) -> int:
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


CONV = "conv"


def lfm2_mixers(config: Fields, hidden: int) -> tuple[Gqa, ShortConv]:
    """The two mixers of all LFM2 models."""
    full = attention(config, hidden)
    conv = ShortConv(hidden_size=hidden, conv_kernel=config.size("conv_L_cache"), conv_bias=config.flag("conv_bias"))
    return full.but(qk_norm=2 * full.head_dim), conv


def lfm2_tie(config: Fields) -> bool:
    """tie_embedding, the older name, wins."""
    config.ignore("tie_word_embeddings")
    return config.flag("tie_embedding") if config.has("tie_embedding") else config.flag("tie_word_embeddings")


def lfm2_layer_types(config: Fields, count: int) -> list[str] | None:
    """layer_types with attention by its present name."""
    kinds = config.per_layer("layer_types", count, (CONV, FULL, "attention"))
    return kinds and [FULL if kind == "attention" else kind for kind in kinds]


LINEAR = "linear_attention"


def lightning_body(config: Fields, kinds: Sequence[str]) -> Body:
    """Lightning or full attention by `kinds`, over experts of intermediate_size."""
    hidden = config.size("hidden_size", required=True)
    full = attention(config, hidden, sliding_window=config.optional_size("sliding_window"))
    linear = LightningAttention(
        hidden_size=hidden, num_attention_heads=full.num_attention_heads, head_dim=full.head_dim
    )
    config.ignore("block_size")
    moe = local_experts(config, hidden)
    layers = [
        Layer(mixers=(full if kind == FULL else linear,), feed_forwards=(moe,), norms=norms(hidden)) for kind in kinds
    ]
    return body(config, layers, hidden=hidden)


def hybrid_body(config: Fields, hidden: int, each: list[DenseMlp | Moe]) -> Body:
    """One of the feed-forwards in each layer, under a gated delta net or gated attention."""
    fixed(config, use_sliding_window=False, attn_output_gate=True)
    config.ignore("sliding_window", "max_window_layers")
    mixers: dict[str, Gqa | GatedDeltaNet] = {LINEAR: delta_net(config, hidden), FULL: gated_attention(config, hidden)}
    layers = [
        Layer(mixers=(mixers[kind],), feed_forwards=(feed_forward,), norms=norms(hidden))
        for kind, feed_forward in zip(layer_kinds(config, len(each)), each, strict=True)
    ]
    return body(config, layers, hidden=hidden)


def delta_net(config: Fields, hidden: int) -> GatedDeltaNet:
    """The gated delta net of the linear layers."""
    keys, values = config.size("linear_num_key_heads"), config.size("linear_num_value_heads")
    if values % keys:
        config.refuse(f"linear_num_value_heads ({values}) is not a multiple of linear_num_key_heads ({keys})")
    return GatedDeltaNet(
        hidden_size=hidden,
        num_key_heads=keys,
        num_value_heads=values,
        key_head_dim=config.size("linear_key_head_dim"),
        value_head_dim=config.size("linear_value_head_dim"),
        conv_kernel=config.size("linear_conv_kernel_dim"),
    )


def gated_attention(config: Fields, hidden: int) -> Gqa:
    """Attention with a gate per output element and norms over the heads of queries and keys."""
    bias = config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias, output_gate="per_element")
    return mixer.but(qk_norm=2 * mixer.head_dim)


def layer_kinds(config: Fields, count: int) -> list[str]:
    """layer_types, or full attention at the end of each full_attention_interval."""
    period = config.size("full_attention_interval", default=config.defaults["full_attention_interval"])
    kinds = config.per_layer("layer_types", count, (LINEAR, FULL))
    return kinds or [LINEAR if (index + 1) % period else FULL for index in range(count)]


def kimi_delta_attention(config: Fields, nested: Fields, hidden: int) -> GatedDeltaNet:
    """Sizes from linear_attn_config, or from keys of the config itself."""
    heads, dim, kernel = (
        nested.size(inner) if nested.has(inner) else config.size(outer)
        for inner, outer in (
            ("num_heads", "linear_num_heads"),
            ("head_dim", "linear_head_dim"),
            ("short_conv_kernel_size", "linear_conv_kernel_dim"),
        )
    )
    config.ignore("linear_num_heads", "linear_head_dim", "linear_conv_kernel_dim")
    return GatedDeltaNet(
        hidden_size=hidden,
        num_key_heads=heads,
        num_value_heads=heads,
        key_head_dim=dim,
        value_head_dim=dim,
        conv_kernel=kernel,
        channel_decay=True,
    )


def delta_kinds(config: Fields, linear: Fields, count: int) -> list[str]:
    """Which layers are delta attention: layer_types, or the checkpoint's lists of layers (numbered from 1)."""
    given = config.per_layer("layer_types", count, (LINEAR, FULL))
    full, delta = linear.integers("full_attn_layers"), linear.integers("kda_layers")
    if given:
        return given
    if full or delta:
        if sorted([*full, *delta]) != list(range(1, count + 1)):
            config.refuse("linear_attn_config does not name each layer once")
        return [FULL if index + 1 in full else LINEAR for index in range(count)]
    return [FULL if index and index % 4 == 0 else LINEAR for index in range(count)]
