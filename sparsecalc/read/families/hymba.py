"""Hymba 1.5B (remote code): attention and Mamba side by side in each layer, learned tokens before every prompt.

Not in transformers: formula; no published config was at hand. Keys are hidden_size / heads wide, values mamba_expand
times that; the outputs of both are normed and averaged before one map back, which is counted with the attention. Some
layers use another layer's keys and values, and all but a few have windows.
"""

from typing import Any

from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Constants, Norm
from sparsecalc.model.recurrent import Mamba
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, fixed, mlp, norms, without
from sparsecalc.read.fields import Fields, whole
from sparsecalc.read.recurrent import expanded_width, time_step_rank

UNUSED = (
    *("conv_dim", "layer_type", "attn_implementation_new", "attn_hidden_size", "kq_head_dim", "v_head_dim", "kq_norm"),
    *("mamba_reuse_every_i_layer", "memory_tokens_interspersed_every", "num_mamba", "orig_max_position_embeddings"),
    *("rope_type", "ssm_head_dim", "use_mamba_kernels", "calc_logits_for_entire_prompt", "seq_length", "rope"),
    *("num_experts_per_tok", "kq_head_dim", "modify_attention_mask", "use_cache", "output_router_logits"),
)


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    without(config, "mamba_proj_bias")
    fixed(config, num_experts=1, mlp_hidden_act="silu")
    config.ignore(*UNUSED)
    inner = expanded_width(config, hidden, "mamba_expand")
    mixer, mamba = _attention(config, hidden, inner), _mamba(config, hidden, inner)
    plain = Layer(
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden),
        extras=(Norm(name="pre_avg_layernorm1", size=inner), Norm(name="pre_avg_layernorm2", size=inner)),
    )
    shared, full = _sharing(config), set(config.integers("global_attn_idx"))
    window = config.optional_size("sliding_window")
    layers = []
    for index in range(count):
        own = mixer.but(
            sliding_window=None if index in full else window, key_value="shared" if index in shared else "own"
        )
        layers.append(plain.but(mixers=(own, mamba)))
    tokens = config.size("num_memory_tokens", zero=True)
    if tokens:
        config.note("memory-tokens", f"{tokens} learned tokens stand before every prompt; count them with the context")
    memory = Constants(name="memory_tokens", component="embedding", elements=tokens * hidden)
    return body(config, layers, hidden=hidden, final=(Norm(size=hidden), memory))


def _attention(config: Fields, hidden: int, inner: int) -> Gqa:
    heads, kv_heads = config.heads()
    if hidden % heads or inner % heads:
        config.refuse(f"hidden_size ({hidden}) and its expansion ({inner}) are not multiples of the {heads} heads")
    given: dict[str, Any] = {"head_dim": hidden // heads, "v_head_dim": inner // heads}
    return attention(config, hidden, num_attention_heads=heads, num_key_value_heads=kv_heads, **given)


def _mamba(config: Fields, hidden: int, inner: int) -> Mamba:
    return Mamba(
        hidden_size=hidden,
        intermediate_size=inner,
        state_size=config.size("mamba_d_state"),
        conv_kernel=config.size("mamba_d_conv"),
        time_step_rank=time_step_rank(config, "mamba_dt_rank", hidden),
        use_conv_bias=config.flag("mamba_conv_bias"),
        dt_bc_norm=config.flag("mamba_inner_layernorms"),
        out_proj=False,
    )


def _sharing(config: Fields) -> set[int]:
    """Layers that use another's keys and values: all but the first of each kv_reuse_group."""
    groups = config.sequence("kv_reuse_group") or []
    every = whole(config.raw("kv_reuse_every_i_layer"))
    if every is not None and (type(every) is not int or every > 1):
        config.refuse("kv_reuse_every_i_layer is set", "Only kv_reuse_group is read")
    if not all(isinstance(group, list) and all(type(each) is int for each in group) for group in groups):
        config.refuse("kv_reuse_group does not hold lists of layers")
    return {layer for group in groups for layer in group[1:]}
