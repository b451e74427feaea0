"""Classes of kernels that are fitted: which of the benchmark's rows, on which formats, and which constants."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from silicon import ACCELERATORS, Row, column, shapes, spread_of

from sparsecalc.device.assemble import blank_device, device_model
from sparsecalc.device.find import load_accelerator
from sparsecalc.device.time_constants import KernelConstants
from sparsecalc.estimate.benchmarked_kernels import Operands, benchmarked_kernels
from sparsecalc.measure.calibrate.constants_fit import KernelFit
from sparsecalc.read.number_formats import number_format

FORMS = {
    "bfloat16": ("bf16", "bf16", "bf16"),
    "fp8": ("fp8", "fp8", "fp8"),
    "fp8_block": ("fp8-block", "fp8", "fp8-block"),
    "nvfp4": ("nvfp4", "fp4", "nvfp4"),
    "int4_wo": ("weight-only", "bf16", "int4"),
    "w4a16_mxfp4": ("weight-only", "bf16", "mxfp4"),
}
"""The benchmark's name: form, dtype of the peak, format of the weights."""
TRAINING_MODELS = ("Qwen3-30B-A3B", "Mixtral-8x7B", "gpt-oss-20b", "DeepSeek-V3/R1")
DOUBTFUL = (
    ("moe", "VLLM", "fp8"),  # about 0.6 TB/s on Hopper
    ("gemm", "VLLM", "fp8_block"),  # timed without graphs at small m
    ("attn_prefill", "VLLM", "h200_sxm"),  # faster than physics
    ("attn_decode", "TRTLLM", "a100_sxm"),
    ("gemm", "TRTLLM", "fp8"),  # times a quantizing kernel of 10 us too
    ("gemm", "TRTLLM", "nvfp4"),
    ("moe", "SGLang", "w4a16_mxfp4"),  # Triton on weights widened to 16 bits when loaded: 2.8 TB/s at 2 bytes each
    ("moe", "SGLang", "bfloat16"),  # expert parallelism without a tuned kernel
    ("mla_decode", "VLLM", "VLLM"),  # timed without graphs: 150 to 320 us of overhead
    ("mla_decode", "TRTLLM", "a100_sxm"),  # errors of any fit above 60 %
    ("mla_decode", "TRTLLM", "rtx_pro_6000_server"),
)
UNTUNED = ("sglang_fused_moe_triton",)
"""Kernels without a tuned configuration for the device: left to `calibrate`."""
LIMITS = {"compute": (0.05, 1.0), "bandwidth": (0.1, 1.05), "power": (1.0, 8.0), "vector": (0.05, 3.0)}
WIDE = (1e-8, 1e4)
PULL = 0.01
"""Weight of a constant's distance from the default, per square root of rows."""


def doubtful(name: str, row: Row) -> bool:
    words = {row["framework"], row["system"], row.get("moe_dtype", ""), row.get("gemm_dtype", "")}
    return any(kind == name and {first, second} <= words for kind, first, second in DOUBTFUL)


def half(*shape: str) -> bool:
    """A split of shapes that is the same on every run."""
    return zlib.crc32("x".join(shape).encode()) % 2 == 0


SIXTEEN_BITS = ("bf16", "bfloat16")
QUANTIZED_NAMES = ("compute", "overhead_seconds", "power")
"""Of quantized products: too few shapes lie beyond L2 to tell bandwidth from overhead, so the default's stays."""


UNTOLD = ("power", "vector")
"""What a few rows do not tell."""


