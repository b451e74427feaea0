"""What routing costs in time: the experts' kernels of a layer on the busiest rank."""

from collections.abc import Sequence

from sparsecalc.core.precision import Precision
from sparsecalc.core.routing import Routing
from sparsecalc.core.workload import Workload
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.documents.routing import TimeRow
from sparsecalc.estimate.placement import Placement
from sparsecalc.estimate.step import step_time
from sparsecalc.model.ledgers import Ledgers


def time_rows(
    model: Ledgers,
    precision: Precision,
    device: DeviceModel,
    routing: Routing,
    points: Sequence[tuple[int, int]],
    replicas: int,
) -> list[TimeRow]:
    """A row for each batch size and number of ranks."""

    def seconds(batch: int, plan: Placement, how: Routing) -> float:
        step = step_time(model, Workload.decode(1, batch, routing=how), precision, device, plan)
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
