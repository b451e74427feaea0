"""How each engine divides a device's memory: data/engine_memory.json, typed, and what a user may set of it."""

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from sparsecalc.core.frozen import Frozen
from sparsecalc.data_files import read_data
from sparsecalc.estimate.placement import Placement

if TYPE_CHECKING:  # pydantic is imported only where an accelerator is named
    from sparsecalc.device.accelerator import Accelerator


class EngineOptions(Frozen):
    """What an engine is told of its memory; None: the engine's own default."""

    max_num_seqs: int | None = None
    """Sequences that run at once at most."""
    max_num_batched_tokens: int | None = None
    """Tokens of one step at most, which the profile computes."""
    enforce_eager: bool = False
    """No CUDA graphs."""
    kv_cache_memory_bytes: int | None = None
    """Bytes of KV cache per device, in place of what the engine would find."""
    block_size: int | None = None
    """Tokens of one block (page) of the cache."""
    ubatch_size: int | None = None
    """llama.cpp's micro-batch (-ub): tokens of one step at most."""
    flash_attn: str | None = None
    """llama.cpp's -fa: on, off or auto."""
    swa_full: bool = False
    """llama.cpp's --swa-full: windows are cached in full."""
    parallel: int | None = None
    """llama.cpp's -np: sequences that have cells of their own."""


class Fitted(Frozen):
    """The constants that tools/fit_engine_memory.py fits to logs."""

    sampler_bytes_per_logit: float
    """What the sampler of the profile holds per sequence and entry of the vocabulary, where it sorts the logits."""
    sampler_bytes_per_logit_fused: float
    """The same of a sampler that sorts nothing."""
    other_bytes: float
    """CUDA context, libraries and small buffers of a device."""
    parallel_bytes: float
    """Communication buffers of a device, for each other one that fast links join to it; for all of them over PCIe."""
    graph_bytes_per_size: float
    """CUDA graphs of one captured batch size."""


class EngineRules(Frozen):
    """One engine's way to its KV cache, and its defaults on one accelerator.

    profiled: cache = share * total - weights - activations of the profile - the rest           (vLLM; less CUDA graphs
              where `graphs_in_share`)
    static:   cache = share * (total - the rest) - weights                                       (SGLang)
    free:     cache = share * (total - weights - activations of the profile - the rest)          (TensorRT-LLM)
    """

    rule: Literal["profiled", "static", "free"]
    total_bytes: int
    memory_share: float
    block_size: int
    max_num_seqs: int
    max_num_batched_tokens: int
    largest_graph: int
    graph_sizes_per_sequence: int
    sampler_bytes_per_logit: float
    seqs_are_told: bool = False
    """Whether `max_num_seqs` is given; where it is not, a server of a larger batch is told of it."""
    graphs_in_share: bool = False
    """Whether CUDA graphs are estimated before the cache is made, and taken from the share."""
    fast_links: bool = False
    """Whether the device has faster links to others than PCIe."""
    state_blocks: int = 1
    """Blocks of recurrent state that one sequence takes in each group of layers."""
    window_token_share: float = 1.0
    """Tokens of a sliding window's pool per token of the full one."""
    state_memory_ratio: float = 0.0
    """Bytes of the pool of recurrent states per byte of the cache beside it."""
    eager: bool = False
    kv_cache_memory_bytes: int | None = None

    @property
    def profiled_seqs(self) -> int:
        """Sequences that the sampler runs on at the peak; SGLang profiles nothing, its graphs are the largest step."""
        return min(self.max_num_seqs, self.largest_graph if self.rule == "static" else self.max_num_batched_tokens)

    @property
    def graph_sizes(self) -> int:
        """Batch sizes that CUDA graphs are captured for: 1, 2, 4, then every 8th to 256, every 16th beyond."""
        if self.eager:
            return 0
        largest = min(self.graph_sizes_per_sequence * self.max_num_seqs, self.largest_graph)
        return sum(size <= largest for size in (1, 2, 4, *range(8, 256, 8), *range(256, self.largest_graph + 1, 16)))