@dataclass(frozen=True)
class Fit:
    """One class of kernels: which of its rows are fitted, and which constants."""

    name: str
    family: str
    form_of: Callable[[Row], str]
    """The benchmark's name of a row's format."""
    training: Callable[[Row], bool]
    names: tuple[str, ...]

    def operands(self, form: str) -> Operands:
        """What the rows of one format multiply: attention in bf16 over a cache of that format."""
        name, dtype, stored = FORMS[form] if self.family in ("gemm", "experts") else (form, "bf16", form)
        return Operands(form=name, dtype=dtype, stored=number_format(stored))

    def run(
        self, table: list[Row], form: str, accelerator: str, few: bool = False
    ) -> tuple[KernelConstants, np.ndarray, np.ndarray]:
        """Constants from the training rows; ln(predicted / measured) of the training rows and of the others.

        Of `few` rows all are fitted, without the constants that they cannot tell; the default's spread is the least.
        """
        device = device_model(load_accelerator(accelerator)).but(constants=blank_device(accelerator).constants)
        train = np.array([few or self.training(row) for row in table])
        kernel = benchmarked_kernels(self.family, shapes(self.name, table), self.operands(form))
        built_in = device.of(self.family, kernel.form)
        names = self.names if form in SIXTEEN_BITS or self.family != "gemm" else QUANTIZED_NAMES
        names = tuple(name for name in names if not few or name not in UNTOLD)
        fit = KernelFit(
            kernel,
            column(table, "latency_ms") * 1e-3,
            device,
            {name: LIMITS.get(name, WIDE) for name in names},
            first={"power": min(built_in.power, 4.0), "half_length": max(built_in.half_length, 100.0)},
            margin=1e-6,
        )
        best = fit.fitted(fit.begin, train, PULL)
        errors = fit.errors(best)
        test = errors[~train] if (~train).any() else errors
        spread = max(spread_of(test), built_in.spread if few else 0.0)
        return fit.constants(best).but(spread=spread), errors[train], test


FITS = (
    Fit(
        "gemm",
        "gemm",
        lambda row: row["gemm_dtype"],
        lambda row: half(row["n"], row["k"]),
        ("compute", "bandwidth", "overhead_seconds", "power"),
    ),
    Fit(
        "moe",
        "experts",
        lambda row: row["moe_dtype"],
        lambda row: row["model"] in TRAINING_MODELS,
        ("compute", "bandwidth", "overhead_seconds", "vector"),
    ),
    Fit(
        "attn_decode",
        "attention_decode",
        lambda row: "fp8" if row["kv_cache_dtype"] == "fp8" else "bf16",
        lambda row: half(row["num_heads"], row["num_key_value_heads"]),
        ("bandwidth", "overhead_seconds"),
    ),
    Fit(
        "mla_decode",
        "latent_decode",
        lambda row: "fp8" if row["kv_cache_dtype"] == "fp8" else "bf16",
        lambda row: half(row["num_heads"], row["batch_size"]),
        ("compute", "bandwidth", "overhead_seconds"),
    ),
    Fit(
        "attn_prefill",
        "attention_prefill",
        lambda row: "fp8" if row["kv_cache_dtype"] == "fp8" else "bf16",
        lambda row: half(row["num_heads"], row["num_key_value_heads"]),
        ("compute", "half_length", "overhead_seconds"),
    ),
)


def multiplied(row: Row) -> bool:
    """Whether the device has units for the row's format; where it has none, another format is multiplied."""
    form = FORMS.get(row.get("gemm_dtype") or row.get("moe_dtype") or "")
    peaks = load_accelerator(ACCELERATORS[row["system"]]).peak_flops_per_second
    return form is None or peaks.get(form[1]) is not None


def wanted(name: str, row: Row) -> bool:
    """Rows that an engine would run, and that say how a kernel uses memory.

    Weights beyond L2; more pairs than experts under drawn loads; a prompt over an fp8 cache in fp8 where engines can.
    """
    if doubtful(name, row) or not multiplied(row):
        return False
    if name == "gemm" and row["gemm_dtype"] in FORMS:
        weights = number_format(FORMS[row["gemm_dtype"]][2]).matrix_bytes(int(row["n"]), int(row["k"]))
        return weights > (load_accelerator(ACCELERATORS[row["system"]]).l2_bytes or 0)
    if name == "attn_prefill" and row["kv_cache_dtype"] == "fp8":
        return row["attn_dtype"] == "fp8" or row["framework"] == "VLLM"
    if name == "moe":
        few = float(row["num_tokens"]) * float(row["topk"]) <= float(row["num_experts"])
        untuned = row["kernel_source"] in UNTUNED and row["system"] in ("b200_sxm", "gb200", "a100_sxm")
        return not untuned and not (few and row["distribution"] != "balanced")
    return True
