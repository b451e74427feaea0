"""What people read of `verify`: a row for each model, the figures that matter below it, and how they were compared."""

from collections.abc import Iterator

from sparsecalc.core import units
from sparsecalc.core.components import COMPONENTS
from sparsecalc.documents.verify import Checkpoint, Pair, VerifyReport, VerifyResult
from sparsecalc.reports.view import Grid, View

METHOD = (
    "# Verification",
    "Each model is built by transformers from its own config, without weights (on torch's meta device), and held"
    " against the ledger, the list of operations from which every figure of sparsecalc is added up:",
    "- **Parameters**: every tensor of the real model is put into a component ({components}) by its name and its"
    " module's class; each component's sum must be the ledger's to the unit. So must the active parameters, which are"
    " the real total minus routed experts · (1 − k/E), with the k and E that the modules hold.",
    "- **FLOPs**: torch's counter watches a forward pass of a prompt of {short} tokens, one of {long} (or, with"
    " windows, of more than they hold), and one more token with the cache of the longer one. Products with weights are"
    " compared by component. Attention is counted over its visible pairs (causal, windowed, chunked), since"
    " transformers' own kernels multiply the full square. Experts multiply exactly tokens · k rows, since the counter"
    " sees nothing of the grouped kernel. Of layers that are alike, one is run. The column shows the worst step, with"
    " components' errors added up without sign; up to {tolerance} counts as exact.",
    "- **KV cache, state**: the elements of the real cache object after the longer prompt, over all layers. A full"
    " window holds one token less in transformers than in engines and in the ledger; it is compared as transformers"
    " keeps it.",
    "- **In transformers' own form**: latent attention (MLA) is compared expanded, as transformers runs it; engines,"
    " and the ledger in decoding, absorb it. A sparse indexer's scores are compared as the full square that"
    " transformers multiplies.",
    "- **By formula only**: state updates of recurrent layers (the counter does not see scans), and models that"
    " transformers lacks. Code from a repository (trust_remote_code) is never run.",
    "Tried with transformers 4.57.6 too: the parameters of the models that it has; FLOPs and caches of most dense ones,"
    " since its loops over experts and states do not run without weights. Its Gemma 3n has key and value maps in the"
    " layers that share another layer's keys, and so differs.",
)
"""How the figures are compared, as a Markdown page tells it."""


def view(document: VerifyReport) -> View:
    """One row for each model; of a single model every figure too, of several only those that differ."""
    versions = ", ".join(f"{name} {version}" for name, version in document.environment.items())
    held = f"Held against {versions}."
    alone = len(document.results) == 1
    return View(
        grids=[_verdicts(document), *(grid for result in document.results for grid in _details(result, alone))],
        lines=document.results[0].named if alone else [],
        head=[*_method(document), f"**{document.summary}.** {held}"],
        foot=[document.summary, held],
    )


def _method(document: VerifyReport) -> Iterator[str]:
    short, long = document.prompt_lens
    tolerance = f"{100 * document.flops_tolerance:g} %"
    for paragraph in METHOD:
        yield paragraph.format(components=", ".join(COMPONENTS), short=short, long=long, tolerance=tolerance)


def _verdicts(document: VerifyReport) -> Grid:
    headers = ["model", "verdict", "parameters", "real", "FLOPs off by", "KV cache", "state"]
    return Grid(headers=headers, rows=[_verdict_row(result) for result in document.results], left=2)


def _verdict_row(result: VerifyResult) -> list[str]:
    if result.params is None:
        return [result.model, f"{result.status}: {result.reason}", "", "", "", "", ""]
    off = "not run" if result.flops is None else f"{100 * result.flops.relative_error:.3g} %"
    counts = [f"{result.params.predicted:,}", f"{result.params.actual:,}"]
    return [result.model, result.status, *counts, off, _same(result.kv_cache), _same(result.state)]


def _same(pair: Pair | None) -> str:
    return "" if pair is None else "exact" if pair.predicted == pair.actual else "differs"


def _details(result: VerifyResult, alone: bool) -> Iterator[Grid]:
    """The figures of one model, or those that differ; then its checkpoint."""
    rows = [
        [v.figure, f"{v.predicted:,}", f"{v.actual:,}", "exact" if v.exact else f"{v.predicted - v.actual:+,}"]
        for v in result.verdicts
        if alone or not v.exact
    ]
    if rows:
        yield Grid(headers=[result.model, "ledger", "real", "verdict"], rows=rows)
    if result.checkpoint:
        yield _stored(result.checkpoint)
        yield _from_ledger_to_checkpoint(result.checkpoint)


def _stored(checkpoint: Checkpoint) -> Grid:
    """What the headers hold in each dtype."""
    rows = [
        [kind.dtype, str(kind.tensors), f"{kind.elements:,}", units.nbytes(kind.bytes)] for kind in checkpoint.by_dtype
    ]
    return Grid(headers=[f"checkpoint {checkpoint.repo_id}", "tensors", "elements", "bytes"], rows=rows)


def _from_ledger_to_checkpoint(checkpoint: Checkpoint) -> Grid:
    """From the ledger's parameters to the stored elements, line by line; then the bytes."""
    ours, stored = checkpoint.weights_bytes.predicted, checkpoint.weights_bytes.actual
    rows = [
        ["parameters by the ledger", "", f"{checkpoint.params.predicted:,}"],
        *([line.label, line.formula, f"{line.value:+,}"] for line in checkpoint.explained),
        ["not explained", "", f"{checkpoint.unexplained:+,}"],
        ["stored elements", "", f"{checkpoint.params.actual:,}"],
        [f"bytes by the ledger ({checkpoint.weights_dtype})", "", f"{ours:,}"],
        ["bytes stored for the same", f"{stored - ours:+,}", f"{stored:,}"],
    ]
    return Grid(headers=["from the ledger to the checkpoint", "why", "elements"], rows=rows, left=2)
