"""What people read of `show`: a model's figures, its components, its kinds of layers, and what its experts do."""

from collections.abc import Iterator

from sparsecalc.core import units
from sparsecalc.documents.show import ModelInfo, ModelReport, RunCommand, ShowReport
from sparsecalc.estimate.results import Experts, Prediction
from sparsecalc.reports.view import Grid, View
from sparsecalc.reports.views.llama_memory import advice_lines, desk_grids
from sparsecalc.reports.views.model_figures import figures, grid_tables

ONE_IN_FULL = "One of them in full: name one accelerator, layout, format, batch size and context."
"""What a grid leaves out, and how to get it."""


def view(document: ShowReport) -> View:
    """Whether it fits, how fast it is; tables of figures, components and layers; of several loads the grid instead."""
    answer = [_answer(document.model.id, document.prediction)] if document.prediction else []
    if document.grid:
        grids = [*grid_tables([document]), *_tests(document)]
        return View(answer=answer, grids=grids, lines=[ONE_IN_FULL, *advice_lines(document.advice)])
    grids = [_figures(document), _components(document), _layers(document), *_engine(document)]
    grids += [*desk_grids(document), *_tests(document)]
    lines = [_expert_sentence(document.experts)] if document.experts else []
    more = [*advice_lines(document.advice), *command_lines(document.commands)]
    return View(answer=answer, grids=grids, lines=[*lines, *more])


def command_lines(commands: list[RunCommand]) -> Iterator[str]:
    """What to type: each engine's server and its measuring line; the manifest of the first."""
    for each in commands:
        yield f"{each.engine}: {each.reason}" if each.reason else f"{each.engine}:"
        yield from (f"  {line}" for line in (*each.command.splitlines(), *each.bench.splitlines()))
    manifest = next((each for each in commands if each.manifest), None)
    if manifest:
        yield f"Kubernetes ({manifest.engine}; kubectl apply -f -):"
        yield from (f"  {line}" for line in manifest.manifest.splitlines())


def _answer(name: str, found: Prediction) -> str:
    """Whether a model fits on the devices as asked, what room is left, how fast it is, and its price."""
    devices = f"{found.num_gpus} x {found.accelerator}"
    held = f"{units.nbytes(found.bytes_per_gpu)} of {units.nbytes(found.capacity_bytes)} per device"
    if found.host_memory_bytes:
        held += f", {units.nbytes(found.host_memory_bytes)} in host memory"
    if not found.fits:
        ways = [f"{found.gpus_needed:,} devices"] if (found.gpus_needed or 0) > found.num_gpus else []
        ways += [f"a batch of {found.largest_batch_size:,}"] if found.largest_batch_size else []
        ways += [f"a context of {found.largest_context_len:,}"] if found.largest_context_len else []
        excess = -found.free_bytes_per_gpu
        lacking = f": {units.nbytes(excess)} per device too much" if excess > 0 else f" ({held})"
        would = f"; would fit: {', '.join(ways)}" if ways else ""
        return f"{name} does not fit on {devices}{lacking}{would}."
    parts = [f"{name} fits on {devices} ({held})", f"largest batch {found.largest_batch_size:,}"]
    parts.append(f"largest context {found.largest_context_len:,}")
    if found.engine_memory:
        parts.append(f"maximum concurrency {found.engine_memory.max_concurrency:.2f}x")
    if found.serving:
        served = found.serving
        parts.append(f"{units.band(served.tpot_seconds, served.tpot_seconds_low, served.tpot_seconds_high)} per token")
    if found.usd_per_million_output_tokens:
        parts.append(f"{found.usd_per_million_output_tokens:.3g} USD per million output tokens")
    return f"{parts[0]}: {', '.join(parts[1:])}." if len(parts) > 1 else f"{parts[0]}."


def _figures(model: ModelReport) -> Grid:
    info = model.model
    rows = [
        ["family", f"{info.model_type} ({info.kind}), {info.num_hidden_layers} layers"],
        ["published", f"{info.published_total or '-'} total, {info.published_active or '-'} active"],
        *_download(info),
        *([figure.label, figure.text] for figure in figures(model)),
    ]
    return Grid(headers=["", info.id], rows=rows)


