"""docs/engine-memory.md: what logs of real servers print of their memory, beside what is predicted."""

from collections.abc import Iterable
from statistics import median

from sparsecalc.estimate.engine_memory.log_row import LogRow
from sparsecalc.reports.formats.markdown import markdown_table
from sparsecalc.reports.view import Grid

TITLES = {
    "weights_bytes": "Weights of a device",
    "kv_cache_bytes": "Memory left for the KV cache",
    "kv_cache_tokens": "Tokens of the KV cache",
}
DESK_TITLES = {
    "kv_buffer_bytes": "llama.cpp: KV buffer",
    "state_buffer_bytes": "llama.cpp: buffer of recurrent states",
    "compute_buffer_bytes": "llama.cpp: compute buffer",
    "host_buffer_bytes": "llama.cpp: compute buffer of the host",
    "required_full_bytes": "Ollama: memory.required.full",
    "required_kv_bytes": "Ollama: memory.required.kv",
    "graph_full_bytes": "Ollama: memory.graph.full",
    "graph_partial_bytes": "Ollama: memory.graph.partial",
    "weights_repeating_bytes": "Ollama: memory.weights.repeating",
    "weights_nonrepeating_bytes": "Ollama: memory.weights.nonrepeating",
    "layers_offloaded": "Ollama: layers.offload",
    "peak_bytes": "MLX: peak memory",
}
GIVEN = "Tokens and concurrency in a cache of given bytes"
HEAD = """\
# The engine's memory

Written by `python tools/write_docs.py` from `engine_memory.json` and `llama_memory.json` in `data/measurements`; do not
edit.

`sparsecalc show MODEL --gpu GPU --engine vllm` says what the engine's log will print: weights as the engine lays them
out, the peak of its profile, CUDA graphs, and from these the memory that is left for the KV cache, its tokens, its
blocks and how many requests of the whole context fit at once. With an engine named, `fits`, the largest batch and
context and the free bytes follow from it."""
HOW = """\
## How

- vLLM: `cache = share * total - weights - profile - other`. The profile is the larger of a forward pass of
  `max_num_batched_tokens` and the sampler on `max_num_seqs` sequences. Without a release (`--engine vllm`) the rules
  are those of releases up to 0.20, which most logs are of: a share of 0.9, CUDA graphs outside of it, a sampler that
  sorts. `--engine vllm@0.27` takes those from 0.21 on: 0.92, CUDA graphs inside of it (none with `--enforce-eager`), a
  sampler that does not sort.
- Where an engine's default of sequences leaves no room (it refuses to start), `fits` and the largest loads are those of
  a server that is told `--max-num-seqs` of the batch, and a warning says so; with `--max-num-seqs` given it counts.
- SGLang: `cache = mem_fraction_static * (total - other) - weights`.
- TensorRT-LLM: `cache = share * (total - weights - profile - other)`. No log was at hand to check it.
- Weights: query, key and value fused, experts stacked, the vocabulary padded to 64, MXFP4 experts padded to the tiles
  of the kernels, each tensor with the rounding of PyTorch's allocator; one table of rotary embeddings. Vision towers
  and other parts beside the decoder are not in them; logs of such models have them.
- Blocks: layers of one kind share a block table; hybrid models get blocks so long that a recurrent state fits into a
  page, and windows hold no more than themselves and one chunk.
- Fitted, by `tools/fit_engine_memory.py` to the rows below that it names (all of them shared, none held out): four
  constants of `data/engine_memory.json`: bytes per logit of both samplers, communication buffers per other device, CUDA
  graphs per captured size. Fitted without a row, that row's room is off by 1.1 % in the median; the graphs stand on one
  pair of logs only."""
LEGEND = """\
`as asked`: with the options of a user; `as run`: with what the source tells beyond those (a share, a release,
`--enforce-eager`). A negative memory: the server refused to start."""


