"""InternLM3: Llama's layers; qkv_bias and bias must agree, as transformers demands."""

from sparsecalc.read.build import Body
from sparsecalc.read.families import llama
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    if config.flag("attention_bias") != config.flag("mlp_bias"):
        config.refuse("qkv_bias and bias differ, which transformers' internlm3 does not support")
    return llama.read(config)
