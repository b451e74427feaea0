"""Techniques of sparsity: stored bytes against real layouts, FLOPs against real torch layers, specs against configs."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import bare
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import sparse
from torch.sparse._semi_structured_conversions import sparse_semi_structured_from_dense_cutlass
from torch.utils.flop_counter import FlopCounterMode

import sparsecalc
from sparsecalc import InputError, load
from sparsecalc.core.ops import Ledger
from sparsecalc.core.storage import LAYOUTS, BlockStorage, GroupStorage, ScatteredStorage
from sparsecalc.core.workload import Workload
from sparsecalc.data_files import read_data
from sparsecalc.decide.model_name import load_variant
from sparsecalc.device.assemble import device_model
from sparsecalc.device.find import load_accelerator
from sparsecalc.estimate.costs import params
from sparsecalc.estimate.sparse_speedup import speedup
from sparsecalc.estimate.step import step_time
from sparsecalc.library.formats import precision_for
from sparsecalc.model.feed_forward import Moe
from sparsecalc.model.spec import ModelSpec
from sparsecalc.read.config import read_config
from sparsecalc.read.number_formats import number_format
from sparsecalc.techniques.parse import TECHNIQUES, apply_all, parse_technique
from sparsecalc.techniques.structural import KeptExperts, Merge, _apportioned

ROOT = Path(sparsecalc.__file__).parent.parent
EVERY = (
    "llama-2-7b+2:4",
    "llama-2-7b+4:8",
    "llama-2-7b+6:8",
    "llama-2-7b+unstructured=0.7",
    "llama-2-7b+block=16x16@0.9",
    "llama-2-7b+heads=0.5",
    "llama-3-8b+heads=0.25",
    "llama-2-7b+neurons=0.6",
    "llama-2-7b+layers=0.25",
    "llama-2-7b+early-exit=24",
    "llama-2-7b+mod=0.125",
    "gemma-3-12b+window=512",
    "llama-2-7b+kv-budget=1024",
    "llama-2-7b+quest=1024",
    "deepseek-v3+dsa=2048",
    "llama-2-7b+width=0.8",
    "qwen3-30b-a3b+depth=0.75",
    "mixtral-8x7b+top-k=1",
    "mixtral-8x7b+experts=4",
    "mixtral-8x7b+merge=4",
    "mixtral-8x7b+capacity=1.25",
)
COLUMNS = ("flops", "read_params", "kv_elements", "cache_read_elements", "index_elements")
LLAMA = {
    "model_type": "llama",
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
}


def small(*parts: str, **config: Any) -> ModelSpec:
    """A small llama with techniques."""
    spec = read_config({**LLAMA, **config}, model_id="small")
    found = [parse_technique(part) for part in parts]
    return apply_all(spec, [technique for technique in found if technique])[0]


def total(spec: ModelSpec, column: str, work: Workload, *names: str) -> float:
    return spec.ops(work).sum(column, lambda op: not names or op.name in names)


# Stored bytes


def sparse_matrix(rows: int, cols: int, density: float, dtype: str) -> np.ndarray:
    """A matrix with exactly round(rows * cols * density) non-zeros."""
    generator = np.random.default_rng(0)
    flat = np.zeros(rows * cols, dtype=dtype)
    flat[generator.permutation(rows * cols)[: round(rows * cols * density)]] = 1 + generator.integers(0, 9)
    return flat.reshape(rows, cols)


NUMPY = {"fp32": "float32", "bf16": "int16", "int8": "int8", "fp8": "int8"}


@pytest.mark.parametrize("density", [0.5, 0.3, 0.1, 0.004])
@pytest.mark.parametrize("dtype", NUMPY)
def test_scattered_layouts_are_scipys_and_those_of_the_kernels(dtype: str, density: float) -> None:
    rows, cols = 256, 192
    dense = sparse_matrix(rows, cols, density, NUMPY[dtype])
    fmt = number_format(dtype)
    scales = fmt.scale_bytes(rows, cols)
    coo, csr = sparse.coo_array(dense), sparse.csr_array(dense)
    real = {
        "dense": dense.nbytes,
        "coo": coo.data.nbytes + sum(place.astype(np.int32).nbytes for place in coo.coords),
        "csr": csr.data.nbytes + csr.indices.astype(np.int32).nbytes + csr.indptr.astype(np.int32).nbytes,
        "tiled-csl": csr.data.nbytes + csr.nnz * np.dtype(np.uint16).itemsize + 4 * (2 * 3 + 1),
        "tca-bme": csr.data.nbytes + bitmaps(dense).nbytes + 4 * (4 * 3 + 1),
    }
    sizes = ScatteredStorage(density=density).sizes(rows, cols, fmt)
    assert {name: size - scales for name, size in sizes.items()} == real


def bitmaps(dense: np.ndarray) -> np.ndarray:
    """One 64-bit word per tile of 8 x 8."""
    rows, cols = dense.shape
    tiles = (dense != 0).reshape(rows // 8, 8, cols // 8, 8).swapaxes(1, 2).reshape(-1, 64)
    return np.packbits(tiles, axis=1).view(np.uint64)


@pytest.mark.filterwarnings("ignore:Sparse BSR tensor support is in beta")
@pytest.mark.parametrize("block", [(4, 4), (8, 16), (16, 16)])
def test_blocks_are_scipys_and_torchs_bsr(block: tuple[int, int]) -> None:
    rows, cols, (high, wide) = 128, 192, block
    dense = np.kron(sparse_matrix(rows // high, cols // wide, 0.25, "float32"), np.ones(block, dtype=np.float32))
    found = sparse.bsr_array(dense, blocksize=block)
    scipys = found.data.nbytes + found.indices.astype(np.int32).nbytes + found.indptr.astype(np.int32).nbytes
    bsr = torch.from_numpy(dense).to_sparse_bsr(block)
    torchs = bsr.values().nbytes + bsr.col_indices().int().nbytes + bsr.crow_indices().int().nbytes
    storage = BlockStorage(block_rows=high, block_cols=wide, density=0.25)
    assert storage.matrix_bytes(rows, cols, number_format("fp32")) == scipys == torchs
    assert storage.nonzeros(rows, cols) == np.count_nonzero(dense)


@pytest.mark.parametrize(("dtype", "kind"), [("bf16", torch.bfloat16), ("fp16", torch.float16), ("int8", torch.int8)])
def test_two_of_four_is_torchs_semi_structured_layout(dtype: str, kind: torch.dtype) -> None:
    """The very conversion that torch runs before its CUTLASS kernel."""
    dense = torch.zeros(64, 128, dtype=kind)
    dense[:, ::4], dense[:, 3::4] = 1, 2
    values, places = sparse_semi_structured_from_dense_cutlass(dense)
    fmt, storage = number_format(dtype), GroupStorage(kept=2, of=4)
    real = values.nbytes + places.nbytes
    assert storage.matrix_bytes(64, 128, fmt) - fmt.scale_bytes(64, 128) == real
    assert storage.nonzeros(64, 128) == torch.count_nonzero(dense)


@pytest.mark.parametrize(
    ("pattern", "dtype", "ratio"),
    [
        ("2:4", "bf16", 9 / 16),
        ("2:4", "fp32", 17 / 32),
        ("2:4", "fp8", 5 / 8),
        ("2:4", "nvfp4", 5 / 8),
        ("2:4", "int4", 6 / 8),
        ("4:8", "bf16", 19 / 32),
        ("6:8", "bf16", 57 / 64),
        ("1:4", "bf16", 9 / 32),
    ],
)
def test_bytes_of_groups(pattern: str, dtype: str, ratio: float) -> None:
    """(N / M) * (w + ceil(log2 M)) / w: 9/16 of bf16 and 5/8 of fp8, not 1/2; FP4 shares a place between two."""
    kept, of = map(int, pattern.split(":"))
    fmt = number_format(dtype)
    scales = fmt.scale_bytes(1024, 1024)
    stored = GroupStorage(kept=kept, of=of).matrix_bytes(1024, 1024, fmt) - scales
    assert stored / (fmt.matrix_bytes(1024, 1024) - scales) == ratio


@pytest.mark.parametrize(
    ("bits", "coo", "csr", "csl", "bitmap"),
    [
        (32, 0.333, 0.5, 0.667, 0.969),
        (16, 0.2, 0.333, 0.5, 0.9375),
        (8, 0.111, 0.2, 0.333, 0.875),
        (4, 0.059, 0.111, 0.2, 0.75),
    ],
)
def test_break_even_densities(bits: float, coo: float, csr: float, csl: float, bitmap: float) -> None:
    """Solved by hand: w = d (w + index bits) + bitmap bits."""
    found = [layout.break_even_density(bits) for layout in LAYOUTS]
    assert found == pytest.approx([coo, csr, csl, bitmap], abs=5e-4)


def test_published_ratios_of_bytes() -> None:
    """At 50 %: bitmap 9/16, 16-bit index 1.0; at 60 %: SpInfer's bitmap stores 2.16 times less (its equation)."""
    fmt = number_format("fp16")
    half = ScatteredStorage(density=0.5).sizes(8192, 8192, fmt)
    assert half["tca-bme"] / half["dense"] == pytest.approx(9 / 16, rel=1e-3)
    assert half["tiled-csl"] / half["dense"] == pytest.approx(1.0, rel=1e-3)
    sixty = ScatteredStorage(density=0.4).sizes(8192, 8192, fmt)
    assert sixty["dense"] / sixty["tca-bme"] == pytest.approx(2.16, abs=0.005)


