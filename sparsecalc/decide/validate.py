"""How far predictions are from the measurements that ship with the package."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import combinations
from math import exp, log
from statistics import median

from sparsecalc.data_files import read_data
from sparsecalc.decide.error_groups import accuracy, accuracy_of, by_group
from sparsecalc.decide.kin_errors import STRIDE, kin_groups
from sparsecalc.decide.load_tables import mlperf_tables, replay_tables
from sparsecalc.decide.mlperf import offline_checks
from sparsecalc.decide.mlperf_server import server_checks
from sparsecalc.decide.published import (
    Row,
    kernel_checks,
    serving_checks,
    serving_report_rows,
    serving_rows,
    shipped_device,
    step_checks,
)
from sparsecalc.decide.published_load import load_checks
from sparsecalc.decide.published_traces import trace_checks
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.documents.validate import Accuracy, AccuracyTable, Check, Peer, ValidateReport

ABLATION_STRIDE = 4
"""Of the serving runs, every so many are predicted with a part of the model left out."""


PLACEMENT = re.compile(r", (?:tp|pp|dp|ep|one device)\b")
"""Where the placement begins in what a check says of its conditions."""
REPLAY_STRIDE = 6
"""Of the serving runs, every so many are replayed where the answer should not take minutes."""


def validate(*, whole: bool = False) -> ValidateReport:
    """Predict the measurements that ship with the package; `whole`: every serving run and MLPerf's servers, in minutes.

    Else every `REPLAY_STRIDE`th serving run is replayed, and MLPerf's offline results are held against the model.
    """
    runs = serving_rows()
    kernels, steps = list(kernel_checks()), list(step_checks())
    under_load = list(load_checks(runs if whole else runs[::REPLAY_STRIDE]))
    serving, ttft = ([check for check in under_load if check.source == source] for source in ("serving", "ttft"))
    mlperf, replays = [*offline_checks(), *(server_checks() if whole else ())], list(trace_checks())
    checks = [*kernels, *steps, *serving, *ttft, *replays, *mlperf]
    return ValidateReport(
        command="validate",
        inputs={
            **{"kernels": len(kernels), "steps": len(steps), "serving": len(serving)},
            **{"ttft": len(ttft), "replays": len(replays), "mlperf": len(mlperf)},
        },
        tables=[
            *_serving_tables(serving, ttft),
            *replay_tables(replays),
            *mlperf_tables(mlperf),
            *_step_tables(steps),
            *_kernel_tables(kernels),
            _ratios([*steps, *serving]),
            _coverage(kernels, steps, serving),
            _kin(runs),
            _ablation(runs),
        ],
        peers=[Peer(**peer) for peer in read_data("measurements/peers.json")["peers"]],
        checks=checks,
    )


def _table(
    name: str, title: str, checks: Iterable[Check], group: Callable[[Check], str], note: str = ""
) -> AccuracyTable:
    return AccuracyTable(id=name, title=title, note=note, groups=by_group(checks, group))


def _kind(check: Check) -> str:
    return "mixture of experts" if check.sparse else "dense"


def _serving_tables(serving: list[Check], ttft: list[Check]) -> list[AccuracyTable]:
    agreed = [check for check in serving if not (check.contradicted or check.apart)]
    return [
        _table("serving", "TPOT of serving runs, all", serving, _kind),
        _left_out(),
        _table(
            "serving-agreed",
            "TPOT of serving runs that do not contradict each other",
            agreed,
            _kind,
            "Left out: configurations that were measured with times that differ by more than 1.6x, with and without"
            " multi-token prediction, which the rows do not tell; and runs that are set apart, as the next table says.",
        ),
        _table(
            "serving-apart",
            "TPOT of serving runs that are no measure of a step",
            [check for check in serving if check.contradicted or check.apart],
            lambda check: check.apart or "contradicted",
        ),
        _table(
            "serving-reports",
            "TPOT that users report",
            (check for check in load_checks(serving_report_rows()) if check.source == "serving"),
            _kind,
            "From issues, recipes and repositories (data/measurements/serving_reports.json), with what they leave"
            " unsaid assumed. The width of their bands was learnt from them.",
        ),
        _table(
            "serving-stacks",
            "TPOT by model, accelerator, engine and format",
            agreed,
            lambda check: f"{check.model}, {check.gpu}, {check.engine}, {PLACEMENT.split(check.where)[0]}",
        ),
        _table(
            "ttft",
            "TTFT under load, mean",
            [check for check in ttft if not (check.contradicted or check.apart)],
            lambda check: f"{_kind(check)}, {check.engine}",
            "By the replay, the opening burst of a closed loop included. What a first token waits for outside of steps"
            " is fitted to these runs (tools/fit_first_token.py); its spread is that of stacks left out.",
        ),
    ]


def _left_out() -> AccuracyTable:
    """What tools/fit_serving.py wrote of stacks that it left out."""
    found = read_data("measurements/serving_left_out.json")
    groups = [Accuracy(**group) for group in found["groups"]]
    return AccuracyTable(
        id="serving-left-out", title="TPOT of stacks left out of the fit", note=found["comment"], groups=groups
    )


def _step_tables(steps: list[Check]) -> list[AccuracyTable]:
    good = [check for check in steps if check.quality == "A"]

    def fitted(check: Check) -> str:
        return f"{check.engine}, {check.what}, {'fitted' if check.fitted else 'held out'}"

    return [
        _table("steps", "Steps with a fixed batch, all conditions stated", good, lambda check: check.what),
        _table("steps-engines", "By engine; `fitted`: the engine's profile was fitted to the rows", good, fitted),
        _table("steps-gpus", "By accelerator", good, lambda check: f"{check.gpu}, {check.what}"),
        _table(
            "steps-doubtful",
            "Steps whose lengths are defaults, or figures second-hand",
            [check for check in steps if check.quality != "A"],
            fitted,
        ),
    ]


def _kernel_tables(kernels: list[Check]) -> list[AccuracyTable]:
    note = "No row was fitted: other shapes; experts of models that were not fitted; other sizes."
    return [
        _table("kernels", "Single kernels by class", kernels, lambda check: check.what.split()[0], note),
        _table(
            "kernels-gpus",
            "Single kernels by class, form and accelerator",
            kernels,
            lambda check: f"{check.what}, {check.gpu}",
        ),
    ]


def _ratios(checks: list[Check]) -> AccuracyTable:
    """Predicted over measured ratio of two times, less one."""
    models: dict[tuple[str, ...], list[Check]] = defaultdict(list)
    stacks: dict[tuple[str, ...], list[Check]] = defaultdict(list)
    for check in checks:
        if check.contradicted or check.apart or check.quality != "A":
            continue
        load = check.where.split(", ")[-2:] if check.source == "serving" else [check.where.split(", batch")[-1]]
        models[check.source, check.what, check.gpu, check.engine, *load].append(check)
        stacks[check.source, check.what, check.gpu, check.engine, check.model, check.where.split(", ")[0]].append(check)
    pairs: dict[str, list[float]] = defaultdict(list)
    for (source, *_), group in models.items():
        for one, other in combinations(group, 2):
            if one.model != other.model:
                error = (1 + one.error) / (1 + other.error) - 1
                pairs[f"two models, {'serving' if source == 'serving' else 'fixed batch'}, {one.engine}"].append(error)
    for (source, *_), group in stacks.items():
        shift = median(log(1 + check.error) for check in group)
        pairs[f"one model on one stack, {source}"] += [exp(log(1 + check.error) - shift) - 1 for check in group]
    return AccuracyTable(
        id="ratios",
        title="Ratios on one stack",
        note=(
            "Two models under the same engine, accelerator and load; or the loads and placements of one model against"
            " the middle of them, once the stack's common error is taken out."
        ),
        groups=[accuracy_of(name, errors) for name, errors in sorted(pairs.items())],
    )


def _coverage(kernels: list[Check], steps: list[Check], serving: list[Check]) -> AccuracyTable:
    agreed = [check for check in serving if not (check.contradicted or check.apart)]
    held_out = [check for check in steps if not check.fitted and check.quality == "A"]
    groups = {
        "kernels": kernels,
        "steps, held out": held_out,
        "TPOT, dense": [check for check in agreed if not check.sparse],
        "TPOT, mixture of experts": [check for check in agreed if check.sparse],
        "all": [*kernels, *held_out, *agreed],
    }
    return AccuracyTable(
        id="coverage",
        title="How often the 80 % band holds the measured time",
        note="Models on one stack share its error, so single stacks differ. Of stacks left out, their own table tells.",
        groups=[accuracy(name, checks) for name, checks in groups.items()],
    )


def _kin(runs: list[Row]) -> AccuracyTable:
    """Each accelerator with others' constants, as one that was not measured has them."""
    return AccuracyTable(
        id="kin",
        title="Accelerators without measurements: each device left out in turn",
        note=(
            "With its own constants; with those of its nearest kin (one vendor and family, both with HBM or neither),"
            " which an accelerator takes that was not measured; with those of the nearest one that is no kin; and with"
            " general ones, which it takes where it has no kin. The general ones were chosen on H100, H200 and B200, so"
            " only the others test them; their bands are wider, as fitted on these kernels by tools/fit_kin.py."
            f" Serving runs: one in {STRIDE}."
        ),
        groups=[accuracy(name, checks) for name, checks in kin_groups(runs)],
    )


