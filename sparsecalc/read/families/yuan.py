"""Yuan 2 (2B, 51B, 102B) and Yuan 2 M32 (remote code): Llama's layers with localized filtering, experts in M32.

Not in transformers. Queries and keys are made from filtered tokens, values from the tokens themselves. M32's router is
attention over the experts: three rows per expert. Formula; no published config was at hand of 51B and 102B.
"""

from sparsecalc.model.basic_parts import Projection
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.localized_filter import LocalizedFilter
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms
from sparsecalc.read.fields import Fields

UNUSED = (
    *("causal_mask", "dropout", "mask_token_id", "model_max_length", "reset_attention_mask", "reset_position_ids"),
    *("sep_token", "sep_token_id", "use_loss_mask", "use_flash_attention", "use_moe", "num_key_value_heads"),
)


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    config.ignore(*UNUSED)
    heads = config.size("num_attention_heads", required=True)
    wide = config.optional_size("attention_projection_size") or hidden
    if wide % heads:
        config.refuse(f"the attention is {wide} wide, which is not a multiple of the {heads} heads")
    given = {"num_attention_heads": heads, "num_key_value_heads": heads, "head_dim": wide // heads}
    feed_forward, router = _feed_forward(config, hidden)
    layer = Layer(
        mixers=(attention(config, hidden, **given),),
        feed_forwards=(feed_forward,),
        norms=norms(hidden),
        extras=(LocalizedFilter(hidden_size=hidden), *router),
    )
    return body(config, [layer] * config.layers(), hidden=hidden)


def _feed_forward(config: Fields, hidden: int) -> tuple[DenseMlp | Moe, tuple[Projection, ...]]:
    """Experts of ffn_hidden_size where moe_config is given, and two more maps of their router; else a dense MLP."""
    width = config.size("intermediate_size", required=True)
    if not config.raw("moe_config"):
        return mlp(hidden, width), ()
    nested = config.part("moe_config")
    nested.ignore("norm_topk_prob", "gated_linear_unit", "moe_aux_loss_coeff", "per_device_num_experts")
    nested.ignore("noisy_gating_policy", "noisy_gate_policy", "moe_drop_tokens", "router_type", "gate_type")
    experts = nested.size("moe_num_experts")
    moe = Moe(
        hidden_size=hidden,
        num_experts=experts,
        num_experts_per_tok=nested.size("moe_top_k"),
        moe_intermediate_size=nested.optional_size("ffn_hidden_size") or width,
    )
    return moe, (Projection(name="router", component="router", in_features=hidden, out_features=2 * experts),)
