"""Embeddings of hashed n-grams of the past tokens, added to the residual streams of a layer (Qwen4-Exp's PLE)."""

from collections.abc import Iterator
from typing import Literal

from sparsecalc.core.arrays import least
from sparsecalc.core.ops import Op, linear, vector
from sparsecalc.core.workload import Workload
from sparsecalc.model.part import Part


class NgramEmbedding(Part):
    """Per-layer embedding of n-grams: a token looks up `lookups` rows, which a key and a value map spread over streams.

        table   rows * (D / lookups)                 D embed_size, rows: of all hashed heads together, padded
        maps    D * (S * H) keys, D * H values       S streams, H hidden_size
        norms   3 * S * H
        conv    S * H * conv_kernel, dilated by ngram_size
        state   S * H * (conv_kernel - 1) * ngram_size, and the last ngram_size - 1 token ids

    Source: transformers' qwen4_exp.
    """

    kind: Literal["ngram_embedding"] = "ngram_embedding"
    hidden_size: int
    streams: int
    embed_size: int
    rows: int
    lookups: int
    ngram_size: int
    conv_kernel: int

    def ops(self, work: Workload) -> Iterator[Op]:
        wide, tokens = self.streams * self.hidden_size, work.tokens
        yield Op(
            name="ple.ngram_embedding",
            component="embedding",
            kind="lookup",
            rows=self.rows,
            cols=self.embed_size // self.lookups,
            matrices=1,
            num_experts_per_tok=self.lookups,
            num_experts=self.rows,
            tokens=tokens * self.lookups,
            read_share=least(1.0, tokens * self.lookups / self.rows),
            activation_elements=tokens * self.embed_size,
        )
        yield linear("ple.key_proj", "other", self.embed_size, wide, tokens)
        yield linear("ple.value_proj", "other", self.embed_size, self.hidden_size, tokens)
        yield vector("ple.norms", "norm", 3 * wide, tokens)
        held = wide * (self.conv_kernel - 1) * self.ngram_size + self.ngram_size - 1
        yield Op(
            name="ple.conv1d",
            component="other",
            kind="conv",
            rows=wide,
            cols=self.conv_kernel,
            matrices=1,
            tokens=tokens,
            flops=2 * tokens * wide * self.conv_kernel,
            state_elements=work.batch_size * held,
            activation_elements=2 * tokens * wide,
            scratch_elements=tokens * wide,
        )
