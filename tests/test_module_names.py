"""data/module_names.json against transformers: every op's modules exist under these names, with these shapes."""

import json
import math
import re
from pathlib import Path

import pytest

from sparsecalc.core.workload import Workload
from sparsecalc.read.config import read_config
from sparsecalc.read.stored.modules import ModuleNames

SMALL = sorted((Path(__file__).parent / "small_configs").glob("*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_every_matrix_has_its_modules_name(path: Path) -> None:
    pytest.importorskip("transformers")
    from sparsecalc.measure.architecture.meta_model import meta_model

    config = json.loads(path.read_text())[0]
    spec, names = read_config(config, model_id="x"), ModuleNames(path.stem)
    if spec.encoder_decoder or path.stem in LOOPED:
        pytest.skip("layers are numbered stack by stack, or pass by pass")
    sizes = {
        re.sub(r"\.weight$", "", name): math.prod(tensor.shape)
        for name, tensor in meta_model(config).named_parameters()
    }
    sizes |= {f"{re.sub(r'^model[.]', '', name)}": size for name, size in sizes.items()}
    missing = []
    for group in spec.layer_groups:
        for op in group.layer.ops(Workload()):
            found = {name: sizes[name] for name in _candidates(names, op, group.positions[0]) if name in sizes}
            held = op.rows * op.cols * op.matrices  # fused modules hold more; of experts in a list the first stands
            if op.kind != "conv" and not op.tied and sum(found.values()) < held:
                missing.append(op.name)
    assert set(missing) == KNOWN.get(path.stem, set())


LOOPED = ("inkling2_loop_text",)

KNOWN = {
    "recurrent_gemma": {"recurrence gates"},
    "zamba2": {"gate_up_proj_adapter down", "gate_up_proj_adapter up"},  # later layers' stand in the first one's list
}
"""Ops whose matrices no quantizer takes, and which therefore have no name, or another one."""


def _candidates(names: ModuleNames, op: object, index: int) -> list[str]:
    found = [name for module in names.of_layer(op, index) for name in module.names]  # type: ignore[arg-type]
    return [name.replace("{e}", "0") for name in found]
