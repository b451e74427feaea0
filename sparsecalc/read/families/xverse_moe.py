"""XVERSE-MoE A4.2B and A36B (SGLang's XverseMoeForCausalLM): Llama's layers with fine-grained and shared experts.

Not in transformers. Released configs name the dense model's type and class (xverse, XverseForCausalLM), against their
keys of experts: with model_type xverse_moe they are read. Each expert is intermediate_size wide.
"""

from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import Layer
from sparsecalc.read.build import Body, attention, body, norms
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    hidden, width = config.size("hidden_size", required=True), config.size("intermediate_size", required=True)
    config.ignore("max_tokenizer_truncation")
    moe = Moe(
        hidden_size=hidden,
        num_experts=config.size("num_experts", required=True),
        num_experts_per_tok=config.size("moe_top_k", required=True),
        moe_intermediate_size=width,
        shared_intermediate_size=(config.optional_size("num_shared_experts", zero=True) or 0) * width,
    )
    layer = Layer(mixers=(attention(config, hidden),), feed_forwards=(moe,), norms=norms(hidden))
    return body(config, [layer] * config.layers(), hidden=hidden)
