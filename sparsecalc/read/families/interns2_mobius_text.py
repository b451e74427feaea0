"""Intern-S2-Mobius (vLLM's and SGLang's InternS2MobiusForConditionalGeneration): Qwen3.5's layers, banks of experts.

Not in transformers. There are num_blocks banks of routed experts with their routers, and layer i uses bank i modulo
num_blocks; the shared expert and its gate are each layer's own.
"""

from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Projection
from sparsecalc.model.recurrent import GatedDeltaNet
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import FULL, Body, body, fixed, mlp, norms
from sparsecalc.read.fields import Fields
from sparsecalc.read.mixtures import gated_shared_moe
from sparsecalc.read.recurrent import LINEAR, delta_net, gated_attention, layer_kinds
from sparsecalc.read.vendor_keys import note_qwen_prediction


def read(config: Fields) -> Body:
    hidden, count = config.size("hidden_size", required=True), config.layers()
    note_qwen_prediction(config)
    fixed(config, use_sliding_window=False, attn_output_gate=True)
    config.ignore("sliding_window", "max_window_layers", "intermediate_size", "decoder_sparse_step")
    mixers: dict[str, Gqa | GatedDeltaNet] = {LINEAR: delta_net(config, hidden), FULL: gated_attention(config, hidden)}
    whole, banks = gated_shared_moe(config, hidden), config.size("num_blocks")
    if banks < count:
        text = f"{count} layers share {banks} banks of routed experts: active counts one use of each bank per token"
        config.note("shared-experts", text)
    shared = mlp(hidden, whole.shared_intermediate_size, component="shared_experts")
    gate = Projection(name="shared_expert_gate", component="shared_experts", in_features=hidden, out_features=1)
    routed = whole.but(shared_intermediate_size=0, shared_gate=False)
    layers = [
        Layer(
            mixers=(mixers[kind],),
            feed_forwards=(routed.but(tied=index >= banks), shared),
            norms=norms(hidden),
            extras=(gate,),
        )
        for index, kind in enumerate(layer_kinds(config, count))
    ]
    return body(config, layers, hidden=hidden)