@cache
def table() -> dict[str, Any]:
    """data/engine_memory.json."""
    found: dict[str, Any] = read_data("engine_memory.json")
    return found


def fitted() -> Fitted:
    """The fitted constants."""
    return Fitted(**{name: value for name, value in table()["fitted"].items() if name != "source"})


def knows_memory(engine: str | None) -> bool:
    """Whether the engine's memory is modelled."""
    return engine in table()["engines"]


def _entry(engine: str, release: str) -> dict[str, Any]:
    """An engine's data, with what changed up to a release (`0.27.1`); empty: no release is told."""
    entry: dict[str, Any] = table()["engines"][engine]
    changes = [
        change for since, change in entry.get("releases", {}).items() if release and _order(since) <= _order(release)
    ]
    return {**entry, **{name: value for change in changes for name, value in change.items()}}


def _order(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))


def total_bytes(gpu: "Accelerator") -> int:
    """Bytes that the CUDA runtime reports: measured ones, or nvidia-smi's less what the driver keeps."""
    known = table()["device_total_bytes"]["devices"].get(gpu.id)
    if known:
        return int(known["value"])
    nominal = gpu.memory_usable_bytes is None and gpu.vendor.upper() == "NVIDIA"
    kept = nominal or "nvidia-smi" in (gpu.memory_usable_source or "")
    return gpu.capacity_bytes - (table()["driver_bytes"]["value"] if kept else 0)


def engine_rules(
    engine: str,
    gpu: "Accelerator",
    plan: Placement,
    options: EngineOptions,
    share: float | None,
    release: str = "",
) -> EngineRules:
    """An engine's rules on one accelerator; options that are not given take the engine's default for the device."""
    entry = _entry(engine, release)
    entry = {**entry, **_tier(entry["tiers"], gpu)}
    graph = entry.get("largest_graph_from_tp_4", entry["largest_graph"]) if plan.tp >= 4 else entry["largest_graph"]
    chunk = options.max_num_batched_tokens or entry["max_num_batched_tokens"]
    default = entry.get("memory_share") or _static_share(
        entry["reserve"], gpu, plan, chunk, min(graph, options.max_num_seqs or graph)
    )
    named = ("rule", "state_blocks", "window_token_share", "state_memory_ratio", "graphs_in_share")
    return EngineRules(
        total_bytes=total_bytes(gpu),
        memory_share=default if share is None else share,
        block_size=options.block_size or entry["block_size"],
        max_num_seqs=options.max_num_seqs or entry["max_num_seqs"],
        seqs_are_told=options.max_num_seqs is not None,
        max_num_batched_tokens=chunk,
        largest_graph=graph,
        graph_sizes_per_sequence=entry["graph_sizes_per_sequence"],
        sampler_bytes_per_logit=getattr(fitted(), entry["sampler"]),
        fast_links=gpu.scale_up is not None,
        eager=options.enforce_eager,
        kv_cache_memory_bytes=options.kv_cache_memory_bytes,
        **{name: entry[name] for name in named if name in entry},
    )


def _tier(tiers: list[dict[str, Any]], gpu: "Accelerator") -> dict[str, Any]:
    """The first tier of memory that the device reaches and that does not except its architecture."""
    for tier in tiers:
        if gpu.capacity_bytes >= tier["memory_from_bytes"] and not gpu.arch.startswith(tuple(tier.get("except", ()))):
            return tier
    return tiers[-1]


def _static_share(reserve: dict[str, int], gpu: "Accelerator", plan: Placement, chunk: int, sequences: int) -> float:
    """SGLang's --mem-fraction-static: 1 - reserve / memory.

    reserve = constant + chunk tokens * 1.5 MiB + largest graph * 2 MiB + tp * pp * 128 MiB, 10 GiB on large devices
    """
    held = reserve["bytes"] + chunk * reserve["bytes_per_chunk_token"] + sequences * reserve["bytes_per_graph_sequence"]
    held += plan.tp * plan.pp * reserve["bytes_per_device"]
    if gpu.capacity_bytes > reserve["least_from_bytes"]:
        held = max(held, reserve["least_bytes"])
    return round(max(0.0, 1 - held / gpu.capacity_bytes), 3)
