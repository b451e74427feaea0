"""What the time model knows about one device under one engine: peaks, and a few constants per class of kernels."""

from dataclasses import field

from sparsecalc.core.arrays import Number
from sparsecalc.core.frozen import Frozen
from sparsecalc.device.anchor import LoadCurve

COPIES, ELSEWHERE = "copies", "elsewhere"
"""Keys of `Engine.spread_factors`: with attention data parallelism, and stacks of which none was measured: other
accelerators, pipelines."""


class KernelConstants(Frozen):
    """How one class of kernels uses a device: seconds = t0 + ||(flops / (ec P), bytes / (em BW))||_p.

    Fitted to measured kernels (data/kernel_constants.json names which), or to this very device by `calibrate`.
    """

    compute: float
    """ec: share of the peak that large kernels reach."""
    bandwidth: float
    """em: share of the memory bandwidth that large kernels reach."""
    overhead_seconds: float
    """t0: seconds of a kernel that does nothing, launch and prologue."""
    alone_seconds: float = 0.0
    """What the kernel takes longer when a benchmark times it alone: launch gap, planning, the cache write beside it."""
    power: float = 2.0
    """p: how sharply the slower of the two takes over; 1 adds them, large values take the larger."""
    vector: float = 1.0
    """Share of the bandwidth that the elementwise kernels inside the class reach (experts: activation and sum)."""
    half_length: float = 0.0
    """Extent (rows of a product, context of a prompt's attention) at which half of `compute` is reached."""
    expert_seconds: float = 0.0
    """Seconds of each expert that is read, where a layer of experts is a loop over them and not one kernel."""
    spread: float = 0.25
    """Standard deviation of ln(predicted / measured) on data that was not fitted."""
    origin: str = ""


class Collective(Frozen):
    """Seconds of a collective among N devices: ||t0 + t1 (N - 1), traffic(N) bytes / (e link)||_p."""

    overhead_seconds: float
    per_device_seconds: float
    bandwidth: float
    """e: share of one direction of the link that large messages reach."""
    power: float = 1.0
    """p: 1 adds the two; below 1, messages of middle size are slower than their sum."""
    alone_seconds: float = 0.0
    """What it takes longer when a benchmark times it alone, as of `KernelConstants`."""
    spread: float = 0.2
    origin: str = ""


