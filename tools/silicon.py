"""Rows of the figures of ai-dynamo/aiconfigurator (gzipped CSV), for the tools that fit to them and draw from them."""

import csv
import gzip
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

ACCELERATORS = {
    "a100_sxm": "a100-80gb-sxm",
    "h100_sxm": "h100-sxm",
    "h200_sxm": "h200-sxm",
    "b200_sxm": "b200-sxm",
    "gb200": "gb200",
    "b300_sxm": "b300-sxm",
    "gb300": "gb300",
    "rtx_pro_6000_server": "rtx-pro-6000-blackwell",
    "b60": "arc-pro-b60",
}
COLUMNS = {
    "gemm": {"m": "m", "n": "n", "k": "k"},
    "moe": {"tokens": "num_tokens", "hidden_size": "hidden_size", "num_experts_per_tok": "topk"},
    "attn_decode": {
        **{"batch_size": "batch_size", "context_len": "ctx", "num_attention_heads": "num_heads"},
        **{"num_key_value_heads": "num_key_value_heads", "head_dim": "head_dim"},
    },
    "mla_decode": {"batch_size": "batch_size", "context_len": "ctx", "num_attention_heads": "num_heads"},
    "attn_prefill": {
        **{"batch_size": "batch_size", "prompt_len": "isl", "num_attention_heads": "num_heads", "head_dim": "head_dim"},
    },
}
"""Of each table: names here, as `sparsecalc.estimate.benchmarked_kernels` takes them, and the benchmark's."""
LATENT = {"kv_lora_rank": 512, "qk_rope_head_dim": 64}
"""The benchmark's latent attention is DeepSeek-V3's."""
Row = dict[str, Any]


def rows(folder: Path, name: str) -> list[Row]:
    with gzip.open(folder / f"aic_{name}.csv.gz", "rt") as file:
        usable = [row for row in csv.DictReader(file) if not row.get("suspect")]
    cold = [row for row in usable if row.get("l2_resident") != "True" or name == "attn_prefill"]
    return [row for row in cold if row["system"] in ACCELERATORS]


def column(table: list[Row], name: str) -> np.ndarray:
    return np.array([float(row[name]) for row in table])


def shapes(name: str, table: list[Row]) -> list[Row]:
    """What each row of a table times, in this project's names; experts as the busiest rank has them."""
    made = [{key: int(float(row[theirs])) for key, theirs in COLUMNS[name].items()} for row in table]
    if name == "mla_decode":
        return [{**shape, **LATENT} for shape in made]
    if name == "moe":
        distinct, pairs = loads(table)
        inner = column(table, "inter_size") / column(table, "moe_tp_size")
        more = zip(inner.tolist(), pairs.tolist(), distinct.tolist(), strict=True)
        names = ("moe_intermediate_size", "pairs", "distinct")
        return [{**shape, **dict(zip(names, values, strict=True))} for shape, values in zip(made, more, strict=True)]
    return made


def power_law_loads(experts: int, k: int, tokens: int, ranks: int, exponent: float = 1.01) -> tuple[float, float]:
    """Distinct experts and pairs of the busiest rank when loads are drawn from a bounded Pareto law, mean of 24 draws.

    The benchmark's own routing: loads on [1, 0.8 T], or [0.01, 2] where there are fewer pairs than experts.
    """
    random = Random(experts * 1_000_003 + k * 1009 + tokens)
    distinct, pairs = [], []
    for _ in range(400):
        low, high = (1.0, 0.8 * tokens) if tokens * k > experts else (0.01, 2.0)
        power = 1 - exponent
        draws = [((high**power - low**power) * random.random() + low**power) ** (1 / power) for _ in range(experts)]
        counts = np.array([round(draw * tokens * k / sum(draws)) for draw in draws])
        order = np.argsort(-counts)
        missing = tokens * k - int(counts.sum())
        for index in range(abs(missing)):
            at = order[index % experts] if missing > 0 else order[-(index % experts) - 1]
            counts[at if missing > 0 or counts[at] > 0 else counts.argmax()] += 1 if missing > 0 else -1
        if counts.max() > tokens:
            continue
        ranked = counts.reshape(ranks, -1)
        busiest = ranked.sum(1).argmax()
        distinct.append(int((ranked[busiest] > 0).sum()))
        pairs.append(int(ranked[busiest].sum()))
        if len(distinct) == 24:
            break
    if not distinct:
        return min(experts / ranks, tokens * k / ranks), tokens * k / ranks
    return float(np.mean(distinct)), float(np.mean(pairs))


def loads(table: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Distinct experts and pairs of the busiest rank of every row."""
    seen: dict[tuple[Any, ...], tuple[float, float]] = {}
    reached = []
    for row in table:
        key = (int(row["num_experts"]), int(row["topk"]), int(row["num_tokens"]), int(row["moe_ep_size"]))
        if row["distribution"] == "balanced":
            experts, k, tokens, ranks = key
            share = max(1.0, tokens * k / ranks)
            reached.append((min(experts / ranks, np.ceil(share)), share))
        else:
            if key not in seen:
                seen[key] = power_law_loads(*key)
            reached.append(seen[key])
    return np.array([a for a, _ in reached]), np.array([b for _, b in reached])


def spread_of(errors: np.ndarray) -> float:
    """Standard deviation whose 80 % band covers 80 % of the held-out errors."""
    return round(float(np.clip(np.quantile(np.abs(errors), 0.8) / 1.2816, 0.03, 0.8)), 3)


def summary(errors: np.ndarray) -> str:
    share = np.abs(np.exp(errors) - 1) * 100
    return f"{share.mean():5.1f} {np.median(share):5.1f} {np.percentile(share, 90):5.1f} ({len(share)})"