def _ablation(runs: list[Row]) -> AccuracyTable:
    """TPOT with a part of the time model left out."""
    some = runs[::ABLATION_STRIDE]
    groups = []
    for name, change in ABLATIONS.items():

        def device_of(gpu: str, engine: str, change: Callable[[DeviceModel], DeviceModel] = change) -> DeviceModel:
            return change(shipped_device(gpu, engine))

        checks = serving_checks(some, device_of)
        groups.append(accuracy_of(name, [check.error for check in checks if not check.contradicted]))
    return AccuracyTable(
        id="ablation", title="TPOT with a part left out", note=f"Every {ABLATION_STRIDE}th serving run.", groups=groups
    )


def _no_overheads(device: DeviceModel) -> DeviceModel:
    kernels = {name: kernel.but(overhead_seconds=0.0) for name, kernel in device.constants.items()}
    return device.but(constants=kernels)


def _full_efficiency(device: DeviceModel) -> DeviceModel:
    kernels = {
        name: kernel.but(compute=1.0, bandwidth=1.0, vector=1.0, half_length=0.0)
        for name, kernel in device.constants.items()
    }
    return device.but(constants=kernels)


def _no_collectives(device: DeviceModel) -> DeviceModel:
    free = {
        name: collective.but(overhead_seconds=0.0, per_device_seconds=0.0)
        for name, collective in device.collectives.items()
    }
    return device.but(collectives=free, link_bytes_per_second=1e18)


def _no_engine(device: DeviceModel) -> DeviceModel:
    return device.but(engine=device.engine.but(step_seconds=0.0, sequence_seconds=0.0))


ABLATIONS: dict[str, Callable[[DeviceModel], DeviceModel]] = {
    "whole": lambda device: device,
    "without overheads of kernels": _no_overheads,
    "with the data sheet's peaks": _full_efficiency,
    "without collectives": _no_collectives,
    "without the engine's own time": _no_engine,
    "data sheet's roofline": lambda device: _no_engine(_no_collectives(_no_overheads(_full_efficiency(device)))),
}
