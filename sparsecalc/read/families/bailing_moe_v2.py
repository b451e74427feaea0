"""Ling 2.0 (mini, flash, 1T; remote code): BailingMoE with q/k norms unless use_qk_norm is off.

Not in transformers.
"""

from sparsecalc.read.build import Body
from sparsecalc.read.families import bailing_moe
from sparsecalc.read.fields import Fields


def read(config: Fields) -> Body:
    return bailing_moe.read(config)
