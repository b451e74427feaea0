"""How an engine puts its steps together, and what its cache holds: the rules that a replay follows."""

from functools import cache
from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.data_files import read_data
from sparsecalc.estimate.engine_memory.cache import CacheBlocks


class Policy(Frozen):
    """An engine's scheduler, from data/schedulers.json."""

    mixes: bool
    """Whether prompts share a step with sequences that decode; else those wait while prompts are computed."""
    splits_prompts: bool
    """Whether a prompt may be computed in chunks; else it waits until the budget of a step holds it whole."""
    reserved_output_share: float
    """Share of the answers still to come for which there must be room when a request is let in."""
    least_reserved_output_share: float | None = None
    """What that share falls to, in a straight line over `decay_steps` steps; None: it stays."""
    decay_steps: int = 1
    gathering_steps: int = 0
    """Steps for which copies that step together put prompts off until each of them has one."""
    source: str = ""

    def reserved(self, steps: int) -> float:
        """The share that is reserved once so many steps have passed."""
        if self.least_reserved_output_share is None:
            return self.reserved_output_share
        passed = min(1.0, steps / self.decay_steps)
        return self.reserved_output_share + passed * (self.least_reserved_output_share - self.reserved_output_share)


@cache
def _table() -> dict[str, Any]:
    found: dict[str, Any] = read_data("schedulers.json")
    return found


def policy_of(engine: str) -> Policy:
    """The scheduler of an engine; of one that has no entry, the usual one."""
    table = _table()
    return Policy(**table["engines"].get(engine, table["engines"][table["others"]]))


class Pool(Frozen):
    """What requests take of one copy's KV cache, as shares of it.

    share of a running request = token_share * its tokens + sequence_share: states, windows, half a block at its end.
    """

    token_share: float = 0.0
    window_share: float = 0.0
    """Per token as long as a window is not full."""
    window: int = 0
    """Tokens of the window and a chunk, beyond which nothing more is held."""
    sequence_share: float = 0.0

    def at_admission(self, tokens: int) -> float:
        """What a request takes beside its tokens in full attention; `tokens` when it ends."""
        return self.sequence_share + self.window_share * min(tokens, self.window)

    def whole(self, tokens: int) -> float:
        """What a request takes once it has all its tokens."""
        return self.at_admission(tokens) + self.token_share * tokens


def pool_of(blocks: CacheBlocks) -> Pool:
    """The pool of an engine's blocks. A window beside full attention is taken whole when a request is let in."""
    total = max(blocks.num_blocks, 1)
    full = [group for group in blocks.groups if group.window is None and not group.fixed_blocks]
    windowed = [group for group in blocks.groups if group.window is not None and not group.fixed_blocks]
    fixed = sum(group.count * group.fixed_blocks for group in blocks.groups)
    ends = sum(group.count for group in full) / 2 + sum(group.count for group in windowed)
    return Pool(
        token_share=sum(group.count / group.block_tokens for group in full) / total,
        window_share=sum(group.count / group.block_tokens for group in windowed) / total,
        window=max((group.window or 0 for group in windowed), default=0) - 1 + blocks.chunk,
        sequence_share=(fixed + ends) / total,
    )


class Limits(Frozen):
    """What bounds a step and the sequences that run at once, on each copy of the attention."""

    max_num_batched_tokens: int
    max_num_seqs: int
    pool: Pool = Pool()
