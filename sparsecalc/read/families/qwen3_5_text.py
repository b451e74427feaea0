"""Qwen3.5's dense models (27B): Qwen3-Next's alternation of gated delta nets and gated attention, with dense MLPs."""

from sparsecalc.read.build import Body, mlp
from sparsecalc.read.fields import Fields
from sparsecalc.read.recurrent import hybrid_body
from sparsecalc.read.vendor_keys import note_qwen_prediction


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    note_qwen_prediction(config)
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    return hybrid_body(config, hidden, [dense] * count)