@pytest.mark.parametrize(
    ("density", "layout"), [(0.97, "dense"), (0.5, "tca-bme"), (0.07, "tca-bme"), (0.05, "tiled-csl")]
)
def test_the_smallest_layout_is_chosen(density: float, layout: str) -> None:
    storage, fmt = ScatteredStorage(density=density), number_format("bf16")
    assert storage.layout(4096, 4096, fmt) == layout
    assert storage.matrix_bytes(4096, 4096, fmt) == min(storage.sizes(4096, 4096, fmt).values())


def test_a_small_matrix_of_few_values_is_csr() -> None:
    """With hardly any non-zero the tiles' offsets outweigh the rows'."""
    fmt = number_format("bf16")
    assert ScatteredStorage(density=0.001).layout(1, 4096, fmt) == "csr"


# FLOPs of layers that are really built


def count_flops(step: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def head_sparse_attention(inputs: torch.Tensor, past: int, kv_heads: int, active: int) -> None:
    """Attention whose router picks, for each token, as many heads of every group; keys and values of all heads."""
    hidden, heads = 32, 8
    dim, group = hidden // heads, heads // kv_heads
    query, output = torch.randn(heads, dim, hidden), torch.randn(heads, dim, hidden)
    key, value = torch.randn(kv_heads * dim, hidden), torch.randn(kv_heads * dim, hidden)
    router = torch.randn(heads, hidden)
    keys, values = torch.randn(past, kv_heads, dim), torch.randn(past, kv_heads, dim)
    for token in inputs:
        wanted = router @ token[:, None]
        chosen = (
            wanted.view(kv_heads, group).topk(active // kv_heads, dim=1).indices
            + group * torch.arange(kv_heads)[:, None]
        )
        picked = chosen.flatten() if group > 1 else wanted.flatten().topk(active).indices
        keys = torch.cat([keys, (key @ token[:, None]).view(1, kv_heads, dim)])
        values = torch.cat([values, (value @ token[:, None]).view(1, kv_heads, dim)])
        queries = (query[picked].reshape(-1, hidden) @ token[:, None]).view(active, 1, dim)
        own = picked // group
        scores = torch.bmm(queries, keys[:, own].permute(1, 2, 0)).softmax(-1)
        mixed = torch.bmm(scores, values[:, own].permute(1, 0, 2))
        assert (output[picked].reshape(-1, hidden).T @ mixed.reshape(-1, 1)).shape == (hidden, 1)


@pytest.mark.parametrize(
    ("kv_heads", "share", "active"), [(8, "0.5", 4), (8, "0.75", 2), (2, "0.5", 4), (2, "0.25", 6)]
)
@pytest.mark.parametrize(("past", "new"), [(0, 7), (12, 1)])
def test_a_head_sparse_layer_computes_what_is_predicted(
    kv_heads: int, share: str, active: int, past: int, new: int
) -> None:
    spec = small(f"heads={share}", num_hidden_layers=1, num_key_value_heads=kv_heads)
    work = Workload.decode(past + new) if past else Workload.prefill(new)
    predicted = spec.ops(work).sum("flops", lambda op: op.component in ("attention", "router"))
    assert predicted == count_flops(lambda: head_sparse_attention(torch.randn(new, 32), past, kv_heads, active))


@pytest.mark.parametrize("tokens", [1, 2, 3])
def test_a_neuron_sparse_layer_computes_what_is_predicted(tokens: int) -> None:
    """Half of the neurons per token, independent by construction: neuron n is token t's where bit t of n is set."""
    spec = small("neurons=0.5", num_hidden_layers=1)
    gate, up, down = torch.randn(40, 32), torch.randn(40, 32), torch.randn(32, 40)
    inputs, neurons = torch.randn(tokens, 32), torch.arange(40)
    needed = torch.stack([(neurons >> token) & 1 for token in range(tokens)]).bool()
    union = needed.any(0)

    def step() -> torch.Tensor:
        inner = torch.nn.functional.silu(inputs @ gate[union].T) * (inputs @ up[union].T)
        return (inner * needed[:, union]) @ down[:, union].T

    dense = torch.nn.functional.silu(inputs @ gate.T) * (inputs @ up.T) * needed @ down.T
    torch.testing.assert_close(step(), dense, rtol=1e-4, atol=1e-4)
    work = Workload.decode(9, batch_size=tokens)
    assert total(spec, "flops", work, "gate_up_proj", "down_proj") == count_flops(step)
    assert total(spec, "read_params", work, "gate_up_proj", "down_proj") == 3 * 32 * int(union.sum())


def test_a_two_of_four_layer_computes_half() -> None:
    """The compressed operand of the sparse tensor core is half as wide."""
    spec = small("2:4", num_hidden_layers=1)
    dense = torch.zeros(64, 128, dtype=torch.float16)
    dense[:, ::4], dense[:, 1::4] = 1, 1
    values, _ = sparse_semi_structured_from_dense_cutlass(dense)
    work = Workload.decode(5, batch_size=3)
    plain = small(num_hidden_layers=1)
    for name in ("q_proj", "down_proj"):
        assert total(spec, "flops", work, name) / total(plain, "flops", work, name) == values.numel() / dense.numel()


# Structural techniques are other configs


@pytest.mark.parametrize(
    ("base", "part", "config"),
    [
        ("mixtral-8x7b", "top-k=1", {"num_experts_per_tok": 1}),
        ("mixtral-8x7b", "experts=4", {"num_local_experts": 4}),
        ("mixtral-8x7b", "width=0.5", {"intermediate_size": 7168}),
        ("mixtral-8x7b", "depth=0.75", {"num_hidden_layers": 24}),
        ("mixtral-8x7b", "window=4096", {"sliding_window": 4096}),
        ("llama-2-7b", "depth=0.25", {"num_hidden_layers": 8}),
        ("deepseek-v3", "experts=128", {"n_routed_experts": 128}),
        ("gpt-oss-20b", "experts=8", {"num_local_experts": 8}),
        ("gemma-4-26b-a4b", "experts=64", {"num_experts": 64}),
    ],
)
def test_a_structural_technique_is_another_config(base: str, part: str, config: dict[str, Any]) -> None:
    technique = parse_technique(part)
    assert technique
    changed, _ = apply_all(load(base).spec, [technique])
    whole = bare(base)
    text = whole.get("text_config", whole)
    other = read_config({**text, **config}, model_id=base)
    for work in (Workload.prefill(6000), Workload.decode(6000, batch_size=5)):
        for column in (*COLUMNS, "params"):
            assert changed.ops(work).sum(column) == other.ops(work).sum(column), column
    assert params(changed).active == params(other).active


def test_dsa_makes_deepseek_v3_into_v3_2() -> None:
    """DeepSeek-V3.2 is V3 with an indexer and index_topk 2048 (its technical report): every figure agrees."""
    made, real = load("deepseek-v3+dsa=2048"), load("deepseek-v3.2")
    assert made.params() == real.params()
    assert made.flops(30_000) == real.flops(30_000)
    assert made.memory(context_len=30_000, dtype="bf16") == real.memory(context_len=30_000, dtype="bf16")
    assert load("deepseek-v3.2+dsa=2048").spec == real.spec


def test_merged_experts_keep_the_router() -> None:
    """Mixtral merged to one expert: 32 layers x (176,160,768 + router 8 x 4,096) in place of 8 experts."""
    base, merged = load("mixtral-8x7b").params(), load("mixtral-8x7b+merge=1").params()
    assert base.total - merged.total == 32 * 7 * 3 * 4096 * 14336
    assert merged.by_component["router"] == base.by_component["router"]
    assert load("mixtral-8x7b+merge=8").spec == load("mixtral-8x7b").spec


def test_capacity_computes_padded_buffers() -> None:
    """GShard: C = ceil(1.25 * 100 * 2 / 8) = 32 places per expert, 256 rows for 200 token-expert pairs."""
    plain, padded = load("mixtral-8x7b").spec, load("mixtral-8x7b+capacity=1.25").spec
    work = Workload.prefill(100)
    names = ("experts.gate_up_proj", "experts.down_proj")
    assert total(padded, "flops", work, *names) * 200 == total(plain, "flops", work, *names) * 256
    assert total(padded, "read_params", Workload.decode(9), *names) == total(plain, "params", work, *names)


# Dynamic techniques by hand


@pytest.mark.parametrize(("kv_heads", "read"), [(8, 1 / 2), (2, 1)])
def test_skipped_heads_read_their_cache_only_where_it_is_shared(kv_heads: int, read: float) -> None:
    """Half of the heads: half of the cache is read with a cache per head, all of it where a group shares one."""
    spec, plain = (small(*parts, num_key_value_heads=kv_heads) for parts in (("heads=0.5",), ()))
    step = Workload.decode(64, batch_size=3)
    assert total(spec, "cache_read_elements", step) == total(plain, "cache_read_elements", step) * read
    assert total(spec, "kv_elements", step) == total(plain, "kv_elements", step)


def test_depth_keeps_the_mix_of_kinds() -> None:
    """Gemma 3 has five windowed layers to a full one: half of its 48 layers are 20 and 4."""
    spec = load("gemma-3-12b+depth=0.5").spec
    assert [group.count for group in spec.layer_groups] in ([20, 4], [4, 20])
    assert sorted(place for group in spec.layer_groups for place in group.positions) == list(range(24))


def test_the_larger_remainder_gets_the_layer() -> None:
    """3 and 58 layers at 75 %: 2.25 and 43.5 of a total of 46."""
    assert _apportioned([3, 58], 0.75) == [2, 44]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=5), st.floats(0.001, 1))
