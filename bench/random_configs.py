"""Hold every family's reader against transformers on configs drawn at random, shrunk where they differ.

python bench/random_configs.py [--count 2500] [--seed 1] [--families llama,qwen3_next] [--write]
"""

import argparse
import copy
import datetime
import json
import platform
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import torch
import transformers

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from drawn_configs import draw, families, outcome  # noqa: E402

DRAWS_PER_CONFIG = 6
"""How often to draw again where transformers does not build or not run what was drawn, or the reader refuses it."""


def shrink(config: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """The config with every change undone that the difference does not need."""
    smallest, again = copy.deepcopy(config), True
    while again:
        again = False
        for key in [key for key in {**smallest, **base} if smallest.get(key, _NONE) != base.get(key, _NONE)]:
            tried = {name: value for name, value in smallest.items() if name != key}
            if key in base:
                tried[key] = copy.deepcopy(base[key])
            if outcome(tried).status in ("differs", "crash"):
                smallest, again = tried, True
    return smallest


_NONE = object()


def changes(config: dict[str, Any], base: dict[str, Any]) -> str:
    """What a config has that its small config has not."""
    changed = {key: config.get(key) for key in {**config, **base} if config.get(key, _NONE) != base.get(key, _NONE)}
    return json.dumps(changed)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=2500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--families", default="", help="names with commas between them; all where it is absent")
    parser.add_argument("--write", action="store_true", help="write bench/results/random-configs-<date>.json")
    asked = parser.parse_args()
    transformers.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    names = asked.families.split(",") if asked.families else families()
    started, seen = time.monotonic(), set()
    tallies: dict[str, Counter[str]] = {name: Counter() for name in names}
    reasons: Counter[str] = Counter()
    shown: list[dict[str, Any]] = []
    for number in range(asked.count):
        family = names[number % len(names)]
        random = Random(f"{asked.seed} {family} {number}")
        for _ in range(DRAWS_PER_CONFIG):
            config, base = draw(family, random)
            text = json.dumps(config, sort_keys=True)
            if text in seen:
                continue
            seen.add(text)
            result = outcome(config)
            tallies[family][result.status] += 1
            if result.status in ("refused", "not built", "not run"):
                reasons[f"{family}: {result.status}: {result.text}"] += 1
            if result.status in ("exact", "differs", "crash"):
                break
        if result.status in ("differs", "crash"):
            smallest = shrink(config, base)
            shown.append({"family": family, "config": smallest, "text": outcome(smallest).text})
            print(
                f"{family}: {changes(smallest, base)}\n  {outcome(smallest).text}\n  {json.dumps(smallest)}", flush=True
            )
    print_summary(tallies, reasons)
    total: Counter[str] = sum(tallies.values(), Counter())
    print(f"{dict(total)} in {time.monotonic() - started:.0f} s")
    if asked.write:
        write(asked, tallies, total, shown)
    return min(len(shown), 99)


def print_summary(tallies: dict[str, Counter[str]], reasons: Counter[str]) -> None:
    for family, tally in tallies.items():
        print(f"{family:24} " + ", ".join(f"{count} {status}" for status, count in sorted(tally.items())))
    for reason, count in reasons.most_common():
        if ": not built: " not in reason:
            print(f"  {count} x {reason}")


def write(
    asked: argparse.Namespace, tallies: dict[str, Counter[str]], total: Counter[str], shown: list[dict[str, Any]]
) -> None:
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    result = {
        "command": f"python bench/random_configs.py --count {asked.count} --seed {asked.seed}",
        "date": today,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "compared": "to the unit: parameters by component, active ones, caches, FLOPs by component of two prompts and "
        "a decode step; 'not run': parameters only, since transformers cannot run the forward pass on the meta device",
        "total": dict(total),
        "families": {family: dict(tally) for family, tally in tallies.items()},
        "differences": shown,
    }
    target = ROOT / "bench" / "results" / f"random-configs-{today}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
