"""`routing`: what the distribution of tokens over experts costs."""

from typing import Annotated, Any

import typer

from sparsecalc.cli._options import OUTPUT, Dtype, EngineName, emit_as_asked, numbers, takes, whole_numbers


@takes(OUTPUT)
def routing(
    model: Annotated[str, typer.Argument(help="a model with experts: built-in id, config.json, folder, or Hub id")],
    routing: Annotated[
        str, typer.Option(help="uniform, zipf:1.0, dirichlet:0.5, or a file of counts per expert (JSON, CSV)")
    ] = "uniform",
    batch_size: Annotated[str, typer.Option("--batch-size", help="tokens of a step, a list")] = "1,8,64,512",
    ep: Annotated[
        str | None, typer.Option("--ep", help="ranks of expert parallelism, a list (default: 1,8,32)")
    ] = None,
    capacity_factor: Annotated[
        str, typer.Option("--capacity-factor", help="capacity over the even share, a list")
    ] = "1.0,1.25",
    replicas: Annotated[int, typer.Option("--replicas", help="redundant experts that EPLB places")] = 0,
    simulate: Annotated[bool, typer.Option("--simulate", help="check the closed forms by Monte Carlo")] = False,
    seed: Annotated[int, typer.Option("--seed", help="of the Monte Carlo")] = 0,
    gpu: Annotated[str | None, typer.Option(help="an accelerator: the effect on the experts' time")] = None,
    engine: EngineName = None,
    dtype: Dtype = None,
    **given: Any,
) -> None:
    """Experts that a step reaches, the busiest rank with and without EPLB, and dropped tokens, for a distribution."""
    from sparsecalc.decide.routing import RoutingQuestion, route

    asked = RoutingQuestion(
        batch_sizes=whole_numbers(batch_size, "--batch-size"),
        ep=whole_numbers(ep, "--ep") if ep is not None else None,
        capacity_factors=numbers(capacity_factor, "--capacity-factor"),
        replicas=replicas,
        simulate=simulate,
        seed=seed,
        gpu=gpu,
        engine=engine,
        dtype=dtype,
    )
    emit_as_asked(given, lambda: route(model, routing, asked))
