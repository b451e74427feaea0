"""Requests in a closed loop, by the replay: what `show` and `compare` say of a server with several in flight."""

from sparsecalc.decide.capacity import HeldMemory
from sparsecalc.decide.question import Question
from sparsecalc.decide.scene import scene_of
from sparsecalc.decide.simulation_figures import figures
from sparsecalc.decide.traffic import closed_loop
from sparsecalc.estimate.deployment import Deployment, Drafting
from sparsecalc.estimate.replay.served import Served, costs_of
from sparsecalc.estimate.results import ServingPrediction
from sparsecalc.estimate.step import Step


def serve_together(
    deployed: Deployment, question: Question, draft: Drafting | None, capacity: HeldMemory, prompt: Step
) -> ServingPrediction:
    """The figures of `simulate --concurrency` for the question's requests."""
    requests, concurrency = question.requests, int(question.requests.concurrency)
    traffic = closed_loop(requests)
    scene = scene_of(deployed, question, capacity, draft, traffic.longest)
    served = Served(scene, traffic, costs_of(scene, traffic))
    found, running = figures(served), min(concurrency, max(1, served.most_running))
    rate = found.output_tokens_per_second
    tpot = found.tpot_seconds.mean
    engine = deployed.device.engine
    idle = prompt.seconds + engine.first_token_seconds(requests.prompt_len)
    return ServingPrediction(
        **vars(requests),
        running=running,
        waiting=concurrency - running,
        ttft_seconds=found.ttft_seconds.mean,
        ttft_seconds_low=found.ttft_seconds_low,
        ttft_seconds_high=found.ttft_seconds_high,
        ttft_idle_seconds=idle * engine.first_token_factor(1),
        tpot_seconds=tpot,
        tpot_seconds_low=found.tpot_seconds_low,
        tpot_seconds_high=found.tpot_seconds_high,
        output_tokens_per_second=rate,
        output_tokens_per_second_per_gpu=rate / scene.num_gpus,
        joules_per_output_token_at_most=deployed.joules_per_token_at_most(rate),
    )
