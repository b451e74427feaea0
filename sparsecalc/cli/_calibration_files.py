"""The work of `sparsecalc calibrate`: where a calibration is kept, and how an interrupted one goes on."""

import sys
from contextlib import ExitStack
from json import dumps
from pathlib import Path
from typing import Any

from sparsecalc.cli._measuring import measuring, progress
from sparsecalc.cli._output import write_atomically
from sparsecalc.core.errors import InputError, reason_of
from sparsecalc.core.notes import Note
from sparsecalc.device.calibration import Calibration, local_path, read_calibration
from sparsecalc.documents.calibrate import CalibrationReport

USUAL_SECONDS = 90.0
"""Of benchmarks, where no time is asked for: with what is loaded before them and fitted behind, two minutes."""


def calibrate_device(
    device: str | None, quick: bool, time_budget: float | None, resume: bool, output: str | None
) -> CalibrationReport:
    """Measure, fit and write the calibration: to `output`, or to the user's own file of this device.

    After every benchmark what there is so far is written beside it, for --resume. Raises InputError.
    """
    asked = {"device": device, "quick": quick, "time_budget_seconds": time_budget, "resume": resume}
    machine = measuring("machine.device", "calibrate")
    calibrate = measuring("calibrate.calibration_run", "calibrate").calibrate
    chosen = machine.find_device(device)
    path = Path(output) if output else local_path(chosen.type)
    partial = path.with_name(f"{path.stem}.partial.json")
    earlier = _earlier(partial, path, machine.device_name(chosen)) if resume else None
    _make_folder(path.parent)
    saved = 0

    def save(calibration: Calibration) -> None:
        nonlocal saved
        saved = len(calibration.rows)
        write_atomically(partial, dumps(calibration.to_dict()) + "\n")

    with ExitStack() as stack:
        try:
            calibration, warnings = calibrate(
                chosen,
                quick=quick,
                budget_seconds=USUAL_SECONDS if time_budget is None else time_budget,
                earlier=earlier,
                save=save,
                progress=lambda count: stack.enter_context(progress(count)),
            )
        except KeyboardInterrupt:
            print(f"note: {saved} benchmarks are kept; --resume goes on from there", file=sys.stderr)
            raise
    write_atomically(path, dumps(calibration.to_dict()) + "\n")
    if not any(warn.code == "time-budget" for warn in warnings):
        partial.unlink(missing_ok=True)
    return CalibrationReport(
        command="calibrate", inputs=asked, warnings=warnings, written=str(path), **vars(calibration)
    )


def anchor_stack(files: list[str], given: dict[str, Any], output: str | None) -> CalibrationReport:
    """The anchor of measured loads in `files`; written to `output` where there is one. Raises InputError."""
    from sparsecalc.decide.serving_anchor import anchor_from_serving
    from sparsecalc.library.serving_files.rows import ServingRow

    told = {name: value for name, value in given.items() if value is not None}
    calibration, warnings = anchor_from_serving(files, ServingRow(where="", tool="", **told))
    return _anchored(calibration, warnings, {"from_serving": files, **told}, output)


def anchor_machine(files: list[str], given: dict[str, Any], output: str | None) -> CalibrationReport:
    """The anchor of tests of a machine in `files`; written to `output` where there is one. Raises InputError."""
    from sparsecalc.decide.bench_anchor import Told, anchor_from_tests

    told = {name: value for name, value in given.items() if value is not None}
    named = [part.rpartition("=") for part in told.get("model", "").split(",") if part.strip()]
    models = {name.strip().strip("'"): model.strip() for name, _, model in named}
    calibration, warnings = anchor_from_tests(
        files, Told(models=models, **{name: value for name, value in told.items() if name != "model"})
    )
    return _anchored(calibration, warnings, {"from_llama_bench": files, **told}, output)


def _anchored(
    calibration: Calibration, warnings: list[Note], inputs: dict[str, Any], output: str | None
) -> CalibrationReport:
    """The report of an anchor, which is written to `output` where there is one."""
    if output:
        _make_folder(Path(output).parent)
        write_atomically(Path(output), dumps(calibration.to_dict()) + "\n")
    return CalibrationReport(
        command="calibrate", inputs=inputs, warnings=warnings, written=output or "", **vars(calibration)
    )


NOT_OF_TESTS = ("tp", "pp", "dp", "ep", "concurrency", "prompt_len", "output_len")
"""Options of --from-serving that tests of a machine have no use for."""


def check_options(
    from_serving: list[str] | None, from_tests: list[str] | None, device: dict[str, Any], stack: dict[str, Any]
) -> None:
    """Raise InputError for an option that has no meaning with, or without, --from-serving or --from-llama-bench."""
    if from_serving and from_tests:
        raise InputError("--from-serving and --from-llama-bench make two anchors", hint="Make one after the other")
    foreign = device if from_serving or from_tests else stack
    if from_tests:
        foreign = device | {name: stack[name] for name in NOT_OF_TESTS}
    if named := [name for name, value in foreign.items() if value]:
        option = f"--{named[0].replace('_', '-')}"
        if from_tests and named[0] in NOT_OF_TESTS:
            raise InputError(f"{option} is of --from-serving", hint="Leave it out")
        given = from_serving or from_tests
        text = f"{option} is of benchmarks on this device" if given else f"{option} is of --from-serving"
        raise InputError(text, hint="Leave it out" if given else "Name a file of measured loads: --from-serving")


def _earlier(partial: Path, path: Path, device_name: str) -> Calibration:
    """What an interrupted run left. Raises InputError where there is nothing, or it is another device's."""
    if not partial.is_file():
        raise InputError(f"no interrupted calibration to go on with for {path}", hint="Leave out --resume")
    earlier = read_calibration(partial)
    if earlier.device_name != device_name:
        text = f"the interrupted calibration is of {earlier.device_name}, not of {device_name}"
        raise InputError(text, hint="Leave out --resume")
    return earlier


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({reason_of(error)})", hint="Name a file with -o FILE") from error
