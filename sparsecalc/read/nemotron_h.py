"""The layers of Nemotron-H, each of one kind."""

from sparsecalc.model.basic_parts import Projection
from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.recurrent import Mamba2
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, attention, fixed, mlp, norms
from sparsecalc.read.fields import Fields

LINEAR, PLAIN, SPARSE = "linear_attention", "mlp", "moe"
OLD_NAMES = {"mamba": LINEAR, "attention": FULL}
OF_SOME_KINDS = (
    *("mamba_num_heads", "mamba_head_dim", "ssm_state_size", "n_groups", "conv_kernel", "use_conv_bias", "use_bias"),
    *("num_attention_heads", "num_key_value_heads", "head_dim", "intermediate_size", "mlp_bias", "n_routed_experts"),
    *("n_shared_experts", "num_experts_per_tok", "moe_intermediate_size", "moe_shared_expert_intermediate_size"),
    "moe_latent_size",
)
"""Keys that only layers of one kind use: they change nothing where the pattern has no such layer."""


def nemotron_layer(config: Fields, hidden: int, kind: str) -> Layer:
    """One layer of the kind, with its norm."""
    one_norm = norms(hidden, 1)
    if kind == LINEAR:
        return Layer(mixers=(_mamba(config, hidden),), norms=one_norm)
    if kind == FULL:
        key = "head_dim" if config.has("head_dim") or not config.has("attention_head_dim") else "attention_head_dim"
        return Layer(mixers=(attention(config, hidden, head_dim=config.size(key)),), norms=one_norm)
    if kind == PLAIN:
        width, bias = config.size("intermediate_size", required=True), config.flag("mlp_bias")
        return Layer(feed_forwards=(mlp(hidden, width, bias=bias, gated=False),), norms=one_norm)
    return _experts(config, hidden).but(norms=one_norm)


def ignore_of_all_kinds(config: Fields) -> None:
    """Keys that change nothing: of kinds that have no layer, of prediction layers, and what the class always has."""
    config.ignore("time_step_rank", "moe_shared_expert_overlap", "mtp_layers_block_type", "mtp_hybrid_override_pattern")
    config.ignore("expand", "attention_head_dim", *OF_SOME_KINDS)
    fixed(config, attention_bias=False, mamba_proj_bias=config.flag("use_bias"), tie_word_embeddings=False)


def _mamba(config: Fields, hidden: int) -> Mamba2:
    return Mamba2(
        hidden_size=hidden,
        num_heads=config.size("mamba_num_heads"),
        head_dim=config.size("mamba_head_dim"),
        state_size=config.size("ssm_state_size"),
        n_groups=config.size("n_groups"),
        conv_kernel=config.size("conv_kernel"),
        use_conv_bias=config.flag("use_conv_bias"),
        use_bias=config.flag("use_bias"),
    )


def _experts(config: Fields, hidden: int) -> Layer:
    """Plain experts, on a latent of moe_latent_size where given, and one shared MLP on the hidden state."""
    bias, latent = config.flag("mlp_bias"), config.optional_size("moe_latent_size")
    fixed(config, n_shared_experts=1)
    moe = Moe(
        hidden_size=hidden,
        expert_input_size=latent,
        num_experts=config.size("n_routed_experts", required=True),
        num_experts_per_tok=config.size("num_experts_per_tok", required=True),
        moe_intermediate_size=config.size("moe_intermediate_size", required=True),
        gated=False,
        shared_intermediate_size=config.size("moe_shared_expert_intermediate_size"),
        shared_bias=bias,
    )
    if latent is None:
        return Layer(feed_forwards=(moe,))
    down = Projection(name="fc1_latent_proj", in_features=hidden, out_features=latent, bias=bias)
    up = Projection(name="fc2_latent_proj", in_features=latent, out_features=hidden, bias=bias)
    return Layer(feed_forwards=(moe,), extras=(down, up))
