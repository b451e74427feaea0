"""IQuest-Coder-V1 Loop (vLLM's IQuestLoopCoderForCausalLM): Llama's layers, run twice.

Not in transformers. A later pass attends to the first pass's keys and to a window of its own, and mixes the two by a
gate per head; the gates of all layers, stored once and run in the second pass, stand after the layers here.
IQuest-Coder-V1-40B-Loop so counted has 39.8 B parameters.
"""

from sparsecalc.model.basic_parts import Norm, Product, Projection
from sparsecalc.model.looped import LoopedAttention
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.looped import passes


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    fixed(config, attention_bias=False, mlp_bias=False)
    mixer = attention(config, hidden)
    first = Layer(
        mixers=(mixer,),
        feed_forwards=(mlp(hidden, config.size("intermediate_size", required=True)),),
        norms=norms(hidden),
    )
    loops, heads, dim = passes(config, "loop_num"), mixer.num_attention_heads, mixer.head_dim
    looped = LoopedAttention(
        hidden_size=hidden,
        num_attention_heads=heads,
        num_key_value_heads=mixer.num_key_value_heads,
        head_dim=dim,
        sliding_window=config.size("loop_window_size"),
    )
    layers = [first] * count
    gates = Projection(
        name="gate_projections",
        component="attention",
        in_features=dim,
        out_features=1,
        bias=True,
        matrices=heads * count,
    )
    again = Product(name="gate_projections", component="attention", rows=heads, in_features=dim, out_features=1)
    for number in range(loops - 1):
        layers += [first.but(mixers=(looped,), extras=(again,) if number else (), reused=True)] * count
    return body(config, layers, hidden=hidden, final=(Norm(size=hidden), *((gates,) if loops > 1 else ())))