def test_kept_layers_add_up(counts: list[int], kept: float) -> None:
    found = _apportioned(counts, kept)
    assert sum(found) == max(1, round(sum(counts) * kept))
    assert all(0 <= left <= count for left, count in zip(found, counts, strict=True))


def test_mixture_of_depths_by_hand() -> None:
    """Odd layers run 8 * 0.5 = 4 tokens of the prompt: half the projections, 10 of 36 pairs."""
    spec, plain = small("mod=0.5"), small()
    work = Workload.prefill(8)
    linear = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_up_proj", "down_proj")
    assert total(spec, "flops", work, *linear) == total(plain, "flops", work, *linear) * 3 / 4
    scores = total(plain, "flops", work, "scores_and_values")
    assert total(spec, "flops", work, "scores_and_values") == scores / 2 * (1 + 10 / 36)
    assert total(spec, "params", work) == total(plain, "params", work) + 2 * 32
    step = Workload.decode(8, batch_size=2)
    assert total(spec, "kv_elements", step) == total(plain, "kv_elements", step) * 3 / 4
    assert total(spec, "read_params", step, "q_proj") == 32 * 32 * (2 + 2 * (1 - 0.5**2))


def test_early_exit_by_hand() -> None:
    """After layer 3 of 4 only keys and values are projected in decode; the prompt runs all."""
    spec, plain = small("early-exit=3"), small()
    step = Workload.decode(8)
    assert (
        total(spec, "flops", step, "q_proj", "down_proj") == total(plain, "flops", step, "q_proj", "down_proj") * 3 / 4
    )
    assert total(spec, "flops", step, "k_proj") == total(plain, "flops", step, "k_proj")
    assert spec.ops(Workload.prefill(8)).total("flops") == plain.ops(Workload.prefill(8)).total("flops")
    assert total(spec, "kv_elements", step) == total(plain, "kv_elements", step)


