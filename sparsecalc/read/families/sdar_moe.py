"""SDAR-30B-A3B (SGLang's SDARMoeForCausalLM): Qwen3-MoE's layers, trained to write by block diffusion.

Not in transformers.
"""

from sparsecalc.read.build import Body
from sparsecalc.read.diffusion import note_blocks
from sparsecalc.read.families import qwen3_moe
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    note_blocks(config)
    config.ignore("block_size", "fuse_cross_entropy", "debug", "ep_size", "micro_forward", "skip_checkpoint")
    return qwen3_moe.read(config)
