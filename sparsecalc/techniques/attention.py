"""Sparse attention: fewer heads per token, a window, a bounded cache, pages picked by query, an indexer (DSA)."""

from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from typing import Self

from sparsecalc.core.arrays import figure
from sparsecalc.core.errors import InputError
from sparsecalc.core.ops import Op, linear
from sparsecalc.core.workload import Workload
from sparsecalc.data_files import read_data
from sparsecalc.model.attention import Gqa
from sparsecalc.model.latent import Mla
from sparsecalc.model.part import Part
from sparsecalc.model.spec import ModelSpec
from sparsecalc.techniques.base import Technique, change_parts, count, parts_of, refuse, sparsity, thinned

PAGE_TOKENS = 16
"""Tokens of a page of Quest's cache (arXiv:2406.10774, section 4)."""
QUEST_DENSE_LAYERS = 2
"""First layers that Quest leaves dense (arXiv:2406.10774, section 4)."""
_GQA_HINT = "It needs attention with keys and values per head (gqa), such as llama-2-7b's"


class SparseGqa(Gqa):
    """Attention of which a step uses only a part.

        active_heads: q_proj, o_proj and scores times active / N; a router H -> N; keys and values of all heads stay
        kv_budget:    at most that many tokens are kept; the prompt is computed in full and then evicted
        page_budget:  decode reads that many tokens, the best pages by an upper bound of their scores:
                      2 * N * 2 h FLOPs and 2 * K * h elements (largest and smallest key) per page of PAGE_TOKENS

    Sources: MoH, arXiv:2410.11842; StreamingLLM, arXiv:2309.17453; H2O, arXiv:2306.14048; Quest, arXiv:2406.10774.
    """

    active_heads: int | None = None
    kv_budget: int | None = None
    page_budget: int | None = None

    def ops(self, work: Workload) -> Iterator[Op]:
        """The ops of `Gqa`, thinned, and those that choose."""
        active, heads = self.active_heads or self.num_attention_heads, self.num_attention_heads
        if active < heads:
            yield linear("head_router", "router", self.hidden_size, heads, work.tokens, shards=1)
        rows = [self._page_scores(work)] if self.page_budget else []
        own_cache = heads == self.num_key_value_heads and work.phase == "decode"
        for op in (*rows, *super().ops(work)):
            if active < heads and op.role == "query_head":
                yield thinned(op, active / heads, work.tokens, cache_share=active / heads if own_cache else 1.0)
            else:
                yield op

    def scores(self, work: Workload) -> Op:
        """Scores and values over what is kept or picked."""
        op = super().scores(work)
        for budget, kept in ((self.kv_budget, True), (self.page_budget, False)):
            if budget is None:
                continue
            few = self._within(budget).scores(work)
            if kept:
                op = replace(op, kv_elements=few.kv_elements)
            if work.phase == "decode":
                op = replace(op, flops=few.flops, cache_read_elements=few.cache_read_elements, note=few.note)
        return op

    def _within(self, budget: int) -> Gqa:
        """The same attention in a window of `budget` tokens."""
        plain = {field.name: getattr(self, field.name) for field in fields(Gqa)}
        return windowed(Gqa(**plain), budget)

    def _page_scores(self, work: Workload) -> Op:
        """Upper bounds of the scores of all pages; none while the context is within the budget."""
        heads, kv_heads, dim = self.num_attention_heads, self.num_key_value_heads, self.head_dim
        choosing = work.context_len > (self.page_budget or 0)
        pages = work.batch_size * -(-work.context_len // PAGE_TOKENS) * choosing
        queries = work.new_tokens if work.phase == "decode" else 0
        held = pages * 2 * kv_heads * dim
        return Op(
            name="page_scores",
            component="attention",
            kind="attention",
            role="query_head",
            tokens=work.tokens,
            flops=2 * queries * pages * heads * 2 * dim,
            index_elements_per_token=2 * kv_heads * dim // PAGE_TOKENS,
            index_elements=held,
            cache_read_elements=held if queries else 0,
            heads=heads,
            kv_heads=kv_heads,
            shards=kv_heads,
            note=f"{figure(queries * pages)} query-page pairs x {heads} heads x 2 x {dim}",
            source="arXiv:2406.10774",
        )


def windowed(mixer: Gqa, window: int) -> Gqa:
    """`mixer` with a window of at most `window` tokens; the same where it sees no more already."""
    return (
        mixer
        if mixer.window and mixer.window <= window
        else mixer.but(sliding_window=window, attention_chunk_size=None)
    )


def sparse(mixer: Gqa, **fields: int) -> SparseGqa:
    """`mixer` with some of the fields of `SparseGqa`."""
    return SparseGqa(**{**vars(mixer), **fields})


def _keeps_cache(part: Part) -> bool:
    """Whether a part is self-attention of the decoder, with a cache of its own."""
    return isinstance(part, Gqa) and part.causal and part.key_value != "cross"


class Heads(Technique):
    """`heads=0.5`: a router leaves half of the query heads out for each token.

    q_proj, o_proj and the scores times 1 - s; the kept heads must be whole, and as many in every group of GQA.
    Source: MoH, arXiv:2410.11842.
    """

    name = "heads"
    sparsity: float

    @classmethod
    def parse(cls, value: str) -> Self:
        """`0.5`."""
        return cls(sparsity=sparsity(cls.name, value))

    def apply(self, spec: ModelSpec) -> ModelSpec:
        """The spec with active heads; refused where they do not divide."""
        if not parts_of(spec, Gqa):
            raise refuse(self, spec, "heads that can be left out one by one", _GQA_HINT)
        if not self.sparsity:
            return spec
        return change_parts(spec, lambda part: self._thinned(part) if isinstance(part, Gqa) else part)

    def _thinned(self, mixer: Gqa) -> SparseGqa:
        heads, kv_heads = mixer.num_attention_heads, mixer.num_key_value_heads
        step = 1 if heads == kv_heads else kv_heads
        active = heads * (1 - self.sparsity)
        if abs(active / step - round(active / step)) > 1e-6 or round(active) < step:
            what = "are not whole" if step == 1 else f"do not divide into {kv_heads} groups"
            hint = f"Give a multiple of {step / heads:g} below 1"
            raise InputError(f"{self.text}: {active:g} of {heads} heads {what}", hint=hint)
        return sparse(mixer, active_heads=round(active))


class Window(Technique):
    """`window=4096`: each token sees at most 4096 tokens, and no more are cached. Source: Mistral, arXiv:2310.06825.

    A layer whose window or chunk is smaller stays as it is.
    """

    name = "window"
    tokens: int

    @classmethod
    def parse(cls, value: str) -> Self:
        """`4096`."""
        return cls(tokens=count(cls.name, value, "4096"))

    def apply(self, spec: ModelSpec) -> ModelSpec:
        """The spec with windows."""
        if not any(map(_keeps_cache, parts_of(spec, Part))):
            raise refuse(self, spec, "attention that could have a window", _GQA_HINT)
        return change_parts(
            spec, lambda part: windowed(part, self.tokens) if isinstance(part, Gqa) and _keeps_cache(part) else part
        )


class KvBudget(Technique):
    """`kv-budget=1024`: at most 1024 tokens of keys and values are kept per layer; the rest is evicted.

    The prompt is computed in full; then pairs, reads and memory are min(S, budget).
    Sources: StreamingLLM, arXiv:2309.17453; H2O, arXiv:2306.14048.
    """

    name = "kv-budget"
    family = "budget of the cache"
    tokens: int

    @classmethod
    def parse(cls, value: str) -> Self:
        """`1024`."""
        return cls(tokens=count(cls.name, value, "1024"))

    def apply(self, spec: ModelSpec) -> ModelSpec:
        """The spec with a bounded cache."""
        if not any(map(_keeps_cache, parts_of(spec, Part))):
            raise refuse(self, spec, "cache that tokens could be evicted from", _GQA_HINT)
        return change_parts(
            spec,
            lambda part: sparse(part, kv_budget=self.tokens) if isinstance(part, Gqa) and _keeps_cache(part) else part,
        )


class Quest(Technique):
    """`quest=1024`: a decoded token reads the pages of 1024 tokens with the highest bound of their scores.

        reads = min(S, budget) * K * (h + v) + S / 16 * 2 * K * h;   the cache is kept whole

    The first two layers and layers with a smaller window stay as they are; nothing changes up to the budget.
    Source: Quest, arXiv:2406.10774.
    """

    name = "quest"
    family = "budget of the cache"
    tokens: int

    @classmethod
    def parse(cls, value: str) -> Self:
        """`1024`."""
        return cls(tokens=count(cls.name, value, "1024"))

    def apply(self, spec: ModelSpec) -> ModelSpec:
        """The spec with pages from the third layer on."""
        if not any(map(_keeps_cache, parts_of(spec, Part))):
            raise refuse(self, spec, "cache that pages could be picked from", _GQA_HINT)
        groups = []
        for group in spec.layer_groups:
            first = tuple(place for place in group.positions if place < QUEST_DENSE_LAYERS)
            rest = tuple(place for place in group.positions if place >= QUEST_DENSE_LAYERS)
            paged = group.layer.but(mixers=tuple(map(self._paged, group.layer.mixers)))
            groups += [group.but(positions=first)] if first else []
            groups += [group.but(layer=paged, positions=rest)] if rest else []
        return spec.but(layer_groups=tuple(groups))

    def _paged(self, part: Part) -> Part:
        if not (isinstance(part, Gqa) and _keeps_cache(part)) or windowed(part, self.tokens) is part:
            return part
        return sparse(part, page_budget=self.tokens)


@cache
def _indexer() -> dict[str, int]:
    """Heads and their width of the indexer that DeepSeek-V3.2 was released with."""
    config = read_data("model_specs/deepseek-v3.2.json")
    return {name: int(config[name]) for name in ("index_n_heads", "index_head_dim")}


class Dsa(Technique):
    """`dsa=2048`: an indexer picks 2048 past tokens for each query (DeepSeek Sparse Attention), on MLA's latents.

        pairs = min(p + 1, k) per query;   indexer: 2 * all pairs * index heads * (index head_dim + 1), its own keys

    A model without an indexer gets the one of DeepSeek-V3.2; a model that has one keeps it. MLA only: the picked
    entries are shared by all heads. Source: DeepSeek-V3.2-Exp technical report.
    """

    name = "dsa"
    tokens: int

    @classmethod
    def parse(cls, value: str) -> Self:
        """`2048`."""
        return cls(tokens=count(cls.name, value, "2048"))

    def apply(self, spec: ModelSpec) -> ModelSpec:
        """The spec with an indexer."""
        if not parts_of(spec, Mla):
            raise refuse(self, spec, "latent attention", "DSA picks MLA's latents, as in deepseek-v3+dsa=2048")
        return change_parts(spec, lambda part: self._picking(part) if isinstance(part, Mla) else part)

    def _picking(self, mixer: Mla) -> Mla:
        indexer = {} if mixer.index_topk else _indexer()
        return mixer.but(index_topk=self.tokens, **indexer)
