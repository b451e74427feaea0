"""The graph that llama.cpp reserves its compute buffer for: one micro-batch through all layers, and its logits."""

from collections.abc import Sequence

from sparsecalc.core.frozen import Frozen
from sparsecalc.core.workload import Workload
from sparsecalc.estimate.llama_memory.graph_allocator import Graph
from sparsecalc.model.attention import Gqa
from sparsecalc.model.feed_forward import DenseMlp, Moe
from sparsecalc.model.latent import Mla
from sparsecalc.model.part import MixerPart, Part
from sparsecalc.model.spec import Layer

FLOAT = 4
"""Bytes of a node's element: fp32 throughout."""
HALF = 2
"""Bytes of a mask's element in 16 bits."""
PLACE = 8
"""Bytes of a place in the cache: int64."""


class LayerOnDevice(Frozen):
    """A layer that a device computes: its parts, and the cells of the cache that its attention sees; 0: none."""

    layer: Layer
    cells: int
    windowed: bool = False
    """Whether they are those of the windows' cache, which has masks and places of its own."""
    sent: tuple[tuple[str, int], ...] = ()
    """Bytes of those of its tensors that lie in host memory and are sent for each micro-batch, by name of the op."""

    def sent_bytes(self, name: str) -> int:
        """Bytes of an op's tensor, or of each of its tensors, that is sent; 0: it lies on the device."""
        return dict(self.sent).get(name, 0)


class GraphOptions(Frozen):
    """What the sizes of nodes follow from."""

    tokens: int
    """Tokens of the micro-batch."""
    flash_attention: bool
    streams: int = 1
    """Sequences with cells of their own, among which the micro-batch is split."""
    wide_masks: bool = False
    """Whether masks come in fp32 and are cast to 16 bits for flash attention."""
    copies: int = 1
    """Copies of inputs that are kept, one for each micro-batch in a pipeline of cards."""
    follows: bool = False
    """Whether another card computes the layers before: both parts of the residual's last sum come from it."""
    fused_projections: bool = False
    """Whether query, key and value, and gate and up, are one product each, read in place (phi3 in later builds)."""
    keeps_last_hidden: bool = False
    """Whether the hidden states before the last norm are kept beside it."""


