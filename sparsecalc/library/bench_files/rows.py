"""A measured test of one machine, as far as its file tells."""

from sparsecalc.core.bench_tests import BenchTest
from sparsecalc.core.frozen import Frozen


class BenchRow(Frozen):
    """Tokens per second of one test; None or empty: its file does not tell."""

    where: str
    """File, and the line or entry in it."""
    tool: str
    test: BenchTest
    tokens_per_second: float
    deviation: float | None = None
    """Standard deviation of repetitions, in tokens per second."""
    model: str = ""
    """As the tool names it: `llama 8B Q4_K - Medium`, `llama3.1:8b`."""
    file: str = ""
    """Name of the model's file, without folders."""
    params: float | None = None
    dtype: str | None = None
    """Format of the weights, under the name that the tool has for it."""
    kv_cache_dtype: str | None = None
    gpu: str | None = None
    """What the driver calls the accelerator; of a CPU its brand."""
    num_gpus: int = 1
    engine: str | None = None
    backend: str | None = None
    build: str | None = None
    threads: int | None = None
    micro_batch: int | None = None
    gpu_layers: int | None = None
    """Layers on the GPU; more than the model has: all."""
    cpu_moe: int = 0
    """Layers whose experts lie in host memory."""
    batch_size: int = 1
    unusable: str = ""
    """Why it is none that a prediction can be held against."""
