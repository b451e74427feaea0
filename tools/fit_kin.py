"""Fit what general constants add to the spread of kernels not measured: python tools/fit_kin.py [--write].

Each accelerator whose kernels were measured, but for those that the general constants were chosen on, is predicted as
if neither it nor its kin had been (sparsecalc/decide/kin_errors.py), on data/measurements/kernels.json. What is added
in quadrature is the least that makes the 80 % band hold 80 % of the rows. --write puts it into
data/kernel_constants.json.
"""

import json
import sys
from math import log

import numpy as np

from sparsecalc.data_files import data_folder
from sparsecalc.decide.kin_errors import devices_without, measured
from sparsecalc.decide.published import DeviceOf, kernel_checks
from sparsecalc.device.find import accelerator_ids
from sparsecalc.estimate.step import BAND

TARGET = data_folder() / "kernel_constants.json"
CHOSEN_ON = ("h100-sxm", "h200-sxm", "b200-sxm")
"""Accelerators that the general constants were chosen on."""
HELD = 0.8


def lacking(device_of: DeviceOf, gpu: str, known: float) -> np.ndarray:
    """Of each row: (ln(predicted / measured) / BAND)^2 less the square of the spread that its constants have."""
    checks = list(kernel_checks(device_of, gpu))
    errors = np.array([log(check.predicted_seconds / check.measured_seconds) for check in checks])
    spread = np.array([log(check.seconds_high / check.seconds_low) / 2 / BAND for check in checks])
    return np.asarray((errors / BAND) ** 2 - spread**2 + known**2)


def added(rows: list[np.ndarray]) -> float:
    """The least spread with which the bands hold their share of the rows."""
    return float(max(0.0, np.quantile(np.concatenate(rows), HELD)) ** 0.5)


def main() -> None:
    table = json.loads(TARGET.read_text())
    general = devices_without(accelerator_ids())
    found = {gpu: lacking(general, gpu, table["unmeasured_spread"]) for gpu in measured() if gpu not in CHOSEN_ON}
    found = {gpu: rows for gpu, rows in found.items() if rows.size}
    table["unmeasured_spread"] = float(f"{added(list(found.values())):.2g}")
    print(table["unmeasured_spread"])
    for gpu, rows in found.items():
        without = added([each for other, each in found.items() if other != gpu])
        held = float((rows <= without**2).mean())
        print(f"    {gpu:24} {rows.size:4} rows; {without:.2f} from the others' rows holds {held:.2f}")
    if "--write" in sys.argv:
        TARGET.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
