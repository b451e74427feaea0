"""Yuan 2's localized filtering."""

from collections.abc import Iterator
from typing import Literal

from sparsecalc.core.ops import Op, linear, vector
from sparsecalc.core.workload import Workload
from sparsecalc.model.part import Part


class LocalizedFilter(Part):
    """Yuan 2: two convolutions over two tokens, H -> H/2 and H/2 -> H, and a norm, before queries and keys are made.

        params = 2*H*(H/2) + H/2 + 2*(H/2)*H + H + H;   flops = 2 * tokens * 2 * H^2

    A sequence keeps the two tokens before. Source: arXiv:2311.15786, section 2.1.
    """

    kind: Literal["localized_filter"] = "localized_filter"
    hidden_size: int

    def ops(self, work: Workload) -> Iterator[Op]:
        hidden, half = self.hidden_size, self.hidden_size // 2
        yield linear("lf_gate.conv1", "attention", 2 * hidden, half, work.tokens, bias=True)
        yield linear("lf_gate.conv2", "attention", 2 * half, hidden, work.tokens, bias=True)
        yield vector("lf_gate.output_layernorm", "norm", hidden, work.tokens)
        rows = work.batch_size * 2 * hidden
        yield Op(name="lf_gate.tokens", component="attention", kind="vector", state_elements=rows)
