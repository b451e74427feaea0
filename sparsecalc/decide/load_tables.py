"""Errors under load, by group: MLPerf's results, and whole runs."""

from collections import defaultdict
from collections.abc import Callable
from statistics import fmean

from sparsecalc.decide.error_groups import accuracy_of
from sparsecalc.documents.validate import AccuracyTable, Check

MLPERF = (
    "Tokens per second per device, of the fastest layout that fits: how many devices share one copy of the model and"
    " how many sequences run at once is what the prediction says, not what the submission did. Server and interactive:"
    " at the highest Poisson rate at which 99 % of the requests keep the limits. Nothing was fitted to these results."
    " Where no mean length of the prompts is published, it is an estimate; spreads are (data/mlperf_benchmarks.json)."
    " MLPerf is a trademark of MLCommons; these results are unverified here."
)
REPLAYS = "Requests come at the seconds at which they came; nothing was fitted to these runs."


def mlperf_tables(checks: list[Check]) -> list[AccuracyTable]:
    """MLPerf by scenario; by model, accelerator, engine and scenario."""
    return [
        _rates("mlperf", "MLPerf Inference, closed division", checks, lambda check: check.what, MLPERF),
        _rates(
            "mlperf-stacks",
            "MLPerf by model, accelerator, engine and scenario",
            checks,
            lambda check: f"{check.model}, {check.gpu}, {check.engine}, {check.what}",
        ),
    ]


def replay_tables(checks: list[Check]) -> list[AccuracyTable]:
    """Each figure of each whole run."""
    groups = [
        accuracy_of(f"{check.model}, {check.gpu}, {check.engine}: {check.what}", [check.error], float(check.inside))
        for check in checks
    ]
    return [AccuracyTable(id="replays", title="Whole runs, replayed", note=REPLAYS, groups=groups)]


def _rates(name: str, title: str, checks: list[Check], group: Callable[[Check], str], note: str = "") -> AccuracyTable:
    """Errors of tokens per second, which are those of the checks' seconds the other way round."""
    groups: dict[str, list[Check]] = defaultdict(list)
    for check in checks:
        groups[group(check)].append(check)
    rows = []
    for key, own in sorted(groups.items()):
        errors = [check.measured_seconds / check.predicted_seconds - 1 for check in own]
        rows.append(accuracy_of(key, errors, fmean(check.inside for check in own)))
    return AccuracyTable(id=name, title=title, note=note, groups=rows)