def test_layers_after_an_exit_take_no_time_but_for_keys_and_values() -> None:
    """Of 32 layers 16 run in full: the step takes more than half of the seconds of all 32, and less than all."""
    variant = load_variant("llama-2-7b+early-exit=16")
    precision, device, work = variant.precision, device_model(load_accelerator("h100-sxm"), None), Workload.decode(1024)
    early = step_time(variant.loaded.spec, work, precision, device).seconds
    whole = step_time(load("llama-2-7b").spec, work, precision, device).seconds
    assert whole / 2 < early < whole


def test_kept_experts_keep_their_elements_of_the_router() -> None:
    """8 experts with a bias each, and 32 scales of the input: 4 experts leave 4 + 32."""
    moe = Moe(hidden_size=32, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=16)
    for bias, whole, kept in ((True, 8 + 32, 4 + 32), (False, 32, 32)):
        router = moe.but(router_bias=bias, router_scales=32)
        fewer = KeptExperts(experts=4)._changed(router)
        assert [vectors(part, "router.bias") for part in (router, fewer)] == [whole, kept]
    merged = Merge(experts=4)._changed(moe.but(router_bias=True, zero_experts=2))
    assert vectors(merged, "router.bias") == 8 + 2, "the router of all experts stays"


def vectors(part: Moe, name: str) -> int:
    return next(op.vectors for op in part.ops(Workload()) if op.name == name)


