"""A.X K2: latent attention with an indexer, whose queries and output gates come from one map; norms with a gate of low
rank; experts beside a shared one."""

from sparsecalc.model.basic_parts import Projection
from sparsecalc.model.latent import Mla
from sparsecalc.model.spec import Layer
from sparsecalc.read.attention import indexed_attention
from sparsecalc.read.build import Body, body, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import routed_and_shared_experts, sparse_by_frequency
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    config.ignore("layer_types")
    note_mtp(config)
    mixer, moe = indexed_attention(config, hidden), routed_and_shared_experts(config, hidden)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    gate, rank = _output_gate(config, mixer), config.size("gated_norm_rank")
    layers = [
        Layer(
            mixers=(mixer,),
            feed_forwards=(moe if sparse else dense,),
            norms=norms(hidden),
            extras=(gate, *_norm_gates(hidden, rank, 2 if sparse else 1)),
        )
        for sparse in sparse_by_frequency(config, count)
    ]
    return body(config, layers, hidden=hidden)


def _output_gate(config: Fields, mixer: Mla) -> Projection:
    """q_gate_proj, 2 r -> N * (nope + rope + v): what it has beyond a map of queries, r -> N * (nope + rope)."""
    if mixer.q_lora_rank is None:
        config.refuse("q_lora_rank is null, which the indexer and the gate need")
    queries = mixer.qk_nope_head_dim + mixer.qk_rope_head_dim
    width = mixer.num_attention_heads * (queries + 2 * mixer.v_head_dim)
    return Projection(name="q_gate_proj", component="attention", in_features=mixer.q_lora_rank, out_features=width)


def _norm_gates(hidden: int, rank: int, count: int) -> tuple[Projection, Projection]:
    """The gates of `count` norms, H -> rank -> H."""
    down = Projection(name="norm.fc1", component="norm", in_features=hidden, out_features=rank, matrices=count)
    return down, Projection(name="norm.fc2", component="norm", in_features=rank, out_features=hidden, matrices=count)
