"""Qwen3.5's sparse models (35B-A3B to 397B-A17B): Qwen3-Next with experts in every layer."""

from sparsecalc.read.build import Body
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import gated_shared_moe
from sparsecalc.read.recurrent import hybrid_body
from sparsecalc.read.vendor_keys import note_qwen_prediction


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    note_qwen_prediction(config)
    config.ignore("intermediate_size", "decoder_sparse_step")
    return hybrid_body(config, hidden, [gated_shared_moe(config, hidden)] * count)