def test_layers_read_by_a_batch() -> None:
    """A quarter skipped: FLOPs x 3/4; four tokens read a layer with 1 - 0.25 ** 4."""
    spec, plain = small("layers=0.25"), small()
    step = Workload.decode(8, batch_size=4)
    assert total(spec, "flops", step, "o_proj") == total(plain, "flops", step, "o_proj") * 3 / 4
    assert total(spec, "read_params", step, "o_proj") == pytest.approx(4 * 32 * 32 * (1 - 0.25**4))


def test_experts_read_by_a_thinned_batch() -> None:
    """Each of four tokens runs the layer with 3/4 and then takes 2 of 8: 1 - (1 - 3/4 * 2/8) ** 4 of the experts."""
    spec = load("mixtral-8x7b+layers=0.25").spec
    routed = next(op for op in spec.ops(Workload.decode(8, batch_size=4)) if op.kind == "experts")
    assert routed.read_share == pytest.approx(1 - (1 - 0.75 * 0.25) ** 4)


def test_bounded_caches_by_hand() -> None:
    """Llama-2-7B at 4,096: 32 layers x 2 x 4,096 elements per token; a quarter of the context is kept or read."""
    step = Workload.decode(4096)
    whole = total(load("llama-2-7b").spec, "kv_elements", step)
    evicted, paged = load("llama-2-7b+kv-budget=1024").spec, load("llama-2-7b+quest=1024").spec
    assert total(evicted, "kv_elements", step) == total(evicted, "cache_read_elements", step) == whole / 4
    assert total(paged, "kv_elements", step) == whole
    pages = 30 * 256 * 2 * 4096
    assert total(paged, "index_elements", step) == pages
    assert total(paged, "cache_read_elements", step) == whole * 2 / 32 + whole * 30 / 32 / 4 + pages
    prompt = Workload.prefill(4096)
    for spec in (evicted, paged):
        assert total(spec, "flops", prompt) == total(load("llama-2-7b").spec, "flops", prompt)


@pytest.mark.parametrize("part", ["window", "kv-budget", "quest"])
def test_a_budget_beyond_the_context_changes_nothing(part: str) -> None:
    changed, plain = load(f"llama-2-7b+{part}=4096").spec, load("llama-2-7b").spec
    for work in (Workload.prefill(4096), Workload.decode(4096, batch_size=3)):
        for column in COLUMNS:
            assert changed.ops(work).sum(column) == plain.ops(work).sum(column)


# Identity, composition, refusal


