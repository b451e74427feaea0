"""The KV cache in an engine's blocks: groups of layers that share a page, blocks per sequence, tokens, concurrency."""

from collections.abc import Iterator
from math import ceil

from sparsecalc.core.frozen import Frozen
from sparsecalc.core.ops import Ledger, Op
from sparsecalc.core.precision import Precision
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.engine_memory.rules import EngineRules
from sparsecalc.estimate.placement import Placement
from sparsecalc.model.ledgers import Ledgers

FAR = 2**24
"""A context beyond every window."""


class CachedLayers(Frozen):
    """Layers whose caches are alike, on one device: bytes per token, the window that bounds them, or a state."""

    layers: int
    token_bytes: float = 0.0
    window: int | None = None
    state_bytes: float = 0.0


class BlockTables(Frozen):
    """`count` groups of layers with a block table each: a block of each holds `block_tokens` tokens, or a state."""

    count: int
    block_tokens: int = 0
    window: int | None = None
    fixed_blocks: int = 0

    def blocks(self, context_len: int, chunk: int) -> int:
        """Blocks of a sequence: its tokens', at most those of the window and one chunk; those of a state."""
        if self.fixed_blocks:
            return self.count * self.fixed_blocks
        if self.window is None:
            return self.count * ceil(context_len / self.block_tokens)
        return self.count * (ceil(min(self.window - 1 + chunk, context_len) / self.block_tokens) + 1)


class CacheBlocks(Frozen):
    """A cache of `num_blocks` blocks of `block_bytes` bytes, from which all groups of layers draw.

    block_size * block tables: tokens of a full-attention block; concurrency = num_blocks / blocks of one sequence.
    """

    num_blocks: int
    block_bytes: float
    block_size: int
    groups: tuple[BlockTables, ...]
    chunk: int
    most_sequences: int | None = None
    """Sequences whose recurrent states there is room for, where they have a pool of their own."""

    def per_sequence(self, context_len: int) -> int:
        """Blocks that one sequence takes."""
        return sum(group.blocks(context_len, self.chunk) for group in self.groups)

    def concurrency(self, context_len: int) -> float:
        """Sequences of a context that there are blocks for ("Maximum concurrency")."""
        needed = self.per_sequence(context_len)
        found = self.num_blocks / needed if needed else 0.0
        return found if self.most_sequences is None else min(found, self.most_sequences)

    def tokens(self, context_len: int) -> int:
        """Tokens of as many sequences as fit ("GPU KV cache size"): int(concurrency * context)."""
        needed = self.per_sequence(context_len)
        return int(self.num_blocks / needed * context_len) if needed else 0

    def lacking(self, sequences: int, context_len: int) -> int:
        """Blocks that so many sequences need beyond those that there are; negative: blocks left."""
        if self.most_sequences is not None and sequences > self.most_sequences:
            return sequences - self.most_sequences
        return sequences * self.per_sequence(context_len) - self.num_blocks


def layer_kinds(model: Ledgers, precision: Precision, plan: Placement) -> list[CachedLayers]:
    """The kinds of layers with a cache, each with its bytes on one device; windows follow from the ledger.

    What grows with the context has no window; what stops growing has as many tokens as it holds.
    """
    near, far = (model.ops(Workload.decode(FAR * factor)) for factor in (1, 2))
    found: dict[tuple[float, int | None, float], int] = {}
    scan = 4.0 if model.spec.fp32_states else None
    for sizes, layers in _row_sizes(near, far, precision, plan, scan):
        found[sizes] = found.get(sizes, 0) + ceil(layers / plan.pp)
    return [
        CachedLayers(layers=layers, token_bytes=token, window=window, state_bytes=state)
        for (token, window, state), layers in found.items()
    ]


def _row_sizes(
    near: Ledger, far: Ledger, precision: Precision, plan: Placement, scan: float | None
) -> Iterator[tuple[tuple[float, int | None, float], int]]:
    """(bytes per token, window, bytes of state) of each op with a cache, and its layers; one state per layer.

    `scan`: bytes per element of states that are scanned, where the config tells; convolutions' follow the model.
    """
    states: list[tuple[float, int]] = []
    seen: set[tuple[str, str]] = set()  # a name that comes again in a group begins another group of the same label
    for op, later in zip(near, far, strict=True):
        if op.state_elements:
            element = scan if scan and op.kind == "scan" else precision.state_element_bytes(op)
            held = op.state_elements * element / plan.ways(op)
            if states and seen and all(group == op.group and name != op.name for group, name in seen):
                states[-1] = states[-1][0] + held, op.layers
            else:
                states.append((held, op.layers))
                seen.clear()
            seen.add((op.group, op.name))
        if sizes := _token_bytes(op, later, precision, plan.ways(op)):
            yield (*sizes, 0.0), op.layers
    yield from (((0.0, None, held), layers) for held, layers in states)


