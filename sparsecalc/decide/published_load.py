"""Published serving runs, replayed: the requests of each through the scheduler of its engine."""

from typing import Any

from sparsecalc.decide.capacity import HeldMemory
from sparsecalc.decide.deploy import deploy
from sparsecalc.decide.published import served_model
from sparsecalc.decide.question import ask
from sparsecalc.decide.scene import scene_of
from sparsecalc.decide.traffic import TrafficAsked, plain_lengths
from sparsecalc.estimate.replay.served import Served, costs_of

Row = dict[str, Any]


def replayed(row: Row) -> Served:
    """The closed loop of a row of data/measurements/serving.json."""
    question = ask(
        gpu=row["gpu"],
        engine=row["engine"],
        tp=row["tp"],
        dp=row.get("dp", 1),
        ep=row["ep"],
        prompt_len=row["prompt_len"],
        output_len=row["output_len"],
        concurrency=row["concurrency"],
    )
    model, precision = served_model(row)
    deployed = deploy(model, precision, question, question.devices.accelerators[0])
    prompt, output = plain_lengths(row["prompt_len"]), plain_lengths(row["output_len"])
    traffic = TrafficAsked(concurrency=row["concurrency"], prompt=prompt, output=output).traffic()
    longest = int((traffic.prompt_tokens + traffic.output_tokens).max())
    scene = scene_of(deployed, question, HeldMemory(deployed, question), None, longest)
    return Served(scene, traffic, costs_of(scene, traffic))