@pytest.mark.parametrize(
    "name",
    [
        *(
            "llama-2-7b+" + part
            for part in ("unstructured=0", "4:4", "block=16x16@0", "heads=0", "neurons=0", "layers=0")
        ),
        *(
            "llama-2-7b+" + part
            for part in ("early-exit=32", "mod=1", "width=1", "depth=1", "unstructured=0.0+heads=0")
        ),
        *("mixtral-8x7b+" + part for part in ("top-k=2", "experts=8", "merge=8")),
        "mistral-7b-v0.1+window=4096",
        "deepseek-v3.2+dsa=2048",
    ],
)
def test_nothing_left_out_changes_nothing(name: str) -> None:
    base = load(name.split("+")[0])
    found = load(name)
    assert found.spec == base.spec
    assert found.notes == base.notes


def test_formats_and_techniques_mix() -> None:
    first, second = load("mixtral-8x7b+2:4+experts=int4"), load("mixtral-8x7b+experts=int4+2:4")
    assert first.dtype == second.dtype == "experts=int4"
    assert first.spec == second.spec
    held = first.memory().weights_by_component
    fmt = number_format("int4")
    matrix = 14336 * 4096 * 3 // 8 + fmt.scale_bytes(14336, 4096)
    assert held["routed_experts"] == 32 * 8 * (2 * matrix + 14336 * 4096 * 3 // 8 + fmt.scale_bytes(4096, 14336))
    assert held["attention"] == load("mixtral-8x7b").memory().weights_by_component["attention"] * 9 // 16
    assert load("llama-2-7b+2:4").memory(dtype="fp8").weights_bytes < load("llama-2-7b+2:4").memory().weights_bytes


def test_order_matters_where_it_should() -> None:
    assert load("llama-2-7b+early-exit=24+depth=0.5").spec.num_hidden_layers == 16
    with pytest.raises(InputError, match="16 layers"):
        load("llama-2-7b+depth=0.5+early-exit=24")
    both = load("llama-2-7b+heads=0.5+2:4").spec
    step = Workload.decode(4096)
    assert total(both, "flops", step, "q_proj") == total(load("llama-2-7b").spec, "flops", step, "q_proj") / 4


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("llama-2-7b+unstructured=1.2", "sparsity is '1.2'"),
        ("llama-2-7b+unstructured=1", "below 1"),
        ("llama-2-7b+unstructured=-0.1", "at least 0"),
        ("llama-2-7b+unstructured=nan", "sparsity is 'nan'"),
        ("llama-2-7b+unstructured=x", "not a number"),
        ("llama-2-7b+unstructured", "missing"),
        ("llama-2-7b+5:4", "5 of 4"),
        ("llama-2-7b+0:4", "0 of 4"),
        ("llama-2-7b+2:999999", "groups of 999999"),
        ("llama-2-7b+block=16x16", "+block=16x16@0.9"),
        ("llama-2-7b+block=0x16@0.5", "positive integer"),
        ("llama-2-7b+heads=0.33", "are not whole"),
        ("llama-3-8b+heads=0.4", "do not divide into 8 groups"),
        ("llama-3-8b+heads=0.9", "do not divide into 8 groups"),
        ("falcon-mamba-7b+window=128", "has no attention"),
        ("falcon-mamba-7b+heads=0.5", "has no heads"),
        ("mixtral-8x7b+neurons=0.5", "no dense MLP"),
        ("llama-2-7b+2:4+2:4", "same technique"),
        ("llama-2-7b+window=1+window=2", "same technique"),
        ("llama-2-7b+2:4+unstructured=0.5", "both set the sparse weights"),
        ("llama-2-7b+mod=0.5+layers=0.5", "both set"),
        ("llama-2-7b+early-exit=33", "32 layers"),
        ("llama-2-7b+early-exit=1.5", "positive integer"),
        ("llama-2-7b+window=" + "9" * 5000, "positive integer"),
        ("llama-2-7b+mod=0", "in (0, 1]"),
        ("llama-2-7b+top-k=1", "no mixture of experts"),
        ("llama-2-7b+capacity=1.25", "no mixture of experts"),
        ("llama-2-7b+dsa=2048", "no latent attention"),
        ("mixtral-8x7b+top-k=9", "there are 8 experts"),
        ("mixtral-8x7b+experts=1", "+top-k=1+experts=1"),
        ("mixtral-8x7b+capacity=0", "in (0, 1000]"),
        ("llama-2-7b+nonsense", "unknown dtype 'nonsense', and no technique"),
        ("llama-2-7b+unstructred=0.5", "Did you mean 'unstructured'?"),
        ("llama-2-7b+head=0.5", "unknown dtype '0.5'"),
        ("llama-2-7b+early_exit=4", "Did you mean 'early-exit'?"),
    ],
)
def test_nonsense_is_refused_in_one_line(quick_run: Callable[..., Any], name: str, words: str) -> None:
    found = quick_run("show", name)
    assert found.rc == 2
    assert found.stdout == ""
    (line,) = found.stderr.splitlines()
    assert line.startswith("error: ")
    assert words in line


