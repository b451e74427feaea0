"""Tests as llama-bench names them: `pp512` a prompt, `tg128` tokens one by one, `@d4096` with so many in the cache."""

import re
from collections.abc import Sequence

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.text import brief

LARGEST = 2**30
"""Tokens of a test, and before it."""
MOST_TESTS = 64
USUAL = (512, 128)
"""llama-bench's own prompt and answer, where only others of its options are given."""
_TEST = re.compile(r"(?:pp(?P<pp>\d{1,12}))?(?:\+?tg(?P<tg>\d{1,12}))?(?:@d(?P<d>\d{1,12}))?")
_HINT = "Examples: pp512, tg128, pp512@d4096, pp2048+tg256"


class BenchTest(Frozen):
    """A prompt of `prompt_len` tokens and then `output_len` tokens one by one, behind `depth` tokens in the cache."""

    prompt_len: int = 0
    output_len: int = 0
    depth: int = 0

    @property
    def name(self) -> str:
        """`pp2048+tg256@d4096`; llama-bench prints spaces around the `@`."""
        parts = (f"pp{self.prompt_len}" * bool(self.prompt_len), f"tg{self.output_len}" * bool(self.output_len))
        return "+".join(filter(None, parts)) + f"@d{self.depth}" * bool(self.depth)

    @property
    def context_len(self) -> int:
        """Tokens of a sequence once the test is done."""
        return self.depth + self.prompt_len + self.output_len


def bench_tests(text: str) -> tuple[BenchTest, ...]:
    """The tests of a list such as `pp512,tg128@d4096`. Raises InputError for what is no test, or too many."""
    found = tuple(bench_test(part) for part in text.split(","))
    if len(found) > MOST_TESTS:
        raise InputError(f"--test has {len(found)} tests", hint=f"It takes at most {MOST_TESTS}")
    return found


def bench_test(text: str) -> BenchTest:
    """One test by its name; spaces and capitals do not matter. Raises InputError."""
    match = _TEST.fullmatch(re.sub(r"\s", "", text).lower())
    if match is None or not (match["pp"] or match["tg"]):
        raise InputError(f"--test is {brief(text)}", hint=_HINT)
    test = BenchTest(prompt_len=int(match["pp"] or 0), output_len=int(match["tg"] or 0), depth=int(match["d"] or 0))
    if not test.prompt_len + test.output_len or max(vars(test).values()) > LARGEST:
        raise InputError(f"--test is {brief(text)}", hint="Its tokens must be between 1 and 2^30")
    return test


def as_llama_bench(
    prompts: Sequence[int] | None, outputs: Sequence[int] | None, depths: Sequence[int], both: tuple[int, int] | None
) -> str:
    """The tests of llama-bench's -p, -n, -d and -pg, as `bench_tests` reads them: each length at each depth; 0: none.

    Without -p and -n those are 512 and 128, as there.
    """
    tests = [BenchTest(prompt_len=count) for count in (USUAL[:1] if prompts is None else prompts) if count]
    tests += [BenchTest(output_len=count) for count in (USUAL[1:] if outputs is None else outputs) if count]
    tests += [BenchTest(prompt_len=both[0], output_len=both[1])] if both and any(both) else []
    if not tests:
        raise InputError("-p and -n are 0: no test is left", hint=_HINT)
    return ",".join(test.but(depth=depth).name for depth in depths for test in tests)