class DeviceGraph(Graph):
    """The nodes of one device. Source of their order: src/llama-graph.cpp and src/models of ggml-org/llama.cpp."""

    def __init__(self, options: GraphOptions, hidden_size: int) -> None:
        super().__init__()
        self.options, self.hidden_size = options, hidden_size
        self.inputs: dict[object, int] = {}
        self.layer: LayerOnDevice | None = None

    @property
    def windowed(self) -> bool:
        """Whether the layer that is added attends to the windows' cache."""
        return self.layer is not None and self.layer.windowed

    def rows(self, width: float, *sources: int, in_place: bool = False) -> int:
        """A node of `width` fp32 elements for each token of the micro-batch."""
        return self.add(width * self.options.tokens * FLOAT, *sources, in_place=in_place)

    def product(self, name: str, width: float, *sources: int) -> int:
        """A product with an op's weights; where those lie in host memory, with a copy of them."""
        sent = self.layer.sent_bytes(name) if self.layer else 0
        return self.rows(width, *sources, *((self.add(sent),) if sent else ()))

    def given(self, nbytes: float) -> int:
        """A copy of an input; several, which are kept, in a pipeline of cards."""
        copies = [self.add(nbytes, kept=self.options.copies > 1) for _ in range(self.options.copies)]
        return copies[0]

    def copy_inputs(self, layers: Sequence[LayerOnDevice], value_width: int) -> int:
        """Copies of what the host computes, in the order of their first use; returns the embedded tokens."""
        tokens, fused = self.options.tokens, self.options.flash_attention
        hidden = self.hidden_size * tokens * FLOAT
        embedded = self.given(hidden)
        other = self.given(hidden) if self.options.follows else None
        self.inputs["positions"] = self.given(tokens * FLOAT)
        for cells, windowed in dict.fromkeys((each.cells, each.windowed) for each in layers if each.cells):
            keys = self.given(tokens * PLACE)
            values = self.given(tokens * PLACE * (1 if fused else value_width))
            wide = self.options.wide_masks or not fused
            self.inputs["mask", windowed] = self.given(
                cells / self.options.streams * tokens * (FLOAT if wide else HALF)
            )
            self.inputs["keys", windowed], self.inputs["values", windowed] = keys, values
        self.inputs["outputs"] = self.given(tokens * FLOAT)
        return embedded if other is None else self.add(hidden, embedded, other, in_place=True)

    def add_layer(self, each: LayerOnDevice, stream: int, *, last: bool) -> int:
        """Mixers and feed-forwards of a layer, each behind a norm and beside the residual stream."""
        self.layer = each
        for mixer in each.layer.mixers:
            mixed = self._mixer(mixer, self._normed(stream), each.cells)
            if last:  # from here on only those tokens whose logits are asked for, in a reserved graph all
                mixed = self.rows(self.hidden_size, mixed, self.inputs["outputs"])
                stream = self.rows(self.hidden_size, stream, self.inputs["outputs"])
            stream = self.rows(self.hidden_size, mixed, stream, in_place=True)
        for part in each.layer.feed_forwards:
            fed = self._feed_forward(part, self._normed(stream))
            stream = self.rows(self.hidden_size, fed, stream, in_place=True)
        return stream

    def add_logits(self, stream: int, vocab_size: int, sent_bytes: int = 0) -> None:
        """The last norm, and the logits of every token: a reserved graph computes those of the whole micro-batch.

        `sent_bytes`: of the head's weights, where those lie in host memory.
        """
        normed = self._normed(stream)
        kept = (stream,) if self.options.keeps_last_hidden else ()
        self.rows(vocab_size, normed, *kept, *((self.add(sent_bytes),) if sent_bytes else ()))

    def _normed(self, stream: int) -> int:
        normed = self.rows(self.hidden_size, stream, in_place=True)
        return self.rows(self.hidden_size, normed, in_place=True)

    def _mixer(self, mixer: MixerPart, normed: int, cells: int) -> int:
        if isinstance(mixer, Mla):
            return self._latent(mixer, normed, cells)
        if isinstance(mixer, Gqa):
            return self._grouped(mixer, normed, cells)
        return self._chain(mixer, normed)

    def _grouped(self, mixer: Gqa, normed: int, cells: int) -> int:
        if self.options.fused_projections:
            return self._attend_fused(mixer, normed, cells)
        heads, value_dim = mixer.num_attention_heads, mixer.v_head_dim or mixer.head_dim
        positions, width = self.inputs["positions"], heads * mixer.head_dim
        gated = mixer.output_gate == "per_element"
        queries = both = self.product("q_proj", width * (2 if gated else 1), normed)
        if gated:
            queries = self.rows(width, both)
        queries = self.rows(width, queries, positions)
        if mixer.key_value == "own":
            values = self.product("v_proj", mixer.num_key_value_heads * value_dim, normed) if mixer.v_proj else normed
            keys = self.product("k_proj", mixer.num_key_value_heads * mixer.head_dim, normed)
            keys = self.rows(mixer.num_key_value_heads * mixer.head_dim, keys, positions)
            self.add(0, keys, self.inputs["keys", self.windowed])
            self.add(0, values, self.inputs["values", self.windowed])
        mixed = self._attend(queries, heads, value_dim, cells)
        if gated:
            gate = self.rows(width, both)
            mixed = self.rows(heads * value_dim, mixed, gate, in_place=True)
        return self.product("o_proj", self.hidden_size, mixed)

    def _attend_fused(self, mixer: Gqa, normed: int, cells: int) -> int:
        heads, keys = mixer.num_attention_heads, mixer.num_key_value_heads * mixer.head_dim
        width, positions = heads * mixer.head_dim, self.inputs["positions"]
        both = self.product("q_proj", width + 2 * keys, normed)
        queries, turned = self.rows(width, both, positions), self.rows(keys, both, positions)
        self.add(0, turned, self.inputs["keys", self.windowed])
        self.add(0, both, self.inputs["values", self.windowed])
        return self.product("o_proj", self.hidden_size, self._attend(queries, heads, mixer.head_dim, cells))

    def _attend(self, queries: int, heads: int, value_dim: int, cells: int) -> int:
        """Flash attention's result; or the scores of all cells, weighted values, and these heads side by side."""
        mask = self._mask(cells)
        if self.options.flash_attention:
            return self.rows(heads * value_dim, queries, mask)
        scores = self.rows(cells / self.options.streams * heads, queries)
        scores = self.rows(cells / self.options.streams * heads, scores, mask, in_place=True)
        return self.rows(heads * value_dim, self.rows(heads * value_dim, scores))

    def _mask(self, cells: int) -> int:
        """The mask of a cache; cast once where flash attention needs it in 16 bits and it comes in 32."""
        made = self.inputs["mask", self.windowed]
        if not (self.options.wide_masks and self.options.flash_attention):
            return made
        if ("cast", self.windowed) not in self.inputs:
            size = cells / self.options.streams * self.options.tokens * HALF
            self.inputs["cast", self.windowed] = self.add(size, made)
        return self.inputs["cast", self.windowed]

    def _latent(self, mixer: Mla, normed: int, cells: int) -> int:
        """Latent attention with the projection of keys and values folded into queries and results."""
        heads, rank, rope = mixer.num_attention_heads, mixer.kv_lora_rank, mixer.qk_rope_head_dim
        positions = self.inputs["positions"]
        low = normed
        if mixer.q_lora_rank:
            low = self.product("q_a_proj", mixer.q_lora_rank, normed)
            low = self.rows(mixer.q_lora_rank, low, in_place=True)
        name = "q_b_proj" if mixer.q_lora_rank else "q_proj"
        queries = self.product(name, heads * (mixer.qk_nope_head_dim + rope), low)
        rotated = self.rows(heads * rope, queries, positions)
        latent = self.product("kv_a_proj_with_mqa", rank + rope, normed)
        key = self.rows(rope, latent, positions)
        compressed = self.rows(rank, latent)
        absorbed = self.rows(heads * rank, queries)
        queries = self.rows(heads * (rank + rope), rotated, absorbed)
        keys = self.rows(rank + rope, key, compressed)
        self.add(0, keys, self.inputs["keys", self.windowed])
        mixed = self._attend_latent(queries, heads, rank, cells)
        values = self.rows(heads * mixer.v_head_dim, mixed)
        return self.product("o_proj", self.hidden_size, self.rows(heads * mixer.v_head_dim, values))

    def _attend_latent(self, queries: int, heads: int, rank: int, cells: int) -> int:
        mask = self._mask(cells)
        if self.options.flash_attention:
            return self.rows(heads * rank, queries, mask)
        scores = self.rows(cells / self.options.streams * heads, queries)
        scores = self.rows(cells / self.options.streams * heads, scores, mask, in_place=True)
        return self.rows(heads * rank, scores)

    def _chain(self, part: Part, normed: int) -> int:
        """Any other part: its ops in a row, each reading the one before it and what the part reads."""
        work = Workload.prefill(self.options.tokens)
        last = normed
        for op in part.ops(work):
            if op.scratch_elements:
                last = self.add(float(op.scratch_elements) * FLOAT, last, normed)
        return last

    def _feed_forward(self, part: Part, normed: int) -> int:
        if isinstance(part, Moe):
            return self._mixture(part, normed)
        if isinstance(part, DenseMlp):
            return self._dense(part, normed)
        return self._chain(part, normed)

    def _dense(self, mlp: DenseMlp, normed: int) -> int:
        name, width = "gate_up_proj" if mlp.gated else "up_proj", mlp.intermediate_size
        product = self._gated(name, width, normed) if mlp.gated else self.product(name, width, normed)
        return self.product("down_proj", self.hidden_size, product)

    def _gated(self, name: str, width: float, *sources: int) -> int:
        if self.options.fused_projections:
            return self.rows(width, self.product(name, 2 * width, *sources))
        up = self.product(name, width, *sources)
        return self.rows(width, self.product(name, width, *sources), up)

    def _mixture(self, moe: Moe, normed: int) -> int:
        experts, chosen = moe.num_experts, moe.num_experts_per_tok
        width, inner = moe.expert_input_size or self.hidden_size, moe.moe_intermediate_size * chosen
        scores = self.rows(experts, normed)
        scores = self.rows(experts, scores, in_place=True)
        order = self.rows(experts, scores)
        weights = self.rows(chosen, scores, order)
        name = "experts.gate_up_proj" if moe.gated else "experts.up_proj"
        product = self._gated(name, inner, normed, order) if moe.gated else self.product(name, inner, normed, order)
        down = self.product("experts.down_proj", width * chosen, product, order)
        weighted = self.rows(width * chosen, down, weights, in_place=True)
        mixed = self.rows(width, weighted)
        if not moe.shared_intermediate_size:
            return mixed
        shared = DenseMlp(hidden_size=self.hidden_size, intermediate_size=moe.shared_intermediate_size, gated=moe.gated)
        return self.rows(self.hidden_size, mixed, self._dense(shared, normed), in_place=True)


class Output(Frozen):
    """The logits that a device computes."""

    vocab_size: int = 0
    """0: another device computes them."""
    sent_bytes: int = 0
    """Bytes of the head's weights where they are sent from host memory."""


def device_graph(
    layers: Sequence[LayerOnDevice], options: GraphOptions, hidden_size: int, output: Output, value_width: int
) -> DeviceGraph:
    """The nodes of a device that computes `layers`, and logits.

    A layer whose kind followed the same two kinds before adds nothing to the peak, and is left out; layers of a kind
    are one object.
    """
    graph = DeviceGraph(options, hidden_size)
    stream = graph.copy_inputs(layers, value_width)
    seen: set[tuple[int, ...]] = set()
    for place, each in enumerate(layers):
        pair = tuple(map(id, layers[max(0, place - 2) : place + 1]))
        last = place == len(layers) - 1
        if pair not in seen or last:
            stream = graph.add_layer(each, stream, last=last)
        seen.add(pair)
    if output.vocab_size:
        graph.add_logits(stream, output.vocab_size, output.sent_bytes)
    return graph
