"""SDAR 1.7B to 8B (SGLang's SDARForCausalLM): Qwen3's layers, trained to write by block diffusion.

Not in transformers.
"""

from sparsecalc.read.build import Body
from sparsecalc.read.diffusion import note_blocks
from sparsecalc.read.families import qwen3
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    note_blocks(config)
    config.ignore("block_size", "fuse_cross_entropy", "debug", "ep_size", "micro_forward", "skip_checkpoint")
    return qwen3.read(config)
