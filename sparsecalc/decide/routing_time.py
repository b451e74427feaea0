"""What routing costs in time: the experts' kernels of a layer on the busiest rank."""

from collections.abc import Sequence

from sparsecalc.core.precision import Precision
from sparsecalc.core.routing import Routing
from sparsecalc.core.workload import Workload
from sparsecalc.device.assemble import device_model
from sparsecalc.device.find import load_accelerator
from sparsecalc.documents.routing import TimeRow
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.step import step_time
from sparsecalc.model.spec import ModelSpec


def time_rows(
    spec: ModelSpec,
    precision: Precision,
    gpu: str,
    engine: str | None,
    routing: Routing,
    points: Sequence[tuple[int, int]],
    replicas: int,
) -> list[TimeRow]:
    """A row for each batch size and number of ranks. Raises InputError for an unknown accelerator or engine."""
    device = device_model(load_accelerator(gpu), engine)

    def seconds(batch: int, plan: Placement, how: Routing) -> float:
        step = step_time(spec, Workload.decode(1, batch, routing=how), precision, device, plan)
        return float(sum(time.seconds for time in step.times if time.kernel.family == "experts"))

    rows = []
    for batch, ep in points:
        plan = Placement(tp=ep, ep=ep)
        balanced = plan.but(eplb_replicas=replicas)
        rows.append(
            TimeRow(
                batch_size=batch,
                ep=ep,
                uniform_seconds=seconds(batch, plan, Routing()),
                seconds=seconds(batch, plan, routing),
                balanced_seconds=seconds(batch, balanced, routing),
            )
        )
    return rows
