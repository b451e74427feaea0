"""A device and two models small enough to work everything out by hand; the tests of estimate/ show the arithmetic.

DENSE, per layer: queries 8 x 8, keys and values 8 x 4, output 8 x 8 (192), a gated MLP 3 x 8 x 6 (144), two norms (16);
two layers (704), a table 10 x 8, a final norm and a head 8 x 10 (168): 872 parameters.
SPARSE has instead of the MLP a router 8 x 4 (32) and 4 experts of 3 x 8 x 3 (288), 2 per token: 1,224, of which 936
are active.
"""

from typing import Any

from sparsecalc.core.precision import Precision
from sparsecalc.device.time_constants import Collective, DeviceModel, Engine, KernelConstants
from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Head, Norm, Table
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.spec import Layer, ModelSpec, group_layers
from sparsecalc.read.number_formats import number_format

BF16 = Precision(weights=number_format("bf16"), kv_cache=number_format("bf16"), activations=number_format("bf16"))
ATTENTION = Gqa(hidden_size=8, num_attention_heads=2, num_key_value_heads=1, head_dim=4)
EXPERTS = Moe(hidden_size=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=3)


def mlp(intermediate_size: int = 6) -> DenseMlp:
    return DenseMlp(hidden_size=8, intermediate_size=intermediate_size)


def model(feed_forward: Any, attention: Gqa = ATTENTION, layers: int = 2) -> ModelSpec:
    """`layers` equal layers between a table of 10 rows and a head of its own."""
    norms = (Norm(name="input_norm", size=8), Norm(name="post_norm", size=8))
    layer = Layer(mixers=(attention,), feed_forwards=(feed_forward,), norms=norms)
    return ModelSpec(
        id="tiny",
        model_type="tiny",
        hidden_size=8,
        vocab_size=10,
        tie_word_embeddings=False,
        tables=(Table(rows=10, size=8, is_input=True),),
        layer_groups=group_layers([layer] * layers),
        final=(Norm(name="final_norm", size=8),),
        head=Head(in_features=8, out_features=10, tied=False),
    )


DENSE, SPARSE = model(mlp()), model(EXPERTS)

PLAIN = KernelConstants(compute=0.5, bandwidth=0.5, overhead_seconds=2.0, power=1.0, spread=0.1)
"""Half of the peak, half of the bandwidth, 2 seconds for nothing, and the two times added."""
FAMILIES = (
    "gemm",
    "experts",
    "attention_decode",
    "attention_prefill",
    "latent_decode",
    "vector",
    "scan",
)


def device(
    constants: dict[str, KernelConstants] | None = None, engine: dict[str, Any] | None = None, **changes: Any
) -> DeviceModel:
    """1,000 FLOP/s in bf16, 2,000 in fp8, 100 bytes/s; links of 100 and 10 bytes/s; every constant a round number."""
    collective = Collective(overhead_seconds=1.0, per_device_seconds=0.5, bandwidth=0.5, spread=0.2)
    fields: dict[str, Any] = {
        "accelerator": "h100-sxm",
        "peak_flops_per_second": {"bf16": 1000.0, "fp8": 2000.0},
        "memory_bytes_per_second": 100.0,
        "link_bytes_per_second": 100.0,
        "node_bytes_per_second": 10.0,
        "domain_size": 4,
        "host_bytes_per_second": 20.0,
        "matrix_unit_rows": 8,
        "tdp_watts": None,
        "constants": dict.fromkeys(FAMILIES, PLAIN) | (constants or {}),
        "collectives": {"all_reduce": collective, "all_to_all": collective},
        "engine": Engine(id="e", name="e", **({"step_seconds": 0.0, "sequence_seconds": 0.0} | (engine or {}))),
    }
    return DeviceModel(**fields | changes)
