"""The errors of a group of rows in a few figures."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from math import ceil
from statistics import fmean, median

from sparsecalc.documents.validate import Accuracy, Check


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


def accuracy(group: str, checks: list[Check]) -> Accuracy:
    """Errors and coverage of a group."""
    return accuracy_of(group, [check.error for check in checks], fmean(check.inside for check in checks))


def by_group(checks: Iterable[Check], group: Callable[[Check], str]) -> list[Accuracy]:
    """Errors and coverage of each group, by its name."""
    found: dict[str, list[Check]] = defaultdict(list)
    for check in checks:
        found[group(check)].append(check)
    return [accuracy(name, found[name]) for name in sorted(found)]
