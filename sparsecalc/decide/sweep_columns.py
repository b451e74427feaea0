"""The columns of a sweep: which there are, which are written where none are named, and what computes them."""

from collections.abc import Sequence
from dataclasses import fields

from sparsecalc.core.errors import InputError
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief
from sparsecalc.decide.swept_model import GROUP_OF
from sparsecalc.documents.sweep import SweepRow

OF_ANY_MODEL = ("params", "flops", "memory")
"""Groups that need no accelerator."""
POINT = ("point", "model", "weights_dtype", "batch_size", "context_len")
"""Columns that say which point a row is; those of the layout with an accelerator."""
LAYOUT = ("accelerator", "num_gpus", "tp", "pp", "dp", "ep")
OF_AXES = {"engine": "engine", "routing": "routing", "prompt_len": "prompt_len", "output_len": "output_len"}
OF_AXES |= {"kv_cache_dtype": "kv_cache_dtype"}
"""Columns that stand where their axis is varied."""
USUAL: tuple[str, ...] = (
    "total_params",
    "active_params",
    "prefill_flops_per_token",
    "decode_flops_per_token",
    "weights_bytes",
    "kv_cache_bytes",
    "model_bytes",
)
"""Figures of a model where none are named."""
USUAL_ON_DEVICES: tuple[str, ...] = (
    "fits",
    "prefill_seconds",
    "decode_seconds",
    "decode_seconds_low",
    "decode_seconds_high",
    "bound",
    "tokens_per_second",
    "tpot_seconds",
    "output_tokens_per_second_per_gpu",
    "usd_per_million_output_tokens",
)
"""Figures on accelerators where none are named: those of the grid of `show`."""


def columns_of(asked: Sequence[str] | None, varied: Sequence[str], has_devices: bool) -> list[str]:
    """The columns of the rows, in the order of `SweepRow`: what says which point it is, and the figures asked for.

    `asked`: names, or `all`; None: the usual ones. Raises InputError for an unknown one, or one that needs a device.
    """
    known = [field.name for field in fields(SweepRow)]
    needs = {name for group, own in GROUP_OF.items() if group not in OF_ANY_MODEL for name in own}
    needs |= {*LAYOUT, "engine", "routing", "usd_per_hour"}
    if asked is None:
        wanted = USUAL_ON_DEVICES if has_devices else USUAL
    elif list(asked) == ["all"]:
        wanted = tuple(name for name in known if has_devices or name not in needs)
    else:
        wanted = tuple(asked)
    for name in wanted:
        if name not in known:
            raise InputError(f"unknown column {brief(name)}", hint=_known(known, name))
        if name in needs and not has_devices:
            raise InputError(f"column {name} needs an accelerator", hint="Name one: --gpu h100-sxm")
    shown = {*POINT, *wanted, *(OF_AXES[name] for name in varied if name in OF_AXES), *(LAYOUT * has_devices)}
    return [name for name in known if name in shown]


def _known(known: list[str], name: str) -> str:
    return (did_you_mean(name, known).removeprefix(". ") + " Columns: docs/json.md, SweepRow; or all").strip()


def groups_of(columns: Sequence[str]) -> dict[str, list[str]]:
    """Of each group of figures the columns that are wanted."""
    return {group: [name for name in own if name in columns] for group, own in GROUP_OF.items()}