@settings(max_examples=40)
@given(
    st.sampled_from(["unstructured", "neurons", "layers", "block=16x16@", "block=4x8@"]),
    st.lists(st.floats(0, 0.99), min_size=2, max_size=2).map(sorted),
    st.integers(1, 8),
)
def test_more_sparsity_never_costs_more(kind: str, shares: list[float], batch: int) -> None:
    assume(shares[0] > 0 or "@" not in kind)  # blocks have an index, which dense weights do without
    less, more = (small(f"{kind}{'' if '@' in kind else '='}{share}") for share in shares)
    precision = precision_for(less, "bf16")
    step = Workload.decode(64, batch_size=batch)
    for column in ("flops", "read_params", "nonzero_params", precision.weight_bytes, precision.read_weight_bytes):
        assert more.ops(step).sum(column) <= less.ops(step).sum(column) * (1 + 1e-12)


@pytest.mark.parametrize("kind", ["heads", "window", "kv-budget", "quest", "mod", "width", "depth", "N:M"])
def test_more_of_it_never_costs_more(kind: str) -> None:
    values = {
        "heads": ["0.125", "0.5", "0.875"],
        "mod": ["0.5", "0.25", "0.1"],
        "width": ["0.9", "0.5", "0.1"],
        "depth": ["0.9", "0.5", "0.25"],
        "N:M": ["7:8", "6:8", "4:8", "2:8", "1:8"],
    }.get(kind, ["64", "32", "16"])
    specs = [small(value if kind == "N:M" else f"{kind}={value}") for value in values]
    for work in (Workload.decode(128), Workload.prefill(128)):
        for column in ("flops", "kv_elements", "nonzero_params", "cache_read_elements"):
            costs = [spec.ops(work).sum(column) for spec in specs]
            assert costs == sorted(costs, reverse=True), column


@pytest.mark.parametrize("name", EVERY)
def test_sweeps_are_the_single_steps(name: str) -> None:
    """Arrays of batch sizes and contexts give what the numbers give one by one."""
    spec = load(name).spec
    batches, contexts = np.array([1.0, 3, 64]), np.array([100.0, 2000, 9000])
    for phase in ("prefill", "decode"):

        def work(batch: Any, context: Any, phase: Any = phase) -> Workload:
            new = context if phase == "prefill" else 1
            return Workload(phase=phase, batch_size=batch, new_tokens=new, context_len=context)

        swept = spec.ops(work(batches, contexts))
        for place in range(3):
            single: Ledger = spec.ops(work(int(batches[place]), int(contexts[place])))
            for column in COLUMNS:
                found = np.broadcast_to(swept.sum(column), 3)[place]
                assert found == pytest.approx(single.sum(column), rel=1e-6), column


@pytest.mark.parametrize("name", EVERY)
def test_every_technique_says_what_it_does_not_save(name: str) -> None:
    base, part = name.split("+")
    text = part if ":" in part else part.split("@")[0]
    found = [note for note in load(name).notes if note.code == "technique"]
    assert found[0].text.startswith(text)
    assert "what it does not save: " in found[0].text
    assert not [note for note in load(base).notes if note.code == "technique"]


@pytest.mark.parametrize("name", EVERY)
def test_layers_add_up(name: str) -> None:
    """What `show` prints per kind of layer is in the total."""
    found = load(name).report()
    assert sum(kind.count * kind.params for kind in found.layers) <= found.params.total
    assert found.memory.total_bytes > 0
    json.dumps(found.to_dict())


# The command line and the documents


def test_the_sparse_variants_stand_beside_the_dense_original(run: Callable[..., Any]) -> None:
    names = ["llama-2-7b", "llama-2-7b+2:4", "llama-2-7b+unstructured=0.7", "llama-2-7b+heads=0.5"]
    found = run("compare", *names, "--format", "json")
    assert found.rc == 0
    assert [model["model"]["id"] for model in found.json["models"]] == names
    ratios = {ratio["model"].partition("+")[2]: ratio for ratio in found.json["ratios"]}
    assert ratios["2:4"]["weights_bytes"] == pytest.approx(0.58, abs=0.005)
    assert ratios["2:4"]["decode_flops_per_token"] == pytest.approx(0.58, abs=0.005)
    assert ratios["unstructured=0.7"]["weights_bytes"] == pytest.approx(0.39, abs=0.005)
    assert ratios["unstructured=0.7"]["decode_flops_per_token"] == 1
    assert ratios["heads=0.5"]["weights_bytes"] == pytest.approx(1, abs=0.001)
    assert {warning["code"] for warning in found.json["warnings"]} == {"technique"}
    assert any("vllm#36799" in warning["text"] for warning in found.json["warnings"])


@pytest.mark.parametrize("topic", ["total", "active", "flops", "kv_cache", "weights"])
@pytest.mark.parametrize(
    "name", ["llama-2-7b+unstructured=0.7+int8", "mixtral-8x7b+2:4+heads=0.5", "llama-2-7b+mod=0.5"]
)
def test_explanations_end_in_what_show_prints(quick_run: Callable[..., Any], name: str, topic: str) -> None:
    found = quick_run("explain", name, topic, "--json").json
    assert sum(line["value"] for line in found["lines"]) == pytest.approx(found["result"])
    if topic == "weights" and "unstructured" in name:
        assert "tca-bme 0.875" in " ".join(found["text"])
        assert any("(tca-bme)" in line["formula"] for line in found["lines"])


