"""Compare a family's reader with transformers on meta: python tools/check_family.py FAMILY... | FILE.json...

Takes every config of tests/small_configs/FAMILY.json (a list of configs), or of the named files.
"""

import json
import sys
from pathlib import Path

import transformers

from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Workload
from sparsecalc.measure.architecture.meta_model import meta_model
from sparsecalc.measure.architecture.tensor_components import by_component
from sparsecalc.read.config import read_config

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Print a line for each config that differs or fails; the number of those is the exit code."""
    transformers.logging.set_verbosity_error()
    wrong = checked = 0
    for name in sys.argv[1:]:
        path = Path(name) if name.endswith(".json") else ROOT / "tests" / "small_configs" / f"{name}.json"
        found = json.loads(path.read_text())
        for number, config in enumerate(found if isinstance(found, list) else [found]):
            label, checked = f"{path.stem}[{number}]", checked + 1
            try:
                spec = read_config(config, model_id=label)
                real = by_component(meta_model(config))
            except InputError as error:
                print(f"{label}: {error}")
                wrong += 1
                continue
            ours = spec.ops(Workload()).by_component("params")
            differ = {part: f"{ours[part]:,} instead of {real[part]:,}" for part in real if ours[part] != real[part]}
            if differ:
                wrong += 1
                print(f"{label}: {differ}")
            for note in spec.notes:
                print(f"  {label}: {note.code}: {note.text}")
    print(f"{checked} checked, {wrong} wrong")
    return min(wrong, 99)


if __name__ == "__main__":
    sys.exit(main())
