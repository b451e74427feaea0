"""Several devices: collectives, a tensor-parallel layer, and experts over the ranks under uniform and skewed routing.

    torchrun --nproc-per-node 8 -m sparsecalc.measure.timing.ranks --output ranks.json

NCCL on CUDA devices, gloo on CPUs. Every split layer is held against the whole one; rank 0 prints or saves the JSON.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from sparsecalc.core.errors import InputError, SparsecalcError
from sparsecalc.core.routing import Routing
from sparsecalc.library.models import model_ids
from sparsecalc.measure.calibrate.collectives import collective_rows, seconds_of, slowest
from sparsecalc.measure.calibrate.expert_benchmarks import built_in_config, draw_routing, popularity
from sparsecalc.measure.machine.conditions import machine_conditions
from sparsecalc.measure.machine.device import memory_bytes
from sparsecalc.measure.machine.random_tensors import DTYPES, random_tensor
from sparsecalc.measure.machine.samples import quantile
from sparsecalc.measure.timing.parallel_layers import (
    ExpertParallel,
    TensorParallelLayer,
    run_layer,
    whole_experts,
    whole_layer,
)

PARTS = ("collectives", "tensor", "experts")
SAMPLES = 10


def main(arguments: list[str] | None = None) -> int:
    """Run as one rank of torchrun; exit code 0, or 2 with one line where the input is wrong."""
    asked = _parser().parse_args(arguments)
    device = _join(asked.device)
    try:
        document = _measure(asked, device)
        if dist.get_rank() == 0:
            _write(document, asked.output)
    except SparsecalcError as error:
        if dist.get_rank() == 0:
            print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    finally:
        dist.destroy_process_group()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sparsecalc.measure.timing.ranks", description=__doc__.split("\n")[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="collectives, tensor, experts")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="default: CUDA where there is one")
    parser.add_argument("--dense-model", default="llama-3.1-8b", help="built-in id or config.json: the layer to split")
    parser.add_argument("--model", default="mixtral-8x7b", help="built-in id or config.json: the experts to split")
    parser.add_argument("--dtype", default="bf16", choices=[name for name in DTYPES if name != "fp8"])
    parser.add_argument("--tokens", default="1,64,512", help="tokens per rank (experts), or in all (tensor)")
    parser.add_argument("--skew", default="0,1", help="Zipf exponents of the routing; 0 is uniform")
    parser.add_argument("--output", help="write the JSON here instead of stdout")
    return parser


def _join(kind: str | None) -> torch.device:
    """This rank's device, and the process group that torchrun described in the environment."""
    if "RANK" not in os.environ:
        sys.exit("error: start it with torchrun --nproc-per-node N -m sparsecalc.measure.timing.ranks")
    kind = kind or ("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(kind, int(os.environ.get("LOCAL_RANK", 0)) if kind == "cuda" else None)
    if kind == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if kind == "cuda" else "gloo", device_id=device if kind == "cuda" else None)
    return device


