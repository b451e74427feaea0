"""MiMo 7B (remote code): Qwen2's layers, and layers for multi-token prediction beside them.

Not part of transformers: the architecture is that of Xiaomi's published model code, which derives from Qwen2's.
"""

from sparsecalc.read.build import Body, fixed
from sparsecalc.read.families import qwen2
from sparsecalc.read.fields import Fields
from sparsecalc.read.vendor_keys import note_mtp


def read(config: Fields) -> Body:
    fixed(config, attention_bias=True)
    note_mtp(config)
    return qwen2.read(config)
