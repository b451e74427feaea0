"""Write what transformers counts into spec files: python tools/count_specs.py data/model_specs/NAME.json...

`counted` holds the totals of the architecture on the meta device where transformers builds it (`by` names the version),
else those of the reader's formulas. A component that the reader counts otherwise stops the run.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

import transformers

from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.costs import memory, params
from sparsecalc.estimate.load import Load
from sparsecalc.library.checkpoints import FACTS_KEY
from sparsecalc.library.formats import precision_for
from sparsecalc.measure.architecture.meta_model import meta_model
from sparsecalc.measure.architecture.tensor_components import by_component
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.config import read_config

_SCALARS = re.compile(r"\[\s*((?:[^\[\]{}\"]|\"[^\"]*\")*?)\s*\]")


def main() -> int:
    """Count each file that is named; 1 where the reader and transformers differ."""
    transformers.logging.set_verbosity_error()
    wrong = 0
    for name in sys.argv[1:]:
        path = Path(name)
        file = json.loads(path.read_text(encoding="utf-8"))
        config = {key: value for key, value in file.items() if key != FACTS_KEY}
        spec = read_config(config, model_id=path.stem)
        differ = _differences(spec, config)
        if differ:
            print(f"{path.stem}: {differ}")
            wrong = 1
            continue
        file[FACTS_KEY]["counted"] = _counted(spec)
        path.write_text(text_of(file), encoding="utf-8")
    return wrong


def _differences(spec: ModelSpec, config: dict[str, Any]) -> dict[str, str]:
    """Components that transformers counts otherwise; none of a family that it lacks."""
    if spec.checked_by == "formula":
        return {}
    try:
        real = by_component(meta_model({key: value for key, value in config.items() if key != "quantization_config"}))
    except InputError as error:
        return {"transformers": error.text}
    ours = spec.ops(Workload()).by_component("params")
    return {part: f"{ours[part]:,} instead of {real[part]:,}" for part in real if ours[part] != real[part]}


def _counted(spec: ModelSpec) -> dict[str, Any]:
    found = params(spec)
    held = memory(spec, precision_for(spec, "bf16"), Load(context_len=4096, max_num_batched_tokens=8192))
    by = f"transformers {transformers.__version__} on the meta device"
    return {
        "total": found.total,
        "active": found.active,
        "active_excl_embedding": found.active_excl_embedding,
        "active_excl_embedding_and_head": found.active_excl_embedding_and_head,
        "kv_cache_bytes_per_token": held.kv_cache_bytes_per_token,
        "by": by if spec.checked_by == "transformers" else "formula",
    }


def text_of(file: dict[str, Any]) -> str:
    """The spec file as text: one key a line, lists of plain values on one line."""
    text = json.dumps(file, indent=1, ensure_ascii=False)
    return _SCALARS.sub(lambda found: "[" + re.sub(r",\s*\n\s*", ", ", found.group(1)) + "]", text) + "\n"


if __name__ == "__main__":
    sys.exit(main())
