"""Work that a token skips: contextual neurons, layers, early exit, Mixture-of-Depths."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Self

from sparsecalc.core.arrays import Number, is_array, most
from sparsecalc.core.errors import InputError
from sparsecalc.core.ops import Ledger, Op, linear
from sparsecalc.core.workload import Workload
from sparsecalc.model.spec import Layer, ModelSpec
from sparsecalc.techniques.base import Technique, count, kept_share, refuse, scaled, sparsity, thinned


class Neurons(Technique):
    """`neurons=0.6`: for each token 60 % of the MLP's neurons are skipped (contextual sparsity).

        share of the MLP read and computed = 1 - p ** tokens        (the union of what the step's tokens need)

    p the share skipped, tokens independent. At batch 1 it is 1 - p; in prefill nothing is saved. Dense MLPs only.
    Sources: Deja Vu, arXiv:2310.17157; PowerInfer, arXiv:2312.12456.
    """

    name = "neurons"
    varied = "neurons="
    sparsity: float

    @classmethod
    def parse(cls, value: str) -> Self:
        """`0.6`."""
        return cls(sparsity=sparsity(cls.name, value))

    def apply(self, spec: ModelSpec) -> ModelSpec:
        """The spec; refused where there is no dense MLP."""
        if not any(_is_mlp(op) for op in spec.ops(Workload())):
            raise refuse(self, spec, "dense MLP", "A mixture of experts chooses its neurons by the router: +top-k=1")
        return super().apply(spec) if self.sparsity else spec

    def rewrite(self, rows: Ledger, work: Workload) -> Ledger:
        """The union's share of every dense MLP."""
        union = 1 - self.sparsity**work.tokens
        return Ledger(_of_union(op, union) if _is_mlp(op) else op for op in rows)


def _is_mlp(op: Op) -> bool:
    """Whether the op is a product of a dense MLP whose rows or columns are its neurons."""
    return op.component == "dense_ffn" and op.kind == "matmul" and op.role in ("gate_up", "neurons")


def _of_union(op: Op, union: Number) -> Op:
    return replace(
        op,
        flops=scaled(op.flops, union),
        read_share=op.read_share * union,
        activation_elements=scaled(op.activation_elements, union),
        compute_share=op.compute_share * union,
    )


class SkippedLayer(Layer):
    """A layer that a share of the tokens runs; the others only leave their keys and values in its cache."""

    run_share: float
    decode_only: bool = False
    """The prompt runs the layer in full."""

    def ops(self, work: Workload) -> Iterator[Op]:
        """Ops of one such layer, expected over the tokens' choices."""
        rows = super().ops(work)
        if self.decode_only and work.phase != "decode":
            yield from rows
            return
        for op in rows:
            # key and value maps run for all tokens: later ones look in the cache of this layer
            yield op if op.role == "key_value" else thinned(op, self.run_share, work.tokens)

    @property
    def label(self) -> str:
        """`gqa+dense (run by 75% of tokens)`."""
        return f"{super().label} (run by {self.run_share:.3g} of {'decoded ' if self.decode_only else ''}tokens)"


class RoutedLayer(Layer):
    """A Mixture-of-Depths layer: a router picks `capacity` of the tokens, the others pass by and are not seen in it.

        prefill: the layer's own step on c * T tokens with a context of c * S     (attention: c^2)
        decode:  a token runs it with chance c; a step reads its weights with 1 - (1 - c) ** B

    Source: Mixture-of-Depths, arXiv:2404.02258, section 3.
    """

    capacity: float
    hidden_size: int

    def ops(self, work: Workload) -> Iterator[Op]:
        """The router, and what the chosen tokens do."""
        yield linear("mod_router", "router", self.hidden_size, 1, work.tokens, shards=1)
        seen = _ceiling(self.capacity * work.context_len)
        decode = work.phase == "decode"
        new = work.new_tokens if decode else _ceiling(self.capacity * work.new_tokens)
        for op in super().ops(work.but(new_tokens=new, context_len=most(seen, new))):
            expected = thinned(op, self.capacity, work.tokens, cache_share=self.capacity) if decode else op
            yield replace(
                expected,
                kv_elements_per_token=scaled(op.kv_elements_per_token, self.capacity),
                index_elements_per_token=scaled(op.index_elements_per_token, self.capacity),
            )

    @property
    def label(self) -> str:
        """`gqa+dense (run by 0.125 of tokens)`."""
        return f"{super().label} (run by {self.capacity:.3g} of tokens)"


def _ceiling(value: Number) -> Number:
    whole = -(-value // 1)
    return whole if is_array(whole) else int(whole)


class DynamicDepth(Technique):
    """A technique that decides which tokens run which layers."""

    family = "tokens that skip layers"


class Layers(DynamicDepth):
    """`layers=0.25`: a token skips 25 % of the layers on average, any of them.

    FLOPs of a layer times 1 - s; its weights are read with 1 - s ** tokens; key and value maps and the cache stay.
    Source: SkipDecode, arXiv:2307.02628; CALM, arXiv:2207.07061 (keys and values of skipped layers).
    """

    name = "layers"
    varied = "layers="
    sparsity: float

    @classmethod
    def parse(cls, value: str) -> Self:
        """`0.25`."""
        return cls(sparsity=sparsity(cls.name, value))

    def apply(self, spec: ModelSpec) -> ModelSpec:
        """The spec with every layer run by 1 - s of the tokens."""
        if not self.sparsity:
            return spec
        groups = [
            group.but(layer=SkippedLayer(**vars(group.layer), run_share=1 - self.sparsity))
            for group in spec.layer_groups
        ]
        return spec.but(layer_groups=tuple(groups))


class EarlyExit(DynamicDepth):
    """`early-exit=24`: decoded tokens leave after layer 24; the prompt runs all layers.

    The layers after it keep their weights, cache, and key and value maps (CALM, arXiv:2207.07061; LayerSkip,
    arXiv:2404.16710); nothing else of them is read or computed in decode.
    """

    name = "early-exit"
    layers: int

    @classmethod
    def parse(cls, value: str) -> Self:
        """`24`."""
        return cls(layers=count(cls.name, value, "24"))

    def apply(self, spec: ModelSpec) -> ModelSpec:
        """The spec with the layers after the exit idle in decode."""
        if self.layers > spec.num_hidden_layers or spec.encoder_decoder:
            held = "an encoder" if spec.encoder_decoder else f"{spec.num_hidden_layers} layers"
            raise InputError(f"{self.text}: {spec.id} has {held}", hint="Name a layer of a decoder: +early-exit=24")
        return _changed_at(
            spec,
            lambda position: position >= self.layers,
            lambda layer: SkippedLayer(**vars(layer), run_share=0.0, decode_only=True),
        )


class MixtureOfDepths(DynamicDepth):
    """`mod=0.125`: every other layer is run by 12.5 % of the tokens. Source: arXiv:2404.02258."""

    name = "mod"
    capacity: float

    @classmethod
    def parse(cls, value: str) -> Self:
        """`0.125`."""
        return cls(capacity=kept_share(cls.name, value))

    def apply(self, spec: ModelSpec) -> ModelSpec:
        """The spec with every second layer routed."""
        if self.capacity == 1:
            return spec
        if spec.encoder_decoder:
            raise InputError(f"{self.text}: {spec.id} has an encoder", hint="Mixture-of-Depths routes a decoder")
        return _changed_at(
            spec,
            lambda position: position % 2 == 1,
            lambda layer: RoutedLayer(**vars(layer), capacity=self.capacity, hidden_size=spec.hidden_size),
        )


def _changed_at(spec: ModelSpec, at: Callable[[int], bool], change: Callable[[Layer], Layer]) -> ModelSpec:
    """The spec with the layers at some positions changed; groups are split where only a part of them is."""
    groups = []
    for group in spec.layer_groups:
        for layer, wanted in ((group.layer, False), (change(group.layer), True)):
            places = tuple(place for place in group.positions if at(place) == wanted)
            groups += [group.but(layer=layer, positions=places)] if places else []
    return spec.but(layer_groups=tuple(groups))
