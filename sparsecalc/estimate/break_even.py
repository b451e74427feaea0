"""Closed forms of where a mixture of experts and a dense model change places, from weights alone.

They leave out caches, activations, launches and links: the curves of `crossover` have those, and stand beside them.
"""

from math import log

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.ops import Ledger, Op
from sparsecalc.core.precision import Precision
from sparsecalc.estimate.kernel import Setting


class ClosedForms(Frozen):
    """What weights alone say about a mixture of experts beside a dense model, on the same devices."""

    moe: str
    """Id of the mixture of experts."""
    dense: str
    """Id of the dense model."""
    distinct_experts: float
    """D*: experts per layer whose reading, with all else that the mixture reads, equals the dense model's weights."""
    t_lo: float | None
    """Tokens of a step from which the mixture reads more; None: never, or from the first token (see `reads_more`)."""
    t_hi: float
    """Tokens from which the dense model's products take longer than reading all of the mixture's weights."""
    reads_more: str
    """From which number of tokens the mixture reads more: `from t_lo`, `never` or `always`."""
    ridge_tokens: float
    """R: tokens at which a product of the dense model takes as long as reading the mixture's same weights."""
    moe_compute_tokens: float
    """R E / k: tokens at which the mixture's own experts become bound by compute."""
    q: float
    """Dense parameters divided by the mixture's active ones."""
    s: float
    """The mixture's active parameters divided by its total."""
    qs: float
    """q times s; below 1, a decode step that reaches all experts reads more bytes in the mixture."""
    source: str = "T_lo, T_hi: docs/formulas.md; qs inequality: arXiv:2603.08960"
    """Where the formulas come from."""


def t_lo(num_experts: float, num_experts_per_tok: float, distinct_experts: float) -> float | None:
    """ln(1 - D* / E) / ln(1 - k / E): tokens whose distinct experts number D*; None where no number of tokens does.

    The inverse of E (1 - (1 - k / E) ** T), the expected distinct experts under uniform routing.
    """
    if not 0 < distinct_experts < num_experts or num_experts_per_tok >= num_experts:
        return None
    return log(1 - distinct_experts / num_experts) / log(1 - num_experts_per_tok / num_experts)


def t_hi(ridge_tokens: float, total: float, dense: float) -> float:
    """R N_tot / N_d: tokens at which 2 N_d T FLOPs take as long as reading N_tot parameters."""
    return ridge_tokens * total / dense


def ridge_tokens(peak_flops_per_second: float, memory_bytes_per_second: float, bytes_per_param: float) -> float:
    """R = F b / (2 BW): tokens at which 2 T FLOPs per parameter take as long as reading its b bytes."""
    return peak_flops_per_second * bytes_per_param / (2 * memory_bytes_per_second)


def closed_forms(
    moe: tuple[str, Ledger, Precision],
    dense: tuple[str, Ledger, Setting],
    memory_bytes_per_second: float,
) -> ClosedForms:
    """The closed forms for two ledgers of one token, each with its model's name and formats.

        D* = (bytes of the dense weights - bytes of the mixture's other weights) / bytes of one expert in all layers

    Bytes are of weights that a step multiplies with: input tables are left out. Raises InputError without experts.
    """
    name, rows, precision = moe
    dense_name, dense_rows, setting = dense
    experts = [op for op in rows if op.kind == "experts"]
    if not experts:
        raise InputError(f"{name} has no experts")
    count = float(max(op.num_experts for op in experts))
    chosen = experts[0].read_share * experts[0].num_experts
    stored = rows.sum(precision.used_weight_bytes, _is_multiplied)
    one_expert = sum(precision.used_weight_bytes(op) * op.layers / op.num_experts for op in experts)
    others = stored - sum(precision.used_weight_bytes(op) * op.layers for op in experts)
    dense_bytes = dense_rows.sum(setting.precision.used_weight_bytes, _is_multiplied)
    needed = (dense_bytes - others) / one_expert
    total, active = rows.total("params"), rows.total("active_params")
    elements = rows.sum("used_params", _is_multiplied)
    dense_elements = dense_rows.sum("used_params", _is_multiplied)
    first = next(op for op in dense_rows if op.kind == "matmul")
    ridge = ridge_tokens(setting.peaks[setting.form(first)[1]], memory_bytes_per_second, stored / elements)
    start = t_lo(count, chosen, needed)
    late = start is not None and start > 1
    return ClosedForms(
        moe=name,
        dense=dense_name,
        distinct_experts=needed,
        t_lo=start if late else None,
        t_hi=t_hi(ridge, elements, dense_elements),
        reads_more="from t_lo" if late else "never" if needed >= count else "always",
        ridge_tokens=ridge,
        moe_compute_tokens=ridge * count / chosen,
        q=dense_rows.total("params") / active,
        s=active / total,
        qs=dense_rows.total("params") / total,
    )


def _is_multiplied(op: Op) -> bool:
    return op.kind != "lookup"
