"""What parts of a layer have in common, and what mixers and mixtures of experts have beyond their ops."""

from collections.abc import Iterator
from typing import ClassVar, Protocol

from sparsecalc.core.frozen import Frozen
from sparsecalc.core.ops import Op
from sparsecalc.core.workload import Workload


class HasExperts(Protocol):
    """A mixture of experts: a router picks `num_experts_per_tok` of its experts for each token."""

    @property
    def num_experts(self) -> int:
        """Experts with weights, E."""
        ...

    @property
    def num_experts_per_tok(self) -> int:
        """Experts that a token selects, k."""
        ...

    @property
    def zero_experts(self) -> int:
        """Experts that take part in routing and compute nothing, Z."""
        ...

    @property
    def shared_intermediate_size(self) -> int:
        """Width of all shared experts together; 0: none."""
        ...


class Part(Frozen):
    """A piece of a layer: immutable fields, and the ops of one layer for one step."""

    def ops(self, work: Workload) -> Iterator[Op]:
        """Ops of one such part for one step."""
        raise NotImplementedError

    @property
    def mixture(self) -> HasExperts | None:
        """The part itself where it is a mixture of experts, else None."""
        return None


class MixerPart(Part):
    """A part that mixes tokens: attention, or a recurrence."""

    is_softmax_attention: ClassVar[bool] = False
    """Whether it is softmax attention, over keys and values (or latents) of all past tokens or a window of them."""

    @property
    def window(self) -> int | None:
        """Past tokens that a query sees at most (a sliding window, or a chunk); None: all."""
        return None

    @property
    def tensor_parallel_heads(self) -> int | None:
        """Heads that the degree of tensor parallelism must divide; None: nothing is split by heads."""
        return None


class SoftmaxAttention(MixerPart):
    """A mixer of softmax attention, split among devices by its query heads."""

    is_softmax_attention: ClassVar[bool] = True
    num_attention_heads: int

    @property
    def tensor_parallel_heads(self) -> int:
        """`num_attention_heads`."""
        return self.num_attention_heads