class Engine(Frozen):
    """What a serving engine adds to its kernels: seconds of a step outside of them, and how it launches."""

    id: str
    name: str
    based_on: str = ""
    """The engine whose kernels and memory it has: llama.cpp for Ollama and for its forks, and for itself."""
    backend: str = ""
    """What its kernels are written for: cuda, rocm, vulkan, metal, sycl, cpu; empty where it has no choice."""
    step_seconds: float
    """Scheduling, sampling and detokenizing of one step."""
    sequence_seconds: float
    """The same, per sequence in the step."""
    launch_factor: float = 1.0
    """Factor on every kernel's fixed overhead: above 1 for eager launches, below for fused kernels in graphs."""
    kernel_seconds: float = 0.0
    """What each kernel takes longer: calls from Python, and small kernels that other engines fuse into it."""
    vector_factor: float = 1.0
    """Factor on the traffic of elementwise operations: above 1 where they run as several kernels."""
    bandwidth_factor: float = 1.0
    """Factor on the bandwidth that weights are read with."""
    compute_factor: float = 1.0
    """Factor on the share of the peak that products, experts and a prompt's attention reach."""
    attention_factor: float = 1.0
    """A further factor on that share for a prompt's attention."""
    quantized_products: str = ""
    """The format in which weights below 16 bits are multiplied, as llama.cpp's integer kernels do; empty: their own."""
    formats: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By format of the weights: factors on the bandwidth that they are read with, and on the share of the peak."""
    matrix_units: bool = True
    """Whether its kernels use a CPU's matrix units (AMX), where there are any."""
    micro_batch: int = 0
    """Tokens of a prompt that are computed at once unless told otherwise; 0: as servers do."""
    prefill_seconds: float = 0.0
    """Seconds of a prompt outside of its kernels: tokenizing, queueing, the first token's way back."""
    prompt_token_seconds: float = 0.0
    """The same, per token of the prompt."""
    first_token_steps: float = 0.0
    """Steps that a request waits besides on a busy server: until it is polled for, until its first token is sent."""
    supports: tuple[str, ...] = ()
    mixed_tile_rows: int = 0
    """Where one kernel computes a step's prompts and decoding sequences: rows of a tile that each query head of the
    latter takes alone; 0 where they have kernels of their own, or their heads share tiles all the same."""
    launch_seconds: float = 0.0
    """Seconds of Python before each of a step's kernels; 0 where CUDA graphs replay them."""
    eager_launch_seconds: float = 0.0
    """What `launch_seconds` is in eager mode."""
    spread: float = 0.12
    """Standard deviation that the engine adds to a step's error."""
    prompt_spread: float | None = None
    """The same for steps of prompts alone; None: as for others."""
    anchor: LoadCurve | None = None
    """What rows of the user's own stack say of steps that decode; None: nothing was measured there."""
    first_token_anchor: LoadCurve | None = None
    """The same of the seconds to a first token."""
    decode_anchor: LoadCurve | None = None
    """What tests of the user's own machine say of steps that decode, over the tokens of the context."""
    prompt_anchor: LoadCurve | None = None
    """The same of steps of prompts alone, over the tokens of the context behind them."""
    first_token_spread: float = 0.5
    """Standard deviation of ln(measured / predicted) of the mean time to a first token under load."""
    spread_factors: dict[str, float] = field(default_factory=dict)
    """Factor on the whole spread of a step, by kind of model, which serving runs showed; `copies`: with attention data
    parallelism, `elsewhere`: pipelines, and accelerators of which no run was seen. 1 where nothing was shown."""
    source: str = ""

    def factor(self, sequences: Number) -> Number:
        """What all seconds of a step that decodes so many sequences are multiplied by: 1 without an anchor."""
        return self.anchor.factor(sequences) if self.anchor else 1.0

    def first_token_factor(self, sequences: Number) -> Number:
        """What the seconds to a first token are multiplied by while so many sequences run: 1 without an anchor."""
        return self.first_token_anchor.factor(sequences) if self.first_token_anchor else 1.0

    def first_token_spread_at(self, sequences: Number) -> Number:
        """Standard deviation of ln(measured / predicted) of TTFT; the smaller of the built-in and an anchor's."""
        anchor = self.first_token_anchor
        return min(self.first_token_spread, anchor.spread_at(sequences)) if anchor else self.first_token_spread

    def spread_factor(self, kind: str, dp: int = 1, pp: int = 1) -> float:
        """The factor on the spread of a step of a model of this kind (`ModelSpec.kind`)."""
        known = self.spread_factors
        if pp > 1 or not known.get(kind):
            return known.get(ELSEWHERE, 1.0)
        return known.get(COPIES, 1.0) if dp > 1 else known[kind]

    def in_eager_mode(self) -> "Engine":
        """The engine without CUDA graphs (--enforce-eager)."""
        return self.but(launch_seconds=self.eager_launch_seconds)

    def first_token_seconds(self, prompt_len: Number) -> Number:
        """Seconds of a request before the engine has it: prefill_seconds + prompt_token_seconds * prompt_len."""
        return self.prefill_seconds + self.prompt_token_seconds * prompt_len


class DeviceModel(Frozen):
    """One device, with the constants of its kernels under one engine."""

    accelerator: str
    peak_flops_per_second: dict[str, float]
    memory_bytes_per_second: float
    link_bytes_per_second: float
    """One direction of the links to the other devices of the node."""
    node_bytes_per_second: float
    """One direction of the network between nodes, per device."""
    domain_size: int
    """Devices that the fast links join."""
    host_bytes_per_second: float
    matrix_unit_rows: int = 8
    """Rows that the matrix units multiply at once; 1: vector units."""
    tdp_watts: float | None
    constants: dict[str, KernelConstants]
    collectives: dict[str, Collective]
    engine: Engine
    constants_of: str = ""
    """The accelerator that the kernels were measured on; empty: general constants, or a calibration's."""
    calibrated: bool = False
    notes: tuple[str, ...] = field(default_factory=tuple)
    anchor_note: str = ""
    """What became of the rows of the user's own stack, where there are any."""

    def of(self, family: str, form: str = "bf16") -> KernelConstants:
        """Constants of a family of kernels (`gemm`, `experts`, `attention_decode`...) for a form of its operands."""
        return self.constants.get(f"{family}.{form}") or self.constants[family]

    def peak(self, dtype: str) -> float:
        """Dense peak for one format of the matrix units, FLOP/s."""
        return self.peak_flops_per_second[dtype]
