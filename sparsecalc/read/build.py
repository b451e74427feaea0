"""Pieces that many families share: attention and MLPs by their usual keys, the frame around the layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sparsecalc.core.components import Component
from sparsecalc.core.text import brief
from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Head, Norm, Table
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.fields import Fields

if TYPE_CHECKING:
    from sparsecalc.model.kinds import Extra

SLIDING, FULL, CHUNKED = "sliding_attention", "full_attention", "chunked_attention"


@dataclass
class Body:
    """What a family's reader returns: everything of a `ModelSpec` but its name."""

    hidden_size: int
    vocab_size: int
    tie_word_embeddings: bool
    tables: tuple[Table, ...]
    layers: Sequence[Layer]
    final: "tuple[Extra, ...]"
    head: Head | None


def body(
    config: Fields,
    layers: Sequence[Layer],
    *,
    hidden: int,
    final: "tuple[Extra, ...] | None" = None,
    norm_bias: bool = False,
    tables: tuple[Table, ...] = (),
    head_bias: bool = False,
    embedding_size: int | None = None,
    tied: bool | None = None,
) -> Body:
    """The usual frame: an input table, layers, a final norm, and an LM head that may be the table again."""
    vocab = config.size("vocab_size", required=True)
    tie = config.flag("tie_word_embeddings") if tied is None else tied
    width = embedding_size or hidden
    return Body(
        hidden_size=hidden,
        vocab_size=vocab,
        tie_word_embeddings=tie,
        tables=(Table(rows=vocab, size=width, is_input=True), *tables),
        layers=layers,
        final=(Norm(size=hidden, bias=norm_bias),) if final is None else final,
        head=Head(in_features=width, out_features=vocab, bias=head_bias, tied=tie),
    )


def attention(config: Fields, hidden: int, **given: Any) -> Gqa:
    """GQA from num_attention_heads, num_key_value_heads, head_dim; `given` sets or overrides fields."""
    if "num_attention_heads" not in given:
        heads, kv_heads = config.heads()
        given = {"num_attention_heads": heads, "num_key_value_heads": kv_heads, **given}
    if "head_dim" not in given:
        given["head_dim"] = config.head_dim(hidden, given["num_attention_heads"])
    return Gqa(hidden_size=hidden, **given)


def mlp(
    hidden: int, width: int, *, bias: bool = False, gated: bool = True, component: Component = "dense_ffn"
) -> DenseMlp:
    """A dense MLP with biases on all or none of its maps."""
    return DenseMlp(
        component=component, hidden_size=hidden, intermediate_size=width, gated=gated, up_bias=bias, down_bias=bias
    )


def norms(hidden: int, count: int = 2, *, bias: bool = False, gain: bool = True) -> tuple[Norm, ...]:
    """`count` norms over the hidden size."""
    names = ("input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm")
    return tuple(Norm(name=name, size=hidden, bias=bias, gain=gain) for name in names[:count])


def windows(config: Fields, count: int, window: int | None, default: Sequence[str]) -> list[int | None]:
    """The sliding window of each layer (None: full attention), from layer_types or the family's default pattern."""
    kinds = config.per_layer("layer_types", count, (SLIDING, FULL)) or list(default)
    if SLIDING in kinds and window is None:
        config.refuse("layer_types has sliding_attention, but sliding_window is missing")
    return [window if kind == SLIDING else None for kind in kinds]


def every_nth_full(count: int, period: int) -> list[str]:
    """Sliding layers with a full one at the end of each `period`."""
    return [FULL if period and (index + 1) % period == 0 else SLIDING for index in range(count)]


def upper_layers_sliding(config: Fields, count: int) -> list[int | None]:
    """Qwen's rule: where use_sliding_window is set, layers from max_window_layers on are windowed."""
    use = config.flag("use_sliding_window")
    window = config.optional_size("sliding_window", zero=True) if use else None
    config.ignore("sliding_window")
    first = config.optional_size("max_window_layers", zero=True) or 0
    config.defaulted.pop("max_window_layers", None)
    if not window:
        config.raw("layer_types")
        return [None] * count
    return windows(config, count, window, [SLIDING if index >= first else FULL for index in range(count)])


def without_windows(config: Fields, count: int) -> None:
    """Refuse layer_types with windows where use_sliding_window is off: transformers then windows some of its steps."""
    if SLIDING in (config.per_layer("layer_types", count, (SLIDING, FULL)) or ()):
        config.refuse("layer_types has sliding_attention, but use_sliding_window is false", "Check which one holds")


def windowed_layers(
    mixer: Gqa, feed_forward: DenseMlp | Moe, layer_norms: tuple[Norm, ...], layer_windows: Sequence[int | None]
) -> list[Layer]:
    """Layers that differ in nothing but the window of their attention."""
    return [
        Layer(
            mixers=(mixer.but(sliding_window=window),),
            feed_forwards=(feed_forward,),
            norms=layer_norms,
        )
        for window in layer_windows
    ]


def without(config: Fields, *keys: str) -> None:
    """Parts of related architectures that this one never has: refused where a config asks for them."""
    for key in keys:
        if config.flag(key, default=False):
            config.refuse(f"{key} is on, which {config.model_type} does not have", "Check the config's model_type")


def fixed(config: Fields, **values: Any) -> None:
    """Keys that transformers' class knows but does not use: a note where a config asks for another value."""
    for key, value in values.items():
        asked = config.raw(key, default=value)
        if isinstance(asked, list) and isinstance(value, list):
            asked = asked[: len(value)]  # a list may be longer than there are layers
        if asked is not None and asked != value:
            text = f"{key} is {brief(asked)}; transformers' {config.model_type} always has {value}, as these counts do"
            config.note("ignored-value", text)
