"""The layers of Gemma 4, as a text model and as the text part of the unified one."""

from typing import Any

from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Norm
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import causal_only
from sparsecalc.read.build import attention, every_nth_full, mlp, norms, windows
from sparsecalc.read.fields import Fields
from sparsecalc.read.per_layer_inputs import first_layer_without_cache, per_layer_projections, with_qk_norm


def gemma4_layers(config: Fields, width: int = 0, moe: Moe | None = None) -> list[Layer]:
    """The layers, with inputs of `width` features of their own and with experts, where there are any."""
    hidden = config.size("hidden_size", required=True)
    causal_only(config)
    count = config.layers()
    bias = config.flag("attention_bias")
    window = config.optional_size("sliding_window")
    found = windows(config, count, window, every_nth_full(count, 6))
    if found[-1] is not None and config.has("layer_types"):
        config.note(
            "last-layer-full", "the last layer is sliding_attention here; transformers runs it as full attention"
        )
    found[-1] = None
    first_shared = first_layer_without_cache(config, found)
    double = 2 if config.flag("use_double_wide_mlp") else 1
    intermediate = config.size("intermediate_size", required=True)
    mixers = _mixers(config, [each is None for each in found], attention(config, hidden, qkv_bias=bias, o_bias=bias))
    extra_norms = (3 if moe else 0) + (1 if width else 0)
    result = []
    for index, mixer in enumerate(mixers):
        shared = index >= first_shared
        dense: tuple[DenseMlp | Moe, ...] = (mlp(hidden, intermediate * (double if shared else 1)),)
        result.append(
            Layer(
                mixers=(with_qk_norm(mixer, found[index], shared),),
                feed_forwards=(*dense, moe) if moe else dense,
                norms=(*norms(hidden, 4), *[Norm(name="extra_norm", size=hidden)] * extra_norms),
                extras=per_layer_projections(hidden, width) if width else (),
            )
        )
    return result


def _mixers(config: Fields, full: list[bool], sliding: Gqa) -> list[Gqa]:
    """The attention of each layer: full layers have global_head_dim, or what per_layer_config says of a layer."""
    key_is_value = config.flag("attention_k_eq_v")
    kv_heads = config.optional_size("num_global_key_value_heads") if key_is_value else None
    config.ignore("num_global_key_value_heads", "global_head_dim")
    overrides: Any = config.raw("per_layer_config")
    if overrides is None:
        wide = {"head_dim": config.size("global_head_dim"), "num_key_value_heads": kv_heads}
        overrides = {str(index): wide for index, is_full in enumerate(full) if is_full}
    if not isinstance(overrides, dict) or not all(isinstance(one, dict) for one in overrides.values()):
        config.refuse("per_layer_config is not an object of objects")
    result = []
    for index, is_full in enumerate(full):
        given = Fields(overrides.get(str(index), {}), config.model_type, where=f"per_layer_config {index}", nested=True)
        keys = given.optional_size("num_key_value_heads", default=None) or sliding.num_key_value_heads
        if sliding.num_attention_heads % keys:
            config.refuse(f"num_attention_heads ({sliding.num_attention_heads}) is not a multiple of {keys}")
        dim = given.optional_size("head_dim", default=None) or sliding.head_dim
        if note := next((note.text for note in given.finish()), None):
            config.note("unread-keys", f"per_layer_config: {note}")
        changes = {"head_dim": dim, "num_key_value_heads": keys, "v_proj": not (key_is_value and is_full)}
        result.append(sliding.but(**changes))
    return result
