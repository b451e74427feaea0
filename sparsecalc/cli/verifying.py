"""`sparsecalc verify`: the extra's imports, and the progress bar."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sparsecalc.core.errors import InputError
from sparsecalc.decide.report import VerifyReport
from sparsecalc.library.models import model_ids


def verify_models(names: list[str], every: bool) -> VerifyReport:
    """Verify the named models, or every built-in one. Raises InputError without the extra `measure`."""
    if every == bool(names):
        raise InputError("name models, or give --all", hint="Example: sparsecalc verify mixtral-8x7b")
    try:
        from sparsecalc.measure.verify import verify
    except ImportError as error:
        hint = 'Install it: pip install "sparsecalc[measure]"'
        raise InputError(f"verify needs torch and transformers ({error.name} is missing)", hint=hint) from error
    chosen = model_ids() if every else names
    with _progress(len(chosen)) as step:
        return verify(chosen, step)


@contextmanager
def _progress(count: int) -> Iterator[Callable[[str], None]]:
    """A bar on stderr where that is a terminal; silence elsewhere."""
    if not sys.stderr.isatty():
        yield lambda name: None
        return
    from sparsecalc.reports.terminal import progress_bar

    with progress_bar(count) as step:
        yield step