def _token_bytes(op: Op, later: Op, precision: Precision, ways: float) -> tuple[float, int | None] | None:
    held, grown = (each.kv_elements + each.index_elements for each in (op, later))
    per_token = op.kv_elements_per_token + op.index_elements_per_token
    if not held or not per_token:
        return None
    element = precision.kv_cache.bits_per_weight / 8 / ways
    if grown > held:
        return (grown - held) / FAR * element, None
    return per_token * element, round(held / per_token)


def cache_blocks(kinds: list[CachedLayers], rules: EngineRules, room: int) -> CacheBlocks:
    """The blocks that `room` bytes of one device hold."""
    room = max(0, room)
    if rules.rule == "profiled" and len({(kind.window, bool(kind.state_bytes)) for kind in kinds}) > 1:
        return _grouped(kinds, rules, room)
    return _pooled(kinds, rules, room)


def _pooled(kinds: list[CachedLayers], rules: EngineRules, room: int) -> CacheBlocks:
    """One block table for all layers: a block holds `block_size` tokens of each.

    Windows that stand beside full attention hold `window_token_share` of its tokens; recurrent states have a pool of
    their own, state_memory_ratio / (1 + state_memory_ratio) of the room, or take as many blocks as they are large.
    """
    full = sum(kind.token_bytes * kind.layers for kind in kinds if kind.window is None)
    window = sum(kind.token_bytes * kind.layers for kind in kinds if kind.window is not None)
    state = sum(kind.state_bytes * kind.layers for kind in kinds)
    token = full + window * (rules.window_token_share if full else 1)
    if not token:
        groups = (BlockTables(count=1, fixed_blocks=1),) if state else ()
        return CacheBlocks(
            num_blocks=int(room // state) if state else 0,
            block_bytes=state,
            block_size=1,
            groups=groups,
            chunk=rules.max_num_batched_tokens,
        )
    ratio = rules.state_memory_ratio if state else 0.0
    pool, page = room * ratio / (1 + ratio), token * rules.block_size
    tables = [BlockTables(count=1, block_tokens=rules.block_size, window=_only_window(kinds, rules))]
    if state and not ratio:
        tables.append(BlockTables(count=1, fixed_blocks=ceil(state / page)))
    return CacheBlocks(
        num_blocks=int((room - pool) // page),
        block_bytes=page,
        block_size=rules.block_size,
        groups=tuple(tables),
        chunk=rules.max_num_batched_tokens,
        most_sequences=int(pool // state) if ratio else None,
    )


def _only_window(kinds: list[CachedLayers], rules: EngineRules) -> int | None:
    """The window of all layers, where the engine frees what lies before it."""
    windows = {kind.window for kind in kinds if kind.token_bytes}
    return windows.pop() if rules.rule == "profiled" and len(windows) == 1 else None


def _grouped(kinds: list[CachedLayers], rules: EngineRules, room: int) -> CacheBlocks:
    """vLLM's groups: every group has as many layers, every block of a layer the same bytes.

        page   = block_size * bytes per token, the same for all: smaller tokens get larger blocks;
                 the block grows in steps of 16 until a recurrent state fits into a page
        groups = ceil(layers of the kind / layers of the smallest kind); of the largest where that is < 1.5 times it

    Source: vLLM 0.33.0 v1/core/kv_cache_planning.py, platforms/interface.py (alignment of hybrid pages).
    """
    widest = max(kind.token_bytes for kind in kinds)
    block, state = rules.block_size, max(kind.state_bytes for kind in kinds)
    if widest and state > block * widest:
        block *= ceil(state / (block * widest))
    page = block * widest if widest else state
    counts = [kind.layers for kind in kinds]
    size = max(counts) if max(counts) < 1.5 * min(counts) else min(counts)
    groups = tuple(
        BlockTables(
            count=ceil(kind.layers / size),
            block_tokens=int(page // kind.token_bytes) if kind.token_bytes else 0,
            window=kind.window,
            fixed_blocks=rules.state_blocks if kind.state_bytes else 0,
        )
        for kind in kinds
    )
    return CacheBlocks(
        num_blocks=int(room // (size * page)),
        block_bytes=size * page,
        block_size=block,
        groups=groups,
        chunk=rules.max_num_batched_tokens,
    )
