"""What people read of `verify`: a row per model, the figures that matter below it, and how they were compared."""

from collections.abc import Iterator

from sparsecalc.core import units
from sparsecalc.documents.verify import Checkpoint, Pair, VerifyReport, VerifyResult
from sparsecalc.reports.grids import Grid, View

METHOD = (
    "# Verification",
    "Each model is built by transformers from its own config, without weights (on torch's meta device), and held"
    " against the ledger, the list of operations from which every figure of sparsecalc is added up:",
    "- **Parameters**: every tensor of the real model is put into a component (embedding, attention, dense_ffn,"
    " routed_experts, shared_experts, router, norm, state_space, lm_head, other) by its name and its module's class;"
    " each component's sum must be the ledger's to the unit. So must the active parameters, which are the real total"
    " minus routed experts · (1 − k/E), with the k and E that the modules hold.",
    "- **FLOPs**: torch's counter watches a forward pass of a prompt of 8 tokens, one of 24 (or, with windows, of more"
    " than they hold), and one more token with the cache of the longer one. Products with weights are compared per"
    " component. Attention tallies its visible pairs (causal, windowed, chunked), since transformers' own kernels"
    " multiply the full square. Experts multiply exactly tokens · k rows, since the counter sees nothing of the grouped"
    " kernel. Of layers that are alike, one is run. The column shows the worst step, components' errors added up"
    " without sign; up to 0.1 % counts as exact.",
    "- **KV cache, state**: the elements of the real cache object after the longer prompt, over all layers. A window"
    " that is full holds one token less in transformers than in engines and in the ledger; it is compared as"
    " transformers keeps it.",
    "- **In transformers' own form**: latent attention (MLA) is compared expanded, as transformers runs it, while"
    " engines absorb it, and so does the ledger in decoding; a sparse indexer's scores are compared as the full square"
    " that transformers multiplies.",
    "- **By formula only**: state updates of recurrent layers (the counter does not see scans), and models that"
    " transformers lacks. Code from a repository (trust_remote_code) is never run.",
    "Tried with torch 2.13 and transformers 5.23 (everything) and 4.57.6 (parameters of the models that it has; FLOPs"
    " and caches of most dense ones, since its loops over experts and states do not run without weights). In 4.57.6"
    " Gemma 3n has key and value maps in the layers that share another layer's keys, and so differs.",
)


def verify_view(document: VerifyReport) -> View:
    """One row per model; where a single model is asked for, one row per figure too."""
    rows = [_verdict_row(result) for result in document.results]
    headers = ["model", "verdict", "parameters", "real", "FLOPs off by", "KV cache", "state"]
    versions = ", ".join(f"{name} {version}" for name, version in document.environment.items())
    held = f"Held against {versions}."
    shown = View(head=[*METHOD, f"**{document.summary}.** {held}"], grids=[Grid(headers=headers, rows=rows, left=2)])
    alone = len(document.results) == 1
    for result in document.results:
        details = result.verdicts if alone else [verdict for verdict in result.verdicts if not verdict.exact]
        cells = [
            [v.figure, f"{v.predicted:,}", f"{v.actual:,}", "exact" if v.exact else f"{v.predicted - v.actual:+,}"]
            for v in details
        ]
        if cells:
            shown.grids.append(Grid(headers=[result.model, "ledger", "real", "verdict"], rows=cells))
        if result.checkpoint:
            shown.grids += _checkpoint_grids(result.checkpoint)
        if alone:
            shown.lines += result.named
    shown.foot = [document.summary, held]
    return shown


def _verdict_row(result: VerifyResult) -> list[str]:
    if result.params is None:
        return [result.model, f"{result.status}: {result.reason}", "", "", "", "", ""]

    def same(pair: Pair | None) -> str:
        return "" if pair is None else "exact" if pair.predicted == pair.actual else "differs"

    off = "not run" if result.flops is None else f"{100 * result.flops.relative_error:.3g} %"
    counts = [f"{result.params.predicted:,}", f"{result.params.actual:,}"]
    return [result.model, result.status, *counts, off, same(result.kv_cache), same(result.state)]


def _checkpoint_grids(found: Checkpoint) -> Iterator[Grid]:
    """What the headers hold in each dtype; then from the ledger's parameters to the stored elements, line by line."""
    formats = [
        [kind.dtype, str(kind.tensors), f"{kind.elements:,}", units.nbytes(kind.bytes)] for kind in found.by_dtype
    ]
    yield Grid(headers=[f"checkpoint {found.repo_id}", "tensors", "elements", "bytes"], rows=formats)
    rows = [["parameters by the ledger", "", f"{found.params.predicted:,}"]]
    rows += [[line.label, line.formula, f"{line.value:+,}"] for line in found.explained]
    rows.append(["not explained", "", f"{found.unexplained:+,}"])
    rows.append(["stored elements", "", f"{found.params.actual:,}"])
    ours, stored = found.weights_bytes.predicted, found.weights_bytes.actual
    rows.append([f"bytes by the ledger ({found.weights_dtype})", "", f"{ours:,}"])
    rows.append(["bytes stored for the same", f"{stored - ours:+,}", f"{stored:,}"])
    yield Grid(headers=["from the ledger to the checkpoint", "why", "elements"], rows=rows, left=2)
