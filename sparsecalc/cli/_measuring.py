"""`sparsecalc verify`: the extra's versions and imports, and the progress bar."""

import gc
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sparsecalc.core.errors import InputError, reason_of
from sparsecalc.documents.verify import VerifyReport
from sparsecalc.library.models import LoadedModel, load_model, model_ids

NEEDED = {"torch": (2, 6), "transformers": (4, 57)}
"""The oldest versions that the extra `measure` allows."""


def verify_models(
    names: list[str], every: bool, checkpoint: bool = False, from_architecture: bool = False
) -> VerifyReport:
    """Verify the named models, or every built-in one. Raises InputError without the extra `measure`."""
    if every == bool(names):
        raise InputError("name models, or give --all", hint="Example: sparsecalc verify mixtral-8x7b")
    if every and checkpoint:
        raise InputError("--checkpoint asks the Hub for each model", hint="Name the models instead of --all")
    verify = _imported()
    chosen = model_ids() if every else names
    with progress(len(chosen)) as step:
        load = derived_loader() if from_architecture else load_model
        return verify(chosen, step, checkpoint=checkpoint, load=load)


def derived_loader() -> Callable[[str], LoadedModel]:
    """`load_model` for --from-architecture: specs derived from transformers' own classes."""
    _imported()
    from sparsecalc.measure.derive.derived_spec import load_derived

    return load_derived


def _imported() -> Callable[..., VerifyReport]:
    """`verify` of the measuring side."""
    verify: Callable[..., VerifyReport] = measuring("counts.verification", "verify").verify
    return verify


def measuring(module: str, command: str) -> Any:
    """A module of the measuring side, which alone needs torch and transformers; `command` is who asks for it.

    Raises InputError without the extra `measure`.
    """
    for package, needed in NEEDED.items():
        try:
            installed = version(package)
        except PackageNotFoundError as error:
            raise _without_extra(f"{package} is missing", command) from error
        if tuple(int(part) for part in re.findall(r"\d+", installed)[:2]) < needed:
            raise _without_extra(f"{package} is {installed}", command)
    try:
        loaded = import_module(f"sparsecalc.measure.{module}")
    except ModuleNotFoundError as error:
        raise _without_extra(f"{error.name} is missing", command) from error
    except ImportError as error:
        raise _without_extra(reason_of(error), command) from error
    gc.enable()  # off since the start
    return loaded


def _without_extra(reason: str, command: str) -> InputError:
    needed = " and ".join(f"{name} >= {major}.{minor}" for name, (major, minor) in NEEDED.items())
    hint = 'Install them: pip install -U "sparsecalc[measure]"'
    return InputError(f"{command} needs {needed} ({reason})", hint=hint)


@contextmanager
def progress(count: int) -> Iterator[Callable[[str], None]]:
    """A bar on stderr where that is a terminal; silence elsewhere."""
    if not sys.stderr.isatty():
        yield lambda name: None
        return
    from sparsecalc.reports.progress import progress_bar

    with progress_bar(count) as step:
        yield step
