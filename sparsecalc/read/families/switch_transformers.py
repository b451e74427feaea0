"""Switch Transformers: T5 1.0's encoder and decoder, with experts (one per token) on every sparse_step-th MLP."""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Norm
from sparsecalc.model.feed_forward import Moe
from sparsecalc.read.build import Body, body, mlp, without
from sparsecalc.read.encoder_decoder import note_tokens, stack, untied_tables
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, heads = config.size("d_model", required=True), config.size("num_heads", required=True)
    without(config, "is_gated_act")
    config.ignore("batch_prioritized_routing", "capacity_factor", "dense_act_fn", "feed_forward_proj", "n_positions")
    config.ignore("relative_attention_max_distance", "router_type", "num_experts_per_tok", "num_selected_experts")
    config.ignore("is_encoder_decoder", "output_past")
    width, dim = config.size("d_ff", required=True), config.size("d_kv")
    mixer = Gqa(hidden_size=hidden, num_attention_heads=heads, num_key_value_heads=heads, head_dim=dim)
    experts = config.size("num_experts", required=True)
    moe = Moe(
        hidden_size=hidden,
        num_experts=experts,
        num_experts_per_tok=1,
        moe_intermediate_size=width,
        gated=False,
        router_bias=config.flag("router_bias"),
    )
    dense = mlp(hidden, width, gated=False)
    encoder_layers = config.layers("num_layers")
    config.need_own_name("num_layers")
    same = config.raw("num_decoder_layers") is None
    decoder_layers = encoder_layers if same else config.layers("num_decoder_layers")
    buckets = config.size("relative_attention_num_buckets")
    encoder = stack(mixer, [moe if s else dense for s in _sparse(config, "encoder", encoder_layers)], buckets, True)
    decoder = stack(mixer, [moe if s else dense for s in _sparse(config, "decoder", decoder_layers)], buckets, False)
    final = (Norm(name="encoder.final_layer_norm", size=hidden), Norm(name="decoder.final_layer_norm", size=hidden))
    found = body(config, [*encoder, *decoder], hidden=hidden, final=final, tables=untied_tables(config, hidden))
    note_tokens(config, found, encoder, decoder, ", one expert per sparse layer")
    return found


def _sparse(config: Fields, stack: str, count: int) -> list[bool]:
    """Which layers have experts: the second of each {stack}_sparse_step, which num_sparse_{stack}_layers implies."""
    sparse = config.optional_size(f"num_sparse_{stack}_layers", zero=True)
    step = config.optional_size(f"{stack}_sparse_step", zero=True)
    if step is None:
        step = count // sparse if sparse else count
    return [step == 1 or (step > 0 and index % step == 1) for index in range(count)]
