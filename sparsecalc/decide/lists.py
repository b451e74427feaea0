"""Lists: built-in models, families, accelerators."""

from sparsecalc.core import units
from sparsecalc.device.assemble import device_model
from sparsecalc.device.find import load_accelerator
from sparsecalc.device.sheets import accelerator_ids
from sparsecalc.documents.lists import ListReport
from sparsecalc.estimate.costs import params
from sparsecalc.library.models import load_model, model_ids
from sparsecalc.read.config import ALIASES, families


def list_models() -> ListReport:
    """Every built-in spec with its counts."""
    rows = []
    for name in model_ids():
        loaded = load_model(name)
        counted = params(loaded.spec)
        rows.append(
            {
                "id": name,
                "model_type": loaded.spec.model_type,
                "kind": loaded.spec.kind,
                "total": units.count(counted.total, 2),
                "active": units.count(counted.active, 2),
                "total_params": counted.total,
                "active_params": counted.active,
                "layers": loaded.spec.num_hidden_layers,
                "released": loaded.facts.get("released"),
                "checked_by": loaded.spec.checked_by,
            }
        )
    return ListReport(command="models", inputs={}, rows=rows)


def list_families() -> ListReport:
    """Every model_type that has a reader, and those that are another family by structure."""
    rows = [{"model_type": name, "read_as": ALIASES.get(name, name)} for name in sorted({*families(), *ALIASES})]
    return ListReport(command="models", inputs={"families": True}, rows=rows)


def list_gpus(kind: str | None = None) -> ListReport:
    """Every accelerator with its dense peak and memory, and the one whose measured kernels predict its times.

    Processors come last; with `kind` (gpu, soc, asic or cpu) only those.
    """
    rows = []
    gpus = [load_accelerator(name) for name in accelerator_ids()]
    for gpu in sorted(gpus, key=lambda gpu: gpu.kind == "cpu"):
        if kind not in (None, gpu.kind):
            continue
        peaks = gpu.peak_flops_per_second
        price = gpu.usd_per_hour
        rows.append(
            {
                "id": gpu.id,
                "name": gpu.name,
                "kind": gpu.kind,
                "memory_bytes": gpu.capacity_bytes,
                "memory": units.nbytes(gpu.capacity_bytes, 0),
                "memory_bytes_per_second": gpu.memory_bytes_per_second,
                "bf16_flops_per_second": peaks.get("bf16") or peaks.get("fp16"),
                "fp8_flops_per_second": peaks.get("fp8"),
                "usd_per_hour": price.value if price else None,
                "released": gpu.released,
                "constants_of": device_model(gpu).constants_of or "general",
            }
        )
    return ListReport(command="gpus", inputs={"kind": kind} if kind else {}, rows=rows)
