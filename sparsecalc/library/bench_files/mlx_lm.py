"""mlx-lm's lines: those that mlx_lm.generate ends with, and the averages of mlx_lm.benchmark.

Source: mlx-lm 0.28, mlx_lm/generate.py and mlx_lm/benchmark.py.
"""

import re

from sparsecalc.core.bench_tests import BenchTest
from sparsecalc.library.bench_files.rows import BenchRow
from sparsecalc.library.serving_files.rows import number

TOOL = "mlx-lm"
_LINES = re.compile(
    r"prompt_tokens=(?P<p>\d{1,12}),\s*generation_tokens=(?P<g>\d{1,12})(?:,\s*batch_size=(?P<b>\d{1,6}))?"
    r"|Averages:\s*prompt_tps=(?P<apr>[\d.]+),\s*generation_tps=(?P<agr>[\d.]+)"
    r"|Prompt: (?P<gp>\d{1,12}) tokens, (?P<gpr>[\d.]+) tokens-per-sec\s+"
    r"Generation: (?P<gg>\d{1,12}) tokens, (?P<ggr>[\d.]+)"
)
"""What mlx_lm.benchmark times, its averages, and the two lines of mlx_lm.generate."""
_MODEL = re.compile(r"--model[ =](\S+)")


def read_mlx_lm(text: str, where: str) -> list[BenchRow] | None:
    """The rows, one of the prompt and one of the answer of each run; None where there are no such lines.

    Averages are of the lengths that the line before them tells.
    """
    model = _MODEL.search(text)
    name = model[1] if model else ""
    found: list[BenchRow] = []
    lengths = (0, 0, 1)
    for line in _LINES.finditer(text):
        if line["p"]:
            lengths = int(line["p"]), int(line["g"]), int(line["b"] or 1)
        elif line["apr"]:
            found += _rows(lengths, (line["apr"], line["agr"]), name, where)
        else:
            found += _rows((int(line["gp"]), int(line["gg"]), 1), (line["gpr"], line["ggr"]), name, where)
    return found or None


def _rows(lengths: tuple[int, int, int], rates: tuple[str, str], model: str, where: str) -> list[BenchRow]:
    """What a prompt and its answer say, of so many tokens and sequences."""
    prompt, answer, batch = lengths
    tests = [BenchTest(prompt_len=prompt), BenchTest(output_len=answer, depth=prompt)]
    return [
        BenchRow(
            where=where,
            tool=TOOL,
            test=test,
            tokens_per_second=(speed := number(rate, "tokens per second", where) or 0.0),
            model=model,
            engine="mlx",
            batch_size=max(1, batch),
            unusable="" if speed and test.prompt_len + test.output_len else "its length or its rate is not told",
        )
        for test, rate in zip(tests, rates, strict=True)
    ]
