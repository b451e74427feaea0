"""`ModelSpec`: what a model is, as parts; and the ledger of ops that one step of it performs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Protocol

from sparsecalc.core.frozen import Frozen
from sparsecalc.core.notes import Note
from sparsecalc.core.number_format import NumberFormat
from sparsecalc.core.ops import Ledger, Op, OpFormats, ledger
from sparsecalc.core.workload import Workload
from sparsecalc.model.basic_parts import Head, Norm, Table
from sparsecalc.model.part import HasExperts
from sparsecalc.model.stored import StoredPart

if TYPE_CHECKING:  # the parts are imported where they are used: most models need few of them
    from sparsecalc.model.kinds import Extra, FeedForward, Mixer


class Layer(Frozen):
    """One decoder layer: mixers, feed-forwards and norms in the order in which they run."""

    mixers: "tuple[Mixer, ...]" = ()
    feed_forwards: "tuple[FeedForward, ...]" = ()
    norms: tuple[Norm, ...] = ()
    extras: "tuple[Extra, ...]" = ()
    stack: Literal["decoder", "encoder"] = "decoder"
    idle: bool = False
    """Stored, but passed by without an image (Mllama's cross-attention layers): a text computes and caches nothing."""
    reused: bool = False
    """One more pass through an earlier layer (looped models): computed and cached as any, on weights stored there."""

    def ops(self, work: Workload) -> Iterator[Op]:
        """Ops of one such layer."""
        for part in (*self.norms, *self.mixers, *self.feed_forwards, *self.extras):
            yield from map(self._as_run, part.ops(work))

    def _as_run(self, op: Op) -> Op:
        """The op of a layer that runs when a text does, on weights of its own; or what is left of it."""
        if self.idle:
            return _idle(op)
        return replace(op, tied=True) if self.reused and op.used_params else op

    @property
    def mixtures(self) -> list[HasExperts]:
        """The feed-forwards that are mixtures of experts."""
        return [part.mixture for part in self.feed_forwards if part.mixture]

    @property
    def label(self) -> str:
        """Short name of the kind: `gqa+moe`, `gqa(window 128)+dense`, `mamba2`."""
        names = []
        for mixer in self.mixers:
            names.append(mixer.kind + (f"(window {mixer.window})" if mixer.window else ""))
        names += [part.kind for part in self.feed_forwards]
        prefix = "encoder: " if self.stack == "encoder" else "idle: " if self.idle else "again: " if self.reused else ""
        return prefix + "+".join(names or ["extras"])


def _idle(op: Op) -> Op:
    """The op's weights alone."""
    return Op(
        name=op.name,
        component=op.component,
        kind=op.kind,
        role=op.role,
        rows=op.rows,
        cols=op.cols,
        matrices=op.matrices,
        vectors=op.vectors,
        shards=op.shards,
        read_share=0,
    )


class Stored(Frozen):
    """How a checkpoint stores its weights: by which scheme, and what is not left to single ops."""

    scheme: str
    """As the config names it: `compressed-tensors`, `gptq`; empty: unquantized."""
    name: str
    """Formats in short: `nvfp4`, `bf16,routed_experts=mxfp4`."""
    plain: NumberFormat
    """Format of everything that is not quantized, from dtype."""
    origin: Literal["config", "as published", "requested"] = "config"
    """`as published`: the publisher's own checkpoint of a built-in model; `requested`: a GGUF file type asked for."""
    kv_cache: NumberFormat | None = None
    """Format of the KV cache, where the checkpoint brings scales for it."""
    expanded_latents: bool = False
    """Whether a GGUF file has latent attention's kv_b in one tensor: llama.cpp then caches whole keys and values."""


class LayerGroup(Frozen):
    """`count` layers of one kind; `positions` are their places in the model, so that the order is kept."""

    layer: Layer
    positions: tuple[int, ...]
    formats: OpFormats = ()
    """In which formats the checkpoint stores these layers."""

    @property
    def count(self) -> int:
        """How many layers the group stands for."""
        return len(self.positions)


class Rewriting(Protocol):
    """A technique that changes what a step does, not what the model is: it rewrites the ledger."""

    def rewrite(self, rows: Ledger, work: Workload) -> Ledger:
        """The ledger of the step with the technique applied."""
        ...


class ModelSpec(Frozen):
    """A model's text decoder: tables, groups of layers, final parts and the LM head."""

    id: str
    model_type: str
    hidden_size: int
    vocab_size: int
    tie_word_embeddings: bool
    tables: tuple[Table, ...]
    layer_groups: tuple[LayerGroup, ...]
    final: "tuple[Extra, ...]" = ()
    """Norms and projections outside the layers."""
    head: Head | None
    notes: tuple[Note, ...] = ()
    stored: Stored | None = None
    """How the checkpoint stores its weights; None: nothing says it."""
    formats: OpFormats = ()
    """In which formats it stores what lies outside the layers."""
    max_position_embeddings: int | None = None
    """Longest context that the config allows; None: it names none."""
    fp32_states: bool = False
    """Whether the config has engines keep recurrent states in fp32 (mamba_ssm_dtype), whatever the weights are in."""
    mtp: tuple[StoredPart, ...] = ()
    """Weights of multi-token-prediction layers beside the decoder, where they are known; counted where asked for."""
    mtp_layers: tuple[Layer, ...] = ()
    """The decoder layers of one step of multi-token prediction, where they are known."""
    checked_by: Literal["transformers", "formula"] = "transformers"
    techniques: tuple[Rewriting, ...] = ()
    """Applied to the ledger in this order."""

    @property
    def num_hidden_layers(self) -> int:
        """Layers of all stacks, each once however often it runs."""
        return sum(group.count for group in self.layer_groups if not group.layer.reused)

    @property
    def kind(self) -> str:
        """dense, moe, ssm or hybrid; moe with recurrent layers is `hybrid moe`."""
        attend = {mixer.is_softmax_attention for mixer in self.mixers}
        if attend == {False}:
            return "ssm"
        family = "hybrid" if False in attend else ""
        return " ".join(filter(None, (family, "moe" if self.mixtures else ""))) or "dense"

    @property
    def mixers(self) -> "list[Mixer]":
        """The mixers of each group of layers, in order."""
        return [mixer for group in self.layer_groups for mixer in group.layer.mixers]

    @property
    def mixtures(self) -> list[tuple[int, HasExperts]]:
        """The mixtures of experts of each group of layers, in order, each with the number of layers."""
        return [(group.count, mixture) for group in self.layer_groups for mixture in group.layer.mixtures]

    @property
    def encoder_decoder(self) -> bool:
        """Whether there is an encoder beside the decoder."""
        return any(group.layer.stack == "encoder" for group in self.layer_groups)

    def without_formats(self) -> "ModelSpec":
        """The same model, with nothing said about how it is stored."""
        groups = tuple(group.but(formats=()) for group in self.layer_groups)
        return self.but(stored=None, formats=(), layer_groups=groups)

    def ops(self, work: Workload) -> Ledger:
        """The ledger of one step: tables, every group of layers times its count, final parts, head."""
        tables = ledger(*(part.ops(work) for part in self.tables))
        parts: list[Sequence[Op]] = [tables.stored(self.formats)]
        for group in self.layer_groups:
            if group.layer.stack == "encoder" and work.phase == "decode":
                idle = group.layer.ops(Workload(phase="decode", batch_size=0, new_tokens=0, context_len=0))
                rows = ledger(idle)
            else:
                rows = ledger(group.layer.ops(work))
            parts.append(list(rows.stored(group.formats).in_group(group.layer.label, group.count)))
        rest = ledger(*(part.ops(work) for part in self.final), self.head.ops(work) if self.head else ())
        parts.append(rest.stored(self.formats))
        rows = ledger(*parts)
        for technique in self.techniques:
            rows = technique.rewrite(rows, work)
        return rows


def group_layers(layers: Sequence[Layer], formats: Sequence[OpFormats] = ()) -> tuple[LayerGroup, ...]:
    """Equal layers, stored in equal `formats`, become one group; groups stand in order of first appearance."""
    places: dict[tuple[Layer, OpFormats], list[int]] = {}
    for position, layer in enumerate(layers):
        places.setdefault((layer, formats[position] if formats else ()), []).append(position)
    return tuple(
        LayerGroup(layer=layer, positions=tuple(positions), formats=own) for (layer, own), positions in places.items()
    )
