"""MiniMax-01 (-hf checkpoints): lightning attention with full attention in some layers; all MLPs are experts."""

from sparsecalc.read.build import FULL, Body
from sparsecalc.read.fields import Fields
from sparsecalc.read.recurrent import LINEAR, lightning_body


def read(config: Fields) -> Body:
    count = config.layers()
    given = config.per_layer("layer_types", count, (FULL, LINEAR))
    for part in ("full_attn", "linear_attn", "mlp"):
        config.ignore(f"{part}_alpha_factor", f"{part}_beta_factor")
    return lightning_body(config, given or [LINEAR if index % 2 else FULL for index in range(count)])
