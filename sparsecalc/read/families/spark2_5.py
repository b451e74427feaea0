"""Spark 2.5 (SGLang's Spark2_5ForCausalLM): three windowed layers to each full one, a gate per head on the output.

Not in transformers: formula; no published config was at hand.
"""

from sparsecalc.read.build import Body, attention, body, every_nth_full, mlp, norms, windowed_layers, windows
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    gate = "per_head" if config.flag("headwise_attn_output_gate") else "none"
    mixer = attention(config, hidden, output_gate=gate)
    found = windows(config, count, config.optional_size("sliding_window"), every_nth_full(count, 4))
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    return body(config, windowed_layers(mixer, dense, norms(hidden), found), hidden=hidden)
