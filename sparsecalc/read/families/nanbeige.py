"""Nanbeige 4.2 (SGLang's NanbeigeForCausalLM): Llama's layers, run num_loops times, with the final norm after each.

Not in transformers.
"""

from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.looped import passes, run_again


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    fixed(config, attention_bias=False)
    config.ignore("loop_loss_weights", "skip_loop_final_norm", "total_ut_steps", "early_exit_threshold", "kv_channels")
    layer = Layer(
        mixers=(attention(config, hidden),),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden),
    )
    return body(config, run_again([layer] * config.layers(), passes(config, "num_loops")), hidden=hidden)
