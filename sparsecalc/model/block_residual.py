"""Residuals that attend to states of earlier blocks of layers, and messages between passes of a loop (Inkling 2)."""

from collections.abc import Iterator
from typing import Literal

from sparsecalc.core.ops import Op, linear, vector
from sparsecalc.core.workload import Workload
from sparsecalc.model.part import Part


def _attend(name: str, hidden: int, queries: int, sources: int, work: Workload) -> Op:
    """Each token's learned queries over its own `sources` states: 2 * T * queries * sources * 2H."""
    return Op(
        name=name,
        component="attention",
        kind="attention",
        tokens=work.tokens,
        flops=4 * work.tokens * queries * sources * hidden,
        heads=queries,
        activation_elements=work.tokens * (queries + sources) * hidden,
        scratch_elements=work.tokens * queries * hidden,
        note=f"{queries} queries x {sources} states of a token x 2 x {hidden}",
        source="transformers inkling2",
    )


class BlockResidual(Part):
    """The input of a mixer or an MLP: learned queries attend to the states after earlier blocks, and the running one.

    params = queries * H; flops = 4 * T * queries * sources * H; nothing is kept for later tokens.
    """

    kind: Literal["block_residual"] = "block_residual"
    name: str = "block_residual"
    hidden_size: int
    queries: int = 1
    sources: int

    def ops(self, work: Workload) -> Iterator[Op]:
        yield vector(f"{self.name}.query", "attention", self.queries * self.hidden_size, work.tokens)
        yield _attend(self.name, self.hidden_size, self.queries, self.sources, work)


class MessageGates(Part):
    """Gates by which the inputs of a looped layer take in what the pass before made of its blocks.

    params = messages * (2H * r + 2 * r * H), r rank; they run in every pass but the first (`runs`)
    flops  = 2 * T * params + 4 * T * messages * sources * H for the messages themselves
    """

    kind: Literal["message_gates"] = "message_gates"
    hidden_size: int
    rank: int
    sources: int
    messages: int = 4
    runs: bool

    def ops(self, work: Workload) -> Iterator[Op]:
        hidden, count = self.hidden_size, self.messages
        tokens = work.tokens if self.runs else 0
        if self.runs:
            yield _attend("message_input", hidden, count, self.sources, work)
        yield linear("message_gate.down_proj", "other", 2 * hidden, self.rank, tokens, matrices=count)
        yield linear("message_gate.gate_proj", "other", self.rank, hidden, tokens, matrices=2 * count)
