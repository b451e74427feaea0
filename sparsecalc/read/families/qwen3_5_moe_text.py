"""Qwen3.5's sparse models (35B-A3B to 397B-A17B): Qwen3-Next with experts in every layer."""

from sparsecalc.read.build import Body
from sparsecalc.read.families.qwen2_moe import gated_shared_moe
from sparsecalc.read.families.qwen3_5_text import note_prediction
from sparsecalc.read.families.qwen3_next import hybrid_body
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    note_prediction(config)
    config.ignore("intermediate_size", "decoder_sparse_step")
    return hybrid_body(config, hidden, [gated_shared_moe(config, hidden)] * count)
