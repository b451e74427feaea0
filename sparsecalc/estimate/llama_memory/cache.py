"""llama.cpp's caches: cells of full attention and of windows, keys and values in types of their own, and states."""

from collections.abc import Iterator
from math import ceil

from sparsecalc.core.frozen import Frozen
from sparsecalc.core.number_format import NumberFormat
from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.llama_memory.rules import LlamaRules
from sparsecalc.model.attention import Gqa
from sparsecalc.model.latent import Mla
from sparsecalc.model.part import MixerPart
from sparsecalc.model.spec import Layer

STATE_BYTES = 4
"""Recurrent states are kept in fp32."""


class LayerCache(Frozen):
    """What a layer caches: elements of a cell, and bytes of the states of one sequence."""

    key_elements: int = 0
    value_elements: int = 0
    """Elements of the values of a cell; 0 where they are read from the keys' (latent attention)."""
    window: int | None = None
    """Tokens that a query sees at most, where llama.cpp keeps no more; None: all."""
    attends: bool = False
    """Whether it attends at all, to a cache of its own or of an earlier layer."""
    state_bytes: int = 0

    def cells(self, rules: LlamaRules, context_len: int) -> int:
        """Cells of one sequence; 0 without attention."""
        if not self.attends:
            return 0
        whole = padded(context_len, rules.cell_padding)
        if self.window is None or rules.swa_full:
            return whole
        return min(whole, padded(self.window + rules.ubatch_size, rules.cell_padding))

    def cell_bytes(self, keys: NumberFormat, values: NumberFormat) -> float:
        """Bytes of one cell."""
        return (self.key_elements * keys.bits_per_weight + self.value_elements * values.bits_per_weight) / 8


def padded(count: int, unit: int) -> int:
    """The next multiple of a unit."""
    return ceil(count / unit) * unit


def layer_cache(layer: Layer, rules: LlamaRules, *, expanded: bool = False) -> LayerCache:
    """What a layer of a kind caches.

    Latent attention has one latent per token and no values of its own; whole keys and values in files of before
    2025-04, which hold their maps in one tensor (`expanded`). A convolution keeps the tokens before the new
    one, kernel - 1 of them. Source: src/llama-kv-cache.cpp, src/llama-memory-recurrent.cpp, src/llama-hparams.cpp.
    """
    found = LayerCache(state_bytes=STATE_BYTES * sum(_states(layer)))
    for mixer in layer.mixers:
        if mixer.is_softmax_attention:
            keys, values = _cell(mixer, expanded)
            window = mixer.window if rules.keeps_windows else None
            found = found.but(
                key_elements=found.key_elements + keys,
                value_elements=found.value_elements + values,
                window=window,
                attends=True,
            )
    return found


def _cell(mixer: MixerPart, expanded: bool) -> tuple[int, int]:
    """Elements of keys, an indexer's among them, and of values that one token of a mixer adds."""
    ops = list(mixer.ops(Workload.decode(1)))
    held = sum(op.kv_elements_per_token for op in ops)
    index = sum(op.index_elements_per_token for op in ops)
    if isinstance(mixer, Mla) and held and expanded:
        heads = mixer.num_attention_heads
        return heads * (mixer.qk_nope_head_dim + mixer.qk_rope_head_dim), heads * mixer.v_head_dim
    if isinstance(mixer, Mla):
        return held + index, 0
    keys = held // 2
    if isinstance(mixer, Gqa) and held:
        keys = mixer.num_key_value_heads * mixer.head_dim
    return keys + index, held - keys


def _states(layer: Layer) -> Iterator[int]:
    """Elements of the states of one sequence, op by op."""
    for op in layer.ops(Workload.decode(1)):
        yield _state_elements(op)


def _state_elements(op: Op) -> int:
    held = int(op.state_elements)
    if op.kind == "conv" and op.cols and held == op.rows * op.cols:
        return held - op.rows
    return held
