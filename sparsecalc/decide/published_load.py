"""Published serving runs, replayed: the requests of each through the scheduler of its engine."""

from collections.abc import Iterator
from typing import Any

from sparsecalc.decide.capacity import HeldMemory
from sparsecalc.decide.deploy import deploy
from sparsecalc.decide.published import served_check, served_model
from sparsecalc.decide.question import ask
from sparsecalc.decide.scene import scene_of
from sparsecalc.decide.simulation_figures import band, first_token_band
from sparsecalc.decide.traffic import closed_loop
from sparsecalc.documents.validate import Check
from sparsecalc.estimate.replay.served import Served, costs_of

Row = dict[str, Any]


def load_checks(rows: list[Row]) -> Iterator[Check]:
    """TPOT of each run by the replay, as `show` predicts it, and its TTFT where it is stated."""
    for row in rows:
        served = replayed(row)
        tpot, ttft = float(served.tpot.mean()), float(served.ttft.mean())
        low, high = band(served)
        yield served_check("serving", row, row["tpot_seconds"], (tpot, tpot * low, tpot * high))
        if row["ttft_seconds"]:
            width = first_token_band(served)
            yield served_check("ttft", row, row["ttft_seconds"], (ttft, ttft / width, ttft * width))


def replayed(row: Row) -> Served:
    """The closed loop of a row of data/measurements/serving.json, or of a user's report."""
    question = ask(
        gpu=row["gpu"],
        engine=row["engine"],
        tp=row.get("tp", 1),
        pp=row.get("pp", 1),
        dp=row.get("dp", 1),
        ep=row.get("ep", 1),
        enforce_eager=bool(row.get("eager")),
        prompt_len=row["prompt_len"],
        output_len=row["output_len"],
        concurrency=row["concurrency"],
    )
    model, precision = served_model(row)
    deployed = deploy(model, precision, question, question.devices.accelerators[0])
    traffic = closed_loop(question.requests)
    scene = scene_of(deployed, question, HeldMemory(deployed, question), None, traffic.longest)
    return Served(scene, traffic, costs_of(scene, traffic))
