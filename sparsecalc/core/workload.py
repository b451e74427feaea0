"""What one step works on, and how many query-key pairs it sees."""

from typing import Literal

from sparsecalc.core.arrays import Number, least
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.routing import Routing

Phase = Literal["prefill", "decode"]


class Workload(Frozen):
    """One forward step of `batch_size` equal sequences.

    `new_tokens` (T) are computed in this step; `context_len` (S) is what a sequence holds once the step is done, new
    tokens included, so S - T tokens come from the cache. The three sizes may be numpy arrays of floats that
    broadcast: then the columns of the ledger are arrays too.
    """

    phase: Phase = "prefill"
    batch_size: Number = 1
    new_tokens: Number = 1
    context_len: Number = 1
    causal: bool = True
    """False counts the full T * S square of scores, as training papers (PaLM, nanoGPT) do."""
    logits: Literal["all", "last"] = "all"
    """Positions that the LM head is computed for; serving engines need only the last of a prompt."""
    latent_attention: Literal["auto", "absorbed", "expanded"] = "auto"
    """MLA: read the latents directly, or expand them to keys and values; auto: absorbed in decode, as engines do."""
    routing: Routing = Routing()
    """How tokens spread over experts; uniform unless something is known."""
    steps: int = 1
    """How many steps like it follow one another: a long prompt's chunks; costs are those of one."""

    @classmethod
    def prefill(cls, context_len: Number, batch_size: Number = 1, **kw: object) -> "Workload":
        """A prompt of `context_len` tokens from an empty cache."""
        return cls(phase="prefill", batch_size=batch_size, new_tokens=context_len, context_len=context_len, **kw)  # type: ignore[arg-type]

    @classmethod
    def decode(cls, context_len: Number, batch_size: Number = 1, **kw: object) -> "Workload":
        """One more token per sequence; the new token sees `context_len` tokens, itself among them."""
        return cls(phase="decode", batch_size=batch_size, new_tokens=1, context_len=context_len, **kw)  # type: ignore[arg-type]

    @property
    def tokens(self) -> Number:
        """Rows of every activation matrix: B * T."""
        return self.batch_size * self.new_tokens

    @property
    def past(self) -> Number:
        """Tokens per sequence that were computed before this step: S - T."""
        return self.context_len - self.new_tokens

    @property
    def logit_tokens(self) -> Number:
        """Rows of the LM head's product."""
        return self.tokens if self.logits == "all" else self.batch_size

    def pairs(self, window: int | None = None, chunk: int | None = None) -> Number:
        """Visible query-key pairs of the batch.

        B * sum over the new positions p of min(p + 1, W)         (W: window, if any)
        B * sum over the new positions p of (p mod chunk) + 1     (attention within chunks)
        B * T * S                                                 (not causal)
        """
        if not self.causal:
            return self.batch_size * self.new_tokens * self.context_len
        return self.batch_size * (
            _pairs_up_to(self.context_len, window, chunk) - _pairs_up_to(self.past, window, chunk)
        )

    def block_pairs(self, block: int, limit: int) -> Number:
        """Pairs of the new queries with keys in at most `limit` blocks of `block` keys, the query's own among them.

        B * sum over the new positions p of min(p + 1, (limit - 1) * block + (p mod block) + 1)
        B * T * min(S, limit * block)                (not causal)
        """
        if not self.causal:
            return self.batch_size * self.new_tokens * least(self.context_len, limit * block)

        def up_to(n: Number) -> Number:
            near = least(n, limit * block)
            beyond = n - near
            whole, rest = divmod(beyond, block)
            own = whole * (block * (block + 1) // 2) + rest * (rest + 1) // 2
            return near * (near + 1) // 2 + beyond * (limit - 1) * block + own

        return self.batch_size * (up_to(self.context_len) - up_to(self.past))

    def pooled_pairs(self, ratio: int, limit: int | None = None) -> Number:
        """Pairs of the new queries with entries that each stand for `ratio` past tokens, at most `limit` of them.

        B * sum over the new positions p of min(floor((p + 1) / ratio), limit)
        B * T * min(floor(S / ratio), limit)                (not causal)
        """
        if not self.causal:
            entries = self.context_len // ratio
            return self.batch_size * self.new_tokens * (entries if limit is None else least(entries, limit))

        def up_to(n: Number) -> Number:
            most = n // ratio if limit is None else least(n // ratio, limit)
            return ratio * most * (most - 1) // 2 + most * (n - most * ratio + 1)

        return self.batch_size * (up_to(self.context_len) - up_to(self.past))

    def indexed_pairs(self, limit: int | None, pool: int = 1, tail: bool = True) -> Number:
        """Pairs of the new queries with the tokens that an indexer picks: at most `limit`, in whole pools of `pool`.

        With `tail` the tokens after the last whole pool are always among them:
        B * sum over the new positions p of pool * min(floor((p + 1) / pool), limit / pool) + (p + 1) mod pool
        """
        if limit is None or pool == 1:
            return self.pairs(limit)
        rest = self.pairs() - pool * self.pooled_pairs(pool) if tail else 0
        return pool * self.pooled_pairs(pool, limit // pool) + rest


def _pairs_up_to(n: Number, window: int | None, chunk: int | None) -> Number:
    """Causal pairs of the first `n` positions: n(n+1)/2, or with each query seeing at most `window` or its chunk."""
    if chunk is not None:
        whole, rest = divmod(n, chunk)
        return whole * (chunk * (chunk + 1) // 2) + rest * (rest + 1) // 2
    seen = n if window is None else least(n, window)
    return seen * (seen + 1) // 2 + (n - seen) * seen
