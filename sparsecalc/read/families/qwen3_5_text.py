"""Qwen3.5's dense models (27B): Qwen3-Next's alternation of gated delta nets and gated attention, with dense MLPs."""

from sparsecalc.read.build import Body, fixed, mlp
from sparsecalc.read.families.deepseek_v3 import note_mtp
from sparsecalc.read.families.qwen3_next import hybrid_body
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    note_prediction(config)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    return hybrid_body(config, hidden, [dense] * count)


def note_prediction(config: Fields) -> None:
    """Keys that all of Qwen3.5 share: multi-token prediction, and what transformers does not use."""
    note_mtp(config, "mtp_num_hidden_layers")
    fixed(config, mlp_only_layers=[])
    config.ignore("mtp_use_dedicated_embeddings", "output_gate_type")
