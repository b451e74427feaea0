"""`routing`: what the distribution of tokens over experts costs."""

from typing import Annotated

import typer

from sparsecalc.cli.options import Format, Json, Output


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
    format: Format = "table",  # noqa: A002
    json: Json = False,
    output: Output = None,
) -> None:
    """Experts that a step reaches, the busiest rank with and without EPLB, and dropped tokens, for a distribution."""
    from sparsecalc.cli.output import check_target, emit
    from sparsecalc.decide.routing import Asked, route

    name = "json" if json else format
    check_target(output, name)
    asked = Asked(
        batch_sizes=_whole(batch_size, "--batch-size"),
        ep=_whole(ep, "--ep") if ep is not None else None,
        capacity_factors=_numbers(capacity_factor, "--capacity-factor"),
        replicas=replicas,
        simulate=simulate,
        seed=seed,
    )
    emit(route(model, routing, asked), name, output)


MOST_VALUES = 64


def _numbers(text: str, option: str) -> tuple[float, ...]:
    from sparsecalc.core.errors import InputError
    from sparsecalc.core.text import brief

    parts = text.split(",")
    try:
        values = tuple(map(float, parts))
    except ValueError as error:
        raise InputError(f"{option} is {brief(text)}", hint="It is a list of numbers, such as 1,8,64") from error
    if len(values) > MOST_VALUES:
        raise InputError(f"{option} has {len(values)} values", hint=f"It takes at most {MOST_VALUES}")
    return values


def _whole(text: str, option: str) -> tuple[int, ...]:
    from sparsecalc.core.errors import InputError
    from sparsecalc.core.text import brief

    values = _numbers(text, option)
    if not all(value.is_integer() for value in values):
        raise InputError(f"{option} is {brief(text)}", hint="It is a list of whole numbers, such as 1,8,64")
    return tuple(map(int, values))
