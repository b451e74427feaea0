"""Tests as llama-bench names them, and its own options as other spellings of them."""

from typing import Annotated, Any

import typer

from sparsecalc.cli._options import Options, whole_numbers

Tests = Annotated[
    str | None,
    typer.Option("--test", help="tokens/s as llama-bench: pp512, tg128@d4096, pp2048+tg256,..."),
]
LLAMA_BENCH = {"n_prompt": "-p", "n_gen": "-n", "n_depth": "-d", "n_prompt_gen": "-pg"}
"""Options of llama-bench by their Python names."""


def _as_there(short: str, long: str) -> Any:
    return Annotated[str | None, typer.Option(short, long, hidden=True, help="as llama-bench's, instead of --test")]


TESTS: Options = {
    "test": (Tests, None),
    "n_prompt": (_as_there("-p", "--n-prompt"), None),
    "n_gen": (_as_there("-n", "--n-gen"), None),
    "n_depth": (_as_there("-d", "--n-depth"), None),
    "n_prompt_gen": (_as_there("-pg", "--n-prompt-gen"), None),
}


def with_tests(given: dict[str, Any]) -> dict[str, Any]:
    """The options with llama-bench's own as a `test`. Raises InputError where both are given, or one is none."""
    rest = {name: value for name, value in given.items() if name not in LLAMA_BENCH}
    own = {name: given[name] for name in LLAMA_BENCH if given.get(name) is not None}
    if not own:
        return rest
    from sparsecalc.core.bench_tests import as_llama_bench
    from sparsecalc.core.errors import InputError
    from sparsecalc.core.text import brief

    if given.get("test"):
        first = LLAMA_BENCH[next(iter(own))]
        raise InputError(f"{first} is another spelling of --test, and both are given", hint="Give one of them")
    lists = {name: whole_numbers(text, LLAMA_BENCH[name]) for name, text in own.items()}
    both = lists.get("n_prompt_gen")
    if both and len(both) != 2:
        raise InputError(f"-pg is {brief(own['n_prompt_gen'])}", hint="It is a prompt and an answer: -pg 2048,256")
    if any(value < 0 for values in lists.values() for value in values):
        raise InputError("a number of tokens is below 0", hint="-p, -n, -d and -pg take 0 or more")
    pair = (both[0], both[1]) if both else None
    tests = as_llama_bench(lists.get("n_prompt"), lists.get("n_gen"), lists.get("n_depth", (0,)), pair)
    return {**rest, "test": tests}