def test_the_documents_name_every_technique_and_its_sources() -> None:
    text = (ROOT / "docs" / "techniques.md").read_text()
    facts = read_data("techniques.json")["techniques"]
    assert set(facts) == {*TECHNIQUES, "N:M"}
    for name, entry in facts.items():
        assert f"`{name}" in text or name == "N:M"
        assert entry["not_saved"]
        assert entry["sources"]
        for arxiv in re.findall(r"arXiv:\d{4}\.\d{5}", " ".join(entry["sources"])):
            assert arxiv in text, (name, arxiv)
    for layout in LAYOUTS:
        assert f"`{layout.id}`" in text


# Measured kernels


def test_two_of_four_is_what_was_measured() -> None:
    """H100 PCIe bf16 at 64 tokens is no gain (0.97), RTX 4090 at 8,192 nearly twice (1.94): vllmbench@92a8ca4."""
    small_batch, large = speedup("2:4", "h100-pcie", "bf16", 64), speedup("2:4", "rtx-4090", "bf16", 8192)
    assert (small_batch.value, small_batch.measured) == (0.97, True)
    assert 1.8 <= large.value <= 2.1
    for gpu in ("h100-pcie", "h100-sxm", "h200-sxm"):
        assert speedup("2:4", gpu, "bf16", 64).value <= 1.4


def test_what_was_not_measured_is_flagged() -> None:
    assert not speedup("2:4", "h100-sxm", "bf16", 8192).measured
    assert "h100-pcie" in speedup("2:4", "h100-sxm", "bf16", 8192).source
    assert not speedup("2:4", "h100-pcie", "bf16", 8).measured
    assert not speedup("2:4", "h100-pcie", "int8", 8192).measured
    assert not speedup("6:8", "a100-80gb-pcie", "int8", 8192).measured
    assert speedup("2:4", "v100", "bf16", 8192).value == 1
    assert speedup("7:8", "a100", "bf16", 8192).value == 1
    assert speedup("heads=0.5", "a100", "bf16", 8).value == 1
    assert speedup("2:4", "rtx-4090", "bf16", 8192, elements=1024 * 1024).value == 1
    with pytest.raises(InputError, match="unknown accelerator"):
        speedup("2:4", "h1000", "bf16", 1)


def test_six_of_eight_is_near_what_serving_measured() -> None:
    """SlideSparse, Qwen2.5-7B int8 on A100, prefill of 8k: 1.32x for 6:8 and 1.40x for 4:6 (arXiv:2603.05232)."""
    assert speedup("6:8", "a100-80gb-pcie", "int8", 8192).value == pytest.approx(1.32, rel=0.05)
    assert speedup("4:6", "a100-80gb-pcie", "int8", 8192).value == pytest.approx(1.40, rel=0.1)


def test_unstructured_kernels() -> None:
    """Flash-LLM on A100 at 8 tokens: 1.45x, 1.76x, 2.19x; nothing below 55 %; slower than dense in prefill."""
    found = [speedup(f"unstructured={share}", "a100", "fp16", 8) for share in ("0.7", "0.8", "0.9")]
    assert [each.value for each in found] == [1.452, 1.76, 2.194]
    assert all(each.measured for each in found)
    assert speedup("unstructured=0.5", "a100", "fp16", 8).value == 1
    assert speedup("unstructured=0.5", "rtx-4090", "fp16", 8).value == 1.66
    assert speedup("unstructured=0.7", "a100", "fp16", 8192).value == 0.882
    assert speedup("block=64x64@0.9", "a100", "fp32", 8192).value == 1.65
    assert speedup("block=16x16@0.8", "a100", "fp32", 8192).value == 1


@pytest.mark.parametrize("technique", ["2:4", "6:8", "unstructured=0.75", "block=32x32@0.9", "neurons=0.5"])
@pytest.mark.parametrize("gpu", ["h100-sxm", "a100-80gb-pcie", "mi300x", "v100-sxm2-16gb"])
def test_arrays_of_tokens_give_what_numbers_give(technique: str, gpu: str) -> None:
    tokens = np.array([1.0, 8, 50, 64, 700, 16384, 1e6])
    swept = speedup(technique, gpu, "bf16", tokens).value
    assert swept.tolist() == pytest.approx([speedup(technique, gpu, "bf16", float(each)).value for each in tokens])


def test_an_op_knows_its_technique() -> None:
    op = next(op for op in load("llama-2-7b+2:4").ops(Workload.decode(8)) if op.name == "q_proj")
    assert op.technique == "2:4"
    assert speedup(op, "rtx-4090", "bf16", 8192) == speedup("2:4", "rtx-4090", "bf16", 8192)
    variant = load_variant("llama-2-7b+2:4")
    assert variant.precision.layout(op) == "2:4"
