"""The errors of a group of rows in a few figures."""

from math import ceil
from statistics import fmean, median

from sparsecalc.documents.validate import Accuracy


def accuracy_of(group: str, errors: list[float], coverage: float | None = None) -> Accuracy:
    """Mean, median and 90th percentile of |error|, and the median error; `coverage`: share within the 80 % band."""
    sizes = sorted(abs(error) for error in errors)
    return Accuracy(
        group=group,
        rows=len(errors),
        mean_error=fmean(sizes),
        median_error=median(sizes),
        p90_error=sizes[ceil(0.9 * len(sizes)) - 1],
        bias=median(errors),
        coverage=coverage,
    )
