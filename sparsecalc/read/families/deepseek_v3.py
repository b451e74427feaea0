"""DeepSeek-V3 and R1, Kimi K2, Moonlight: latent attention, leading dense layers, shared and routed experts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.latent import Mla
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, body, mlp, norms
from sparsecalc.read.fields import Fields

if TYPE_CHECKING:
    from sparsecalc.model.kinds import Mixer


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    mixers = [latent_attention(config, hidden)] * count
    note_mtp(config)
    return deepseek_body(config, hidden, mixers, deepseek_moe(config, hidden), leading_dense(config, count))


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
        qk_rope_head_dim=config.size("qk_rope_head_dim"),
        v_head_dim=config.size("v_head_dim"),
        attention_bias=config.flag("attention_bias"),
        **given,  # type: ignore[arg-type]
    )


def deepseek_moe(
    config: Fields, hidden: int, experts: str = "n_routed_experts", shared: str = "n_shared_experts"
) -> Moe:
    """Routed experts of moe_intermediate_size and shared ones of the same width."""
    width = config.size("moe_intermediate_size")
    return Moe(
        hidden_size=hidden,
        num_experts=config.size(experts, required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=width,
        shared_intermediate_size=(config.optional_size(shared, zero=True) or 0) * width,
    )


def deepseek_body(
    config: Fields,
    hidden: int,
    mixers: "Sequence[Mixer]",
    moe: Moe,
    is_dense: Sequence[bool],
    *,
    mlp_bias: bool = False,
    tied: bool | None = None,
) -> Body:
    """One mixer per layer, over a dense MLP where `is_dense`, over experts elsewhere."""
    dense = mlp(hidden, config.size("intermediate_size", required=True), bias=mlp_bias) if any(is_dense) else moe
    config.ignore("intermediate_size")
    layers = [
        Layer(mixers=(mixer,), feed_forwards=(dense if plain else moe,), norms=norms(hidden))
        for mixer, plain in zip(mixers, is_dense, strict=True)
    ]
    return body(config, layers, hidden=hidden, tied=tied)


def leading_dense(config: Fields, count: int) -> list[bool]:
    """Dense MLPs in the first first_k_dense_replace layers."""
    first = config.optional_size("first_k_dense_replace", zero=True) or 0
    if config.optional_size("moe_layer_freq", default=1, zero=True) != 1:
        config.note("moe-layer-freq", "moe_layer_freq is not 1; transformers ignores it, and so do these counts")
    return [index < first for index in range(count)]


def dense_by_type(config: Fields, count: int, default: Sequence[bool]) -> list[bool]:
    """Where mlp_layer_types says so, or by the family's default."""
    given = config.per_layer("mlp_layer_types", count, ("dense", "sparse"))
    return [kind == "dense" for kind in given] if given else list(default)


def note_mtp(config: Fields, key: str = "num_nextn_predict_layers", *, as_deepseek: bool = True) -> None:
    """Multi-token-prediction layers are in checkpoints but not in the text decoder: say so.

    Built `as_deepseek`, each is a decoder layer, a projection 2 H -> H and three norms (arXiv:2412.19437, section 2.2).
    """
    layers = config.optional_size(key, default=None, zero=True)
    if layers and as_deepseek:
        config.mtp_layers = layers
    elif layers:
        config.note("mtp-layers", f"{layers} multi-token-prediction layer(s) ({key}) are not counted; size unknown")
