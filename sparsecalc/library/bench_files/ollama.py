"""Ollama's timings: the last object of /api/generate and /api/chat, and what `ollama run --verbose` prints.

Source: ollama, docs/api.md (durations in nanoseconds); cmd/cmd.go for the lines of --verbose. Tokens of a prompt that
the cache held already are not in prompt_eval_count.
"""

import re

from sparsecalc.core.bench_tests import BenchTest
from sparsecalc.library.bench_files.rows import BenchRow
from sparsecalc.library.serving_files.rows import Record, number, seconds, whole, word

TOOL = "ollama"
FEWEST_PROMPT_TOKENS = 64
"""Of shorter prompts the time is mostly that of one step, and of what was left in the cache nothing is known."""
FEWEST_TOKENS = 8
_TOKENS = re.compile(r"(?m)^(prompt eval|eval) count:\s+(\d{1,12}) token\(s\)")
_RATES = re.compile(r"(?m)^(prompt eval|eval) rate:\s+([\d.]+) tokens/s")


def read_ollama(record: Record, where: str) -> list[BenchRow] | None:
    """The rows of a JSON object, of prompt and answer; none of a piece of a stream; None: of another tool."""
    if "done" in record and "model" in record and "eval_duration" not in record:
        return []  # a piece of the answer
    if not {"eval_count", "eval_duration"} <= record.keys():
        return None
    counts = [
        whole(record.get(f"{name}_count") or None, f"{name}_count", where) or 0 for name in ("prompt_eval", "eval")
    ]
    spent = [
        seconds(record.get(f"{name}_duration"), f"{name}_duration", where, 1e9) for name in ("prompt_eval", "eval")
    ]
    rates = [count / each if each else 0.0 for count, each in zip(counts, spent, strict=True)]
    return _rows((counts[0], counts[1]), (rates[0], rates[1]), word(record.get("model")) or "", where)


def read_ollama_verbose(text: str, where: str) -> list[BenchRow] | None:
    """The rows of one or several answers with --verbose; None where there are no such lines."""
    tokens, rates = _TOKENS.findall(text), _RATES.findall(text)
    if not tokens or [name for name, _ in tokens] != [name for name, _ in rates]:
        return None
    model = re.search(r"ollama run (?:--?\S{1,40} ){0,8}([\w./:-]{1,200})", text)
    found: list[BenchRow] = []
    prompt, speed = 0, 0.0
    for (name, count), (_, rate) in zip(tokens, rates, strict=True):
        value = number(rate, f"{name} rate", where) or 0.0
        if name == "prompt eval":
            prompt, speed = int(count), value
        else:
            found += _rows((prompt, int(count)), (speed, value), model[1] if model else "", where)
    return found


def _rows(tokens: tuple[int, int], rates: tuple[float, float], model: str, where: str) -> list[BenchRow]:
    """What a prompt and its answer say; too few tokens say nothing."""
    tests = [BenchTest(prompt_len=tokens[0]), BenchTest(output_len=tokens[1], depth=tokens[0])]
    whys = [
        f"a prompt of {tokens[0]} tokens tells little of prompts" if tokens[0] < FEWEST_PROMPT_TOKENS else "",
        f"an answer of {tokens[1]} tokens tells little" if tokens[1] < FEWEST_TOKENS else "",
    ]
    return [
        BenchRow(where=where, tool=TOOL, test=test, tokens_per_second=rate, model=model, engine="ollama", unusable=why)
        for test, rate, why in zip(tests, rates, whys, strict=True)
        if test.prompt_len + test.output_len and (rate or why)
    ]