DESK = """\
## llama.cpp, Ollama and MLX

- llama.cpp: `show --engine llama.cpp` prints the buffers of its log, place by place. Weights lie where -ngl, -ncmoe and
  -ot put them, the input embedding in host memory. Caches have cells in multiples of 256; a sliding window has those of
  the window and one micro-batch; latent attention has keys only; states are in fp32. The compute buffer follows from
  the graph that llama.cpp reserves, node by node, in the order of ggml's allocator: logits of a whole micro-batch,
  scores without flash attention, masks, experts' results, weights that are sent from host memory. A GGUF file type
  as `--dtype` gives the same block without an engine or a device.
- The rules without a build (`--engine llama.cpp`) are those before b9410, as most logs are: masks in 32 bits beside
  their copy in 16. `llama.cpp@b9739` has masks in 16 bits. Logits are those of the whole micro-batch, as llama-bench
  and earlier servers reserve them; servers from pull request 23861 on (2026-06) reserve fewer.
- Rows V and W: what a build of llama.cpp reserved for files of a model's shapes without data, on a software device.
  Nothing is fitted to them or to the logs; the models of rows W were looked at only when the graph was written.
- A load fits where every card has room for its buffers beside what driver and desktop keep, and the host for its own.
  The advice leaves 1 GiB of each card free, as llama.cpp's --fit does.
- Ollama: its own estimate (`memory.required`), by which it chooses how many layers to offload.
- MLX: weights, the cache in steps of 256 cells, the cache before it last grew, and the results of a prompt's step; how
  often those are held at once is fitted by `tools/fit_mlx_memory.py` to the rows below (one number; fitted without
  either model, the other's errors are within 2.2 %)."""


def engine_memory_page(rows: Iterable[LogRow], desk: Iterable[LogRow] = ()) -> str:
    """The page: a summary, how it is computed, and a table of rows for each figure; `desk`: rows of llama.cpp's kin."""
    rows = list(rows)
    kinds = {
        title: [row for row in rows if row.figure == name and not row.given_bytes] for name, title in TITLES.items()
    }
    kinds[GIVEN] = [row for row in rows if row.given_bytes]
    parts = [HEAD, markdown_table(_summary(kinds)), LEGEND, HOW]
    for title, found in kinds.items():
        parts += [f"## {title}", markdown_table(_rows(found))]
    return "\n\n".join([*parts, *_desk_parts(list(desk))]) + "\n"


def _desk_parts(rows: list[LogRow]) -> list[str]:
    kinds = {title: [row for row in rows if row.figure == name] for name, title in DESK_TITLES.items()}
    kinds = {title: found for title, found in kinds.items() if found}
    tables = [part for title, found in kinds.items() for part in (f"### {title}", markdown_table(_rows(found)))]
    return [DESK, markdown_table(_summary(kinds)), *tables] if kinds else []


def _summary(kinds: dict[str, list[LogRow]]) -> Grid:
    rows = []
    for title, found in kinds.items():
        kept = [row for row in found if not row.refused]
        figures = ([abs(row.error) for row in kept], [abs(row.error_as_run) for row in kept])
        rows.append([title, str(len(kept)), *(_errors(errors) for errors in figures)])
    return Grid(headers=["figure", "rows", "as asked: median, p90, worst", "as run: median, p90, worst"], rows=rows)


def _errors(errors: list[float]) -> str:
    """Median, 90th percentile and worst of absolute errors."""
    ranked = sorted(errors)
    ninth = ranked[min(len(ranked) - 1, int(0.9 * len(ranked)))]
    return f"{median(ranked):.1%}, {ninth:.1%}, {ranked[-1]:.1%}"


def _rows(rows: list[LogRow]) -> Grid:
    lines = [
        [
            row.id,
            row.setup,
            _amount(row, row.measured),
            _amount(row, row.predicted),
            _difference(row, row.error),
            _difference(row, row.error_as_run),
            row.why,
            row.source,
        ]
        for row in rows
    ]
    headers = ["row", "server", "measured", "as asked", "difference", "as run", "known of it", "source"]
    return Grid(headers=headers, rows=lines, left=2)


def _difference(row: LogRow, error: float) -> str:
    return "refused as well" if row.refused and row.predicted <= 0 else f"{error:+.1%}"


def _amount(row: LogRow, value: float) -> str:
    if row.figure == "peak_bytes":
        return f"{value / 1e9:.3f} GB"
    if row.figure.endswith("_bytes"):
        return f"{value / 2**30:.2f} GiB" if not 0 <= value < 2**30 else f"{value / 2**20:.2f} MiB"
    return f"{value:,.0f}" if row.figure in ("kv_cache_tokens", "layers_offloaded") else f"{value:.2f}"
