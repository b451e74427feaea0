"""Attention that several families share: latent, normed, windowed by their usual keys."""

from sparsecalc.core.text import brief
from sparsecalc.model.attention import Gqa
from sparsecalc.model.latent import Mla
from sparsecalc.read.build import (
    FULL,
    SLIDING,
    attention,
    every_nth_full,
    fixed,
    windows,
    without,
)
from sparsecalc.read.fields import Fields
from sparsecalc.read.vendor_keys import ignore_tencent_keys


def causal_only(config: Fields) -> None:
    """Refuse embedding models, which run these layers as an encoder ("vision" concerns image tokens alone)."""
    if config.raw("use_bidirectional_attention") in (True, "all"):
        config.refuse("use_bidirectional_attention is on: an encoder, not a text decoder", "Only decoders are modelled")


def latent_attention(config: Fields, hidden: int, **given: int | None) -> Mla:
    """MLA from its usual keys; `given` adds the indexer's."""
    heads, _ = config.heads()
    config.ignore("head_dim", "qk_head_dim")
    return Mla(
        hidden_size=hidden,
        num_attention_heads=heads,
        q_lora_rank=config.optional_size("q_lora_rank"),
        kv_lora_rank=config.size("kv_lora_rank"),
        qk_nope_head_dim=config.size("qk_nope_head_dim"),
        qk_rope_head_dim=config.size("qk_rope_head_dim", zero=True),
        v_head_dim=config.size("v_head_dim"),
        attention_bias=config.flag("attention_bias"),
        **given,  # type: ignore[arg-type]
    )


def indexed_attention(config: Fields, hidden: int) -> Mla:
    """Latent attention with an indexer of its own."""
    sizes = {key: config.size(key) for key in ("index_n_heads", "index_head_dim", "index_topk")}
    return latent_attention(config, hidden, **sizes)


OWN_INDEXER, SHARED_INDEXER = "full", "shared"


def indexer_types(config: Fields, count: int, every: int = 1) -> list[str]:
    """Which layers run an indexer of their own: a list, a pattern such as FSS, or a frequency and an offset."""
    given = config.per_layer("indexer_types", count, (OWN_INDEXER, SHARED_INDEXER))
    pattern = config.raw("index_topk_pattern")
    every = max(config.size("index_topk_freq", default=every, zero=True), 1)
    offset = config.size("index_skip_topk_offset", default=2, zero=True)
    if given is None and isinstance(pattern, list):
        given = config.per_layer("index_topk_pattern", count, (OWN_INDEXER, SHARED_INDEXER))
    if given is None and pattern is not None:
        if not isinstance(pattern, str) or len(pattern) < count or not set(pattern) <= set("FS"):
            config.refuse(f"index_topk_pattern is {brief(pattern)}", "It needs F or S for every layer")
        given = [OWN_INDEXER if letter == "F" else SHARED_INDEXER for letter in pattern[:count]]
    if given is None:
        given = [SHARED_INDEXER if max(index - offset + 1, 0) % every else OWN_INDEXER for index in range(count)]
    if given[0] != OWN_INDEXER:
        config.refuse("the first layer shares an indexer, but there is none before it")
    return given


def normed_attention(config: Fields, hidden: int) -> Gqa:
    """Attention without biases, with norms over the heads of queries and keys."""
    mixer = attention(config, hidden)
    return mixer.but(qk_norm=2 * mixer.head_dim)


def window_pattern(config: Fields, count: int) -> list[int | None]:
    """layer_types, or a full layer at the end of each sliding_window_pattern: a number, or letters such as LLLG."""
    window = config.optional_size("sliding_window")
    pattern = config.raw("sliding_window_pattern")
    if config.has("layer_types") or window is None:
        return windows(config, count, window, [FULL] * count)
    if not isinstance(pattern, str):
        return windows(config, count, window, every_nth_full(count, config.size("sliding_window_pattern")))
    if not pattern or set(pattern) - set("LG"):
        config.refuse("sliding_window_pattern holds other letters than L and G")
    return [window if pattern[index % len(pattern)] == "L" else None for index in range(count)]


def window_period(config: Fields) -> int:
    """sliding_window_pattern, an older key that layer_types overrides."""
    if config.has("layer_types"):
        config.ignore("sliding_window_pattern", "_sliding_window_pattern")
        return 1
    return config.size("sliding_window_pattern")


def with_sinks(config: Fields, hidden: int) -> Gqa:
    """Attention with a sink per head and optional biases."""
    bias = config.flag("attention_bias")
    config.ignore("layer_rope_theta")
    return attention(config, hidden, qkv_bias=bias, o_bias=bias, sinks=True)


def first_of_four_full(config: Fields) -> list[int | None]:
    """The windows, by layer_types or the family's default: a full layer first, then three windowed ones."""
    count = config.layers()
    default = [SLIDING if index % 4 else FULL for index in range(count)]
    return windows(config, count, config.optional_size("sliding_window"), default)


def hunyuan_attention(config: Fields, hidden: int) -> Gqa:
    """Attention with q/k norms; Tencent's configs carry keys of related models beside it."""
    without(config, "mlp_bias", "use_cla", "use_mla", "add_classification_head")
    ignore_tencent_keys(config)
    bias = config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    fixed(config, attention_head_dim=mixer.head_dim, use_qk_norm=True)
    return mixer.but(qk_norm=2 * mixer.head_dim)


def wide_qk_norm_attention(config: Fields, hidden: int) -> Gqa:
    """GQA whose norms have a gain for each channel of each head."""
    bias = config.flag("attention_bias")
    mixer = attention(config, hidden, qkv_bias=bias, o_bias=bias)
    return mixer.but(qk_norm=(mixer.num_attention_heads + mixer.num_key_value_heads) * mixer.head_dim)
