"""TeleChat and TeleChat2 (remote code; vLLM's TeleChat2ForCausalLM): Llama's layers with biases on the output maps.

Not in transformers. Only the attention's output and the MLP's down projection have biases.
"""

from sparsecalc.model.feed_forward import DenseMlp
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, norms, without
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    without(config, "embed_layernorm", "add_bias_linear")
    config.ignore("apply_residual_connection_post_layernorm", "training_softmax_in_fp32", "logn", "seed", "base_seqlen")
    config.ignore("training_seqlen", "pretraining_tp", "offload", "use_mlp_bias", "eos_token_id")
    width = config.size("ffn_hidden_size", required=True)
    heads, kv_heads = config.heads("n_head")
    layer = Layer(
        mixers=(attention(config, hidden, num_attention_heads=heads, num_key_value_heads=kv_heads, o_bias=True),),
        feed_forwards=(DenseMlp(hidden_size=hidden, intermediate_size=width, down_bias=True),),
        norms=norms(hidden),
    )
    return body(config, [layer] * config.layers("n_layer"), hidden=hidden)
