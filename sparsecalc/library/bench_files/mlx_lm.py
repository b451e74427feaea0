"""mlx-lm's lines: those that mlx_lm.generate ends with, and the averages of mlx_lm.benchmark.

Source: mlx-lm 0.28, mlx_lm/generate.py and mlx_lm/benchmark.py.
"""

import re

from sparsecalc.core.bench_tests import BenchTest
from sparsecalc.library.bench_files.rows import BenchRow
from sparsecalc.library.serving_files.rows import number

TOOL = "mlx-lm"
_GENERATED = re.compile(
    r"Prompt: (?P<p>\d+) tokens, (?P<pr>[\d.]+) tokens-per-sec\s+Generation: (?P<g>\d+) tokens, (?P<gr>[\d.]+)"
)
_TIMING = re.compile(r"prompt_tokens=(?P<p>\d+),\s*generation_tokens=(?P<g>\d+)(?:,\s*batch_size=(?P<b>\d+))?")
_AVERAGES = re.compile(r"Averages:\s*prompt_tps=(?P<pr>[\d.]+),\s*generation_tps=(?P<gr>[\d.]+)")
_MODEL = re.compile(r"--model[ =](\S+)")


def read_mlx_lm(text: str, where: str) -> list[BenchRow] | None:
    """The rows, one of the prompt and one of the answer of each run; None where there are no such lines.

    Averages are of the lengths that the line before them tells.
    """
    model = _MODEL.search(text)
    name = model[1] if model else ""
    found: list[BenchRow] = []
    for match in _GENERATED.finditer(text):
        found += _rows(match["p"], match["g"], (match["pr"], match["gr"]), "1", name, where)
    for match in _AVERAGES.finditer(text):
        timing = [*_TIMING.finditer(text, 0, match.start())][-1:]
        lengths = (timing[0]["p"], timing[0]["g"], timing[0]["b"] or "1") if timing else ("0", "0", "1")
        found += _rows(lengths[0], lengths[1], (match["pr"], match["gr"]), lengths[2], name, where)
    return found or None


def _rows(prompt: str, answer: str, rates: tuple[str, str], batch: str, model: str, where: str) -> list[BenchRow]:
    lengths = [int(each[:12]) for each in (prompt, answer)]
    tests = [BenchTest(prompt_len=lengths[0]), BenchTest(output_len=lengths[1], depth=lengths[0])]
    return [
        BenchRow(
            where=where,
            tool=TOOL,
            test=test,
            tokens_per_second=number(rate, "tokens per second", where) or 0.0,
            model=model,
            engine="mlx",
            batch_size=int(batch[:6]),
            unusable="" if test.context_len else "its lengths are not told",
        )
        for test, rate in zip(tests, rates, strict=True)
    ]
