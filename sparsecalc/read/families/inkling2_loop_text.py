"""Inkling 2 Mini: Inkling 2 whose middle layers run several times over, with a cache for each pass and gates through
which a pass takes in what the one before has made."""

from sparsecalc.model.basic_parts import Constants
from sparsecalc.model.block_residual import MessageGates
from sparsecalc.read.build import Body
from sparsecalc.read.fields import Fields
from sparsecalc.read.inkling2 import inkling2_body, inkling2_layers

OLDER_NAMES = {
    "loop_layer_index_start": "core_start",
    "loop_layer_index_end": "core_end",
    "loop_num_passes": "num_passes",
    "loop_gate_rank": "gate_rank",
}
"""Names in loop_config, which wins."""


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    layers, sizes = inkling2_layers(config, hidden), _loop(config)
    first, last, rank = sizes["loop_layer_index_start"], sizes["loop_layer_index_end"], sizes["loop_gate_rank"]
    per_block = config.size("n_layers_per_attn_res_block")
    if first % per_block or last % per_block or not first <= last <= len(layers):
        config.refuse(f"layers {first} to {last} are looped", f"Both must be multiples of {per_block}, in order")
    sources = (last - first) // per_block
    gates = MessageGates(hidden_size=hidden, rank=rank, sources=sources, runs=False)
    once = [layer.but(extras=(*layer.extras, gates)) for layer in layers[first:last]]
    running = gates.but(runs=True)
    again = [layer.but(extras=(*layer.extras, running), reused=True) for layer in layers[first:last]]
    passes = again * (sizes["loop_num_passes"] - 1)
    queries = Constants(
        name="message_input.query", component="attention", elements=(last - first) * gates.messages * hidden
    )
    return inkling2_body(config, hidden, [*layers[:first], *once, *passes, *layers[last:]], queries)


def _loop(config: Fields) -> dict[str, int]:
    """Where the loop begins and ends, its passes and the rank of its gates."""
    older = config.part("loop_config") if config.has("loop_config") else None
    return {
        key: older.size(name) if older and older.has(name) else config.size(key) for key, name in OLDER_NAMES.items()
    }
