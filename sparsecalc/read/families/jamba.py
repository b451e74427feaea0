"""Jamba: Mamba 1 with norms on step size, B and C; every attn_layer_period-th layer attention, experts likewise."""

from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.recurrent import Mamba
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, fixed, mlp, norms, without
from sparsecalc.read.fields import Fields
from sparsecalc.read.recurrent import time_step_rank


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    without(config, "attention_bias", "mlp_bias")
    fixed(config, mamba_inner_layernorms=True)
    config.ignore("use_associative_scan", "calc_logits_for_entire_prompt", "n_ctx")
    full = attention(config, hidden)
    recurrent = Mamba(
        hidden_size=hidden,
        intermediate_size=config.size("mamba_expand") * hidden,
        state_size=config.size("mamba_d_state"),
        conv_kernel=config.size("mamba_d_conv"),
        time_step_rank=time_step_rank(config, "mamba_dt_rank", hidden),
        use_conv_bias=config.flag("mamba_conv_bias"),
        use_bias=config.flag("mamba_proj_bias"),
        dt_bc_norm=True,
    )
    width, experts = config.size("intermediate_size", required=True), config.size("num_experts", required=True)
    top_k = config.size("num_experts_per_tok", required=experts > 1)
    dense = mlp(hidden, width)
    sparse: DenseMlp | Moe = dense
    if experts > 1:
        sparse = Moe(hidden_size=hidden, num_experts=experts, num_experts_per_tok=top_k, moe_intermediate_size=width)
    count = config.layers()
    layers = [
        Layer(
            mixers=(full if is_full else recurrent,),
            feed_forwards=(sparse if is_sparse else dense,),
            norms=norms(hidden),
        )
        for is_full, is_sparse in zip(_every(config, "attn", count), _every(config, "expert", count), strict=True)
    ]
    return body(config, layers, hidden=hidden)


def _every(config: Fields, kind: str, count: int) -> list[bool]:
    """Which layers {kind}_layer_period and {kind}_layer_offset name."""
    period, offset = config.size(f"{kind}_layer_period"), config.size(f"{kind}_layer_offset", zero=True)
    if offset >= period:
        config.refuse(f"{kind}_layer_offset ({offset}) is not smaller than {kind}_layer_period ({period})")
    return [index % period == offset for index in range(count)]