def _download(info: ModelInfo) -> list[list[str]]:
    """What the published weights take; nothing where no repository is known."""
    if info.download_bytes is None:
        return []
    part = "" if info.download_is_whole else ", language model only"
    return [["download, as published", f"{units.nbytes(info.download_bytes)}{part}"]]


def _engine(model: ModelReport) -> list[Grid]:
    """The engine's memory in the words of its log; none without an engine whose memory is modelled."""
    found = model.prediction.engine_memory if model.prediction else None
    if not (model.prediction and found):
        return []
    context = model.memory.context_len
    rows = [
        ["weights", units.nbytes(found.weights_bytes)],
        [
            f"activations while profiling ({found.max_num_batched_tokens:,} tokens)",
            units.nbytes(found.activation_bytes),
        ],
        ["context, libraries, communication", units.nbytes(found.other_bytes)],
        ["CUDA graphs", units.nbytes(found.cuda_graph_bytes)],
        ["available KV cache memory", units.nbytes(found.kv_cache_bytes)],
        ["KV cache size", f"{found.kv_cache_tokens:,} tokens, {found.num_blocks:,} blocks of {found.block_size:,}"],
        [f"maximum concurrency for {context:,} tokens per request", f"{found.max_concurrency:.2f}x"],
        ["sequences at once, at most (max_num_seqs)", f"{found.max_num_seqs:,}"],
    ]
    return [Grid(headers=[f"memory of {model.prediction.engine}, busiest device", ""], rows=rows)]


def _tests(model: ModelReport) -> list[Grid]:
    """The tests as llama-bench prints them, with the 80 % band where it has a deviation."""
    if not model.tests:
        return []
    weights = f"{model.model.id} {model.memory.weights_dtype}", units.nbytes(model.memory.weights_bytes, 2)
    rows = [
        [
            *weights,
            units.count(model.params.total, 2),
            f"{test.num_gpus} x {test.accelerator}",
            test.backend or test.engine,
            "-" if test.gpu_layers is None else str(test.gpu_layers),
            test.test.replace("@", " @ ") + (f", batch {test.batch_size}" if test.batch_size > 1 else ""),
            f"{_rate(test.tokens_per_second)} ({_rate(test.tokens_per_second_low)}"
            f" to {_rate(test.tokens_per_second_high)})" + ("" if test.fits else ", does not fit"),
        ]
        for test in model.tests
    ]
    headers = ["model", "size", "params", "on", "backend", "ngl", "test", "t/s (80 % band)"]
    return [Grid(headers=headers, rows=rows, left=1)]


def _rate(tokens_per_second: float) -> str:
    """llama-bench's two digits, of rates below 100."""
    return f"{tokens_per_second:,.{2 if tokens_per_second < 100 else 0}f}"


def _components(model: ModelReport) -> Grid:
    active, weights = model.params.active_by_component, model.memory.weights_by_component
    rows = [
        [name, f"{count:,}", f"{active[name]:,}", units.nbytes(weights[name])]
        for name, count in model.params.by_component.items()
        if count
    ]
    return Grid(headers=["component", "parameters", "active", "weights"], rows=rows)


def _layers(model: ModelReport) -> Grid:
    rows = [[kind.kind, str(kind.count), f"{kind.params:,}", f"{kind.active:,}"] for kind in model.layers]
    return Grid(headers=["kind of layer", "layers", "parameters each", "active each"], rows=rows)


def _expert_sentence(experts: Experts) -> str:
    return (
        f"Experts: {experts.num_experts_per_tok} of {experts.num_experts} per token in {experts.layers} layers; a"
        f" decode step of batch {experts.batch_size} reaches {experts.expected_distinct:.2f} of them on average"
        f" ({experts.routing} routing) and reads {units.nbytes(experts.weight_bytes_read)} of weights."
    )
