"""DeepSeek-V3 and R1, Kimi K2, Moonlight: latent attention, leading dense layers, shared and routed experts."""

from collections.abc import Sequence

from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.latent import Mla
from sparsecalc.model.spec import Layer, Mixer
from sparsecalc.read.build import Body, body, mlp, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    return deepseek_body(config, hidden, latent_attention(config, hidden), deepseek_moe(config, hidden))


def latent_attention(config: Fields, hidden: int, **given: int | None) -> Mla:
    """MLA from its usual keys; `given` adds the indexer's."""
    heads, _ = config.heads()
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
    mixers: Mixer | Sequence[Mixer],
    moe: Moe,
    *,
    dense_layers: int | None = None,
    mlp_bias: bool = False,
) -> Body:
    """Dense MLPs in the first layers (first_k_dense_replace of them, or by mlp_layer_types), experts in the others."""
    count = config.layers()
    first = config.optional_size("first_k_dense_replace", zero=True, **_default(dense_layers)) or 0
    given = config.per_layer("mlp_layer_types", count, ("dense", "sparse"))
    is_dense = [kind == "dense" for kind in given] if given else [index < first for index in range(count)]
    if config.optional_size("moe_layer_freq", default=1, zero=True) != 1:
        config.note("moe-layer-freq", "moe_layer_freq is not 1; transformers ignores it, and so do these counts")
    note_mtp(config)
    dense = mlp(hidden, config.size("intermediate_size", required=True), bias=mlp_bias) if any(is_dense) else moe
    config.ignore("intermediate_size")
    if not isinstance(mixers, Sequence):
        mixers = [mixers] * count
    layers = [
        Layer(mixers=(mixer,), feed_forwards=(dense if plain else moe,), norms=norms(hidden))
        for mixer, plain in zip(mixers, is_dense, strict=True)
    ]
    return body(config, layers, hidden=hidden)


def _default(value: int | None) -> dict[str, int]:
    return {} if value is None else {"default": value}


def note_mtp(config: Fields, key: str = "num_nextn_predict_layers") -> None:
    """Multi-token-prediction layers are in checkpoints but not in the text decoder: say so."""
    layers = config.optional_size(key, zero=True)
    config.defaulted.pop(key, None)
    if layers:
        config.note("mtp-layers", f"{layers} multi-token-prediction layer(s) ({key}) are not counted")
