"""What a language model really costs, sparse or dense.

>>> import sparsecalc
>>> sparsecalc.load("mixtral-8x7b").params().total
46702792704
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sparsecalc.api import Model as Model
    from sparsecalc.api import compare as compare
    from sparsecalc.api import load as load
    from sparsecalc.core.errors import InputError as InputError

__all__ = ["InputError", "Model", "compare", "load"]


def __getattr__(name: str) -> Any:
    """Import the API on first use, so that `sparsecalc --version` stays quick."""
    if name == "InputError":
        from sparsecalc.core.errors import InputError

        return InputError
    if name in __all__:
        from sparsecalc import api

        return getattr(api, name)
    raise AttributeError(f"module 'sparsecalc' has no attribute {name!r}")
