"""Ouro 1.4B and 2.6B (remote code; vLLM up to 0.25): Llama's layers with four norms, run total_ut_steps times.

Not in transformers. A gate of one output tells after each pass whether to stop; all passes are counted.
"""

from sparsecalc.model.basic_parts import Norm, Projection
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, mlp, norms, upper_layers_sliding, windowed_layers
from sparsecalc.read.fields import Fields
from sparsecalc.read.looped import passes, run_again


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    config.ignore("early_exit_threshold", "early_exit_step")
    dense = mlp(hidden, config.size("intermediate_size", required=True))
    found = upper_layers_sliding(config, count)
    layers: list[Layer] = windowed_layers(attention(config, hidden), dense, norms(hidden, 4), found)
    loops = passes(config, "total_ut_steps")
    gate = Projection(name="early_exit_gate", in_features=hidden, out_features=1, bias=True, per_token=loops)
    return body(config, run_again(layers, loops), hidden=hidden, final=(Norm(size=hidden), gate))
