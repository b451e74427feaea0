"""What a language model really costs, sparse or dense.

>>> import sparsecalc
>>> sparsecalc.load("mixtral-8x7b").params().total
46702792704
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparsecalc.api import Model as Model
    from sparsecalc.api import compare as compare
    from sparsecalc.api import fit as fit
    from sparsecalc.api import load as load
    from sparsecalc.api import plan as plan
    from sparsecalc.api import simulate as simulate
    from sparsecalc.api import sweep as sweep
    from sparsecalc.core.errors import InputError as InputError
    from sparsecalc.core.routing import Routing as Routing
    from sparsecalc.core.workload import Workload as Workload
    from sparsecalc.decide.step_grid import StepGrid as StepGrid
    from sparsecalc.decide.step_grid import step_grid as step_grid
    from sparsecalc.decide.sweep import Swept as Swept

_PLACES = {
    "InputError": "core.errors",
    "Model": "api",
    "Routing": "core.routing",
    "StepGrid": "decide.step_grid",
    "Swept": "decide.sweep",
    "Workload": "core.workload",
    "compare": "api",
    "fit": "api",
    "load": "api",
    "plan": "api",
    "simulate": "api",
    "step_grid": "decide.step_grid",
    "sweep": "api",
}
"""Every public name and the module that has it, imported on first use, so that `sparsecalc --version` stays quick."""

__all__ = [
    "InputError",
    "Model",
    "Routing",
    "StepGrid",
    "Swept",
    "Workload",
    "compare",
    "fit",
    "load",
    "plan",
    "simulate",
    "step_grid",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'sparsecalc' has no attribute {name!r}")
    return getattr(import_module(f"sparsecalc.{_PLACES[name]}"), name)