def _measure(asked: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    parts = asked.parts.split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        raise InputError(f"unknown part {unknown[0]!r}", hint=f"Known: {', '.join(PARTS)}")
    tokens, dtype = _numbers(asked.tokens, int), DTYPES[asked.dtype]
    rows: list[dict[str, Any]] = []
    with torch.inference_mode():
        if "collectives" in parts:
            rows += collective_rows(device)
        if "tensor" in parts:
            rows += tensor_rows(_config(asked.dense_model), device, dtype, tokens)
        if "experts" in parts:
            rows += expert_rows(_config(asked.model), device, dtype, tokens, _numbers(asked.skew, float))
    models = {"tensor": asked.dense_model, "experts": asked.model}
    return {
        "schema_version": 1,
        "command": "measure.distributed",
        "inputs": {"parts": parts, "models": models, "dtype": asked.dtype, "tokens": tokens},
        "ranks": dist.get_world_size(),
        "environment": machine_conditions(device),
        "rows": rows,
    }


def _numbers(text: str, kind: type) -> list[Any]:
    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{text!r} is not a list of numbers", hint="Example: 1,64,512") from error
    if min(numbers) < (1 if kind is int else 0):
        raise InputError(f"{text!r} holds a number that is too small")
    return numbers


def _config(name: str) -> dict[str, Any]:
    """The config of a built-in model, or of a config.json."""
    if name in model_ids():
        return built_in_config(name)
    if not name.endswith(".json"):
        raise InputError(f"unknown model {name!r}", hint="List them: sparsecalc models; or name a config.json")
    try:
        config: dict[str, Any] = json.loads(Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{name} cannot be read as JSON ({error})") from error
    return {key: value for key, value in config.items() if key != "sparsecalc"}


def tensor_rows(
    config: dict[str, Any], device: torch.device, dtype: torch.dtype, tokens: list[int]
) -> list[dict[str, Any]]:
    """A causal pass of one sequence through the split layer, and the error against the whole layer."""
    whole, rotary = whole_layer(config, device, dtype)
    split = TensorParallelLayer(whole)
    rows = []
    for count in tokens:
        hidden = random_tensor((1, count, config["hidden_size"]), dtype, device, 1.0)
        positions = rotary(hidden, torch.arange(count, device=device)[None])
        error = _error(split(hidden, positions) - hidden, run_layer(whole, hidden, positions) - hidden)
        samples = slowest(lambda h=hidden, p=positions: split(h, p), device, SAMPLES)  # type: ignore[misc]
        row = {"op": "tensor_parallel_layer", "ranks": dist.get_world_size(), "tokens": count, "relative_error": error}
        rows.append({**row, "seconds": quantile(samples, 0.5), "samples": samples})
    return rows


def expert_rows(
    config: dict[str, Any], device: torch.device, dtype: torch.dtype, tokens: list[int], skews: list[float]
) -> list[dict[str, Any]]:
    """Split experts under each skew: seconds of every rank by phase, its load, and the error against the whole.

    The order of the experts by popularity is the same on all ranks and drawn once, so that blocks of experts differ.
    """
    whole, k = whole_experts(config, device, dtype, memory_bytes(device)[0] // (4 * dist.get_world_size()))
    split = ExpertParallel(whole)
    return [expert_row(split, whole, k, count, skew) for skew in skews for count in tokens]


def expert_row(split: ExpertParallel, whole: Any, num_experts_per_tok: int, tokens: int, skew: float) -> dict[str, Any]:
    """One number of tokens per rank and one skew."""
    weight, k = whole.gate_up_proj, num_experts_per_tok
    chosen = draw_routing(tokens, whole.num_experts, k, skew, seed=1 + dist.get_rank()).to(weight.device)
    hidden = random_tensor((tokens, weight.shape[-1]), weight.dtype, weight.device, 1.0)
    weights = torch.full((tokens, k), 1 / k, dtype=weight.dtype, device=weight.device)
    error = _error(split(hidden, chosen, weights), whole(hidden, chosen, weights))
    samples = slowest(lambda: split(hidden, chosen, weights), weight.device, SAMPLES)
    phases = _phases(split, hidden, chosen, weights)
    by_rank: list[Any] = [None] * dist.get_world_size()
    mine = {**phases, "pairs": len(split.ids), "distinct": len(split.ids.unique())}
    dist.all_gather_object(by_rank, mine)
    return {
        "op": "expert_parallel_moe",
        "ranks": len(by_rank),
        "tokens": tokens,
        "skew": skew,
        "num_experts": whole.num_experts,
        "num_experts_per_tok": k,
        "relative_error": error,
        "seconds": quantile(samples, 0.5),
        "samples": samples,
        "by_rank": by_rank,
        **_loads(by_rank, whole.num_experts, k, tokens * len(by_rank), skew),
    }


def _loads(
    by_rank: list[dict[str, Any]], num_experts: int, num_experts_per_tok: int, tokens: int, skew: float
) -> dict[str, float]:
    """The load of the busiest rank, as measured and as the closed forms expect it from so many tokens in all."""
    pairs = [rank["pairs"] for rank in by_rank]
    shares = tuple(popularity(num_experts, skew).tolist())
    routing = Routing(kind="measured", shares=(shares,)) if skew else Routing()
    expected = routing.busiest_rank(num_experts, num_experts_per_tok, tokens, len(by_rank))
    return {
        "straggler_seconds": max(rank["experts_seconds"] for rank in by_rank),
        "imbalance": max(pairs) * len(pairs) / sum(pairs),
        "expected_imbalance": expected.imbalance,
        "busiest_pairs": max(pairs),
        "expected_busiest_pairs": expected.pairs,
        "most_distinct": max(rank["distinct"] for rank in by_rank),
        "expected_most_distinct": expected.distinct,
    }


def _phases(split: ExpertParallel, hidden: Any, chosen: Any, weights: Any) -> dict[str, float]:
    """Median seconds of dispatch, local experts and combine on this rank, each begun together on all ranks."""
    taken: dict[str, list[float]] = {"dispatch_seconds": [], "experts_seconds": [], "combine_seconds": []}
    for _ in range(SAMPLES):
        taken["dispatch_seconds"].append(seconds_of(lambda: split.dispatch(hidden, chosen), hidden.device))
        taken["experts_seconds"].append(seconds_of(split.compute, hidden.device))
        taken["combine_seconds"].append(seconds_of(lambda: split.combine(weights), hidden.device))
    return {name: quantile(seconds, 0.5) for name, seconds in taken.items()}


def _error(output: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference on any rank, as a share of the largest element."""
    worst = (output - wanted).abs().max() / wanted.abs().max().clamp_min(1e-30)
    worst = worst.double()
    dist.all_reduce(worst, dist.ReduceOp.MAX)
    return float(worst)


def _write(document: dict[str, Any], output: str | None) -> None:
    text = json.dumps(document, indent=1) + "\n"
    if output:
        Path(output).write_text(text, encoding="utf-8")
    else:
        print(text, end="")


if __name__ == "__main__":
    sys.exit(main())
