"""What `fit` is asked: models on accelerators, or all models on one; checked and with defaults filled in."""

from functools import cache
from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.data_files import read_data
from sparsecalc.decide.question import Question, ask, positive
from sparsecalc.decide.targets import seconds_of
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.device.engines import GENERIC, engine_profile


@cache
def fit_table() -> dict[str, Any]:
    """data/fit.json."""
    found: dict[str, Any] = read_data("fit.json")
    return found


class FitAsked(Frozen):
    """The search: on which devices, how many of them at most, and how fast a token must come."""

    question: Question
    """With the accelerators, the batch and the context."""
    on: str | None = None
    """The one device that all built-in models are tried on; None: models on accelerators."""
    max_gpus: int = 1
    tpot: float | None = None
    """Seconds per token that are asked for; None: not asked."""
    rows: int = 20
    """Rows to look for, best first; 0: all."""
    commands: bool = False
    """Whether each row has the command that serves it."""

    @property
    def comfortable_seconds(self) -> float:
        """Seconds per token that are quick enough: those asked for, else those of comfortable reading."""
        return self.tpot or float(fit_table()["comfortable_seconds"]["value"])

    def inputs(self, models: list[str]) -> dict[str, object]:
        """What was asked, for the document."""
        asked, kept = self.question.inputs(models), ("models", "dtype", "kv_cache_dtype", "gpu", "num_gpus", "engine")
        load = {name: asked[name] for name in ("batch_size", "context_len")}
        own = {"on": self.on, "max_gpus": self.max_gpus, "tpot": self.tpot, "rows": self.rows}
        return {name: asked[name] for name in kept} | load | own


def fit_asked(
    *,
    on: str | None = None,
    gpu: str | None = None,
    max_gpus: int | None = None,
    tpot: str | float | None = None,
    rows: int | None = None,
    commands: bool = False,
    dtype: str | None = None,
    **more: Any,
) -> FitAsked:
    """The search that options ask for, named as those of `sparsecalc fit`; `more`: options of `ask`.

    Raises InputError for an option that makes no sense.
    """
    if on and gpu:
        raise InputError("--on and --gpu are both given", hint="--on is one device for all models, --gpu where to look")
    every = not on and (gpu or "all").strip().lower() == "all"
    limit = 1 if on else fit_table()["max_gpus"]["value"]
    positive("largest number of GPUs", max_gpus)
    if max_gpus and max_gpus > fit_table()["most_gpus"]:
        raise InputError(f"--max-gpus is {max_gpus}", hint=f"It is at most {fit_table()['most_gpus']:,}")
    if rows is not None and rows < 0:
        raise InputError(f"--limit is {rows}", hint="It is 1 or more, or 0 for all")
    question = ask(
        gpu=",".join(all_accelerators()) if every else on or gpu,
        dtype=None if dtype == "auto" else dtype,
        **more,
    )
    if on and len(question.devices.accelerators) > 1:
        raise InputError("--on names several devices", hint="One device: --on rtx-4090; models on several: --gpu")
    loads = question.grid
    if len(loads.batch_sizes) * len(loads.context_lens) > 1:
        raise InputError("fit takes one load", hint="One --batch-size and one --context; for several: show, compare")
    return FitAsked(
        question=question,
        on=question.devices.accelerators[0].id if on else None,
        max_gpus=max_gpus or max(limit, question.parallelism.num_devices),
        tpot=None if tpot is None else seconds_of(str(tpot), "--tpot"),
        rows=fit_table()["rows"] if rows is None else rows,
        commands=commands,
    )


def all_accelerators() -> list[str]:
    """Every built-in accelerator but processors, whose memory is what one puts beside them."""
    from sparsecalc.device.sheets import accelerator_ids

    sheets = ((name, read_data(f"accelerators/{name}.json")["kind"]) for name in accelerator_ids())
    return [name for name, kind in sheets if kind != "cpu"]


def usual_engine(gpu: Accelerator, asked: str | None) -> str:
    """The engine that is asked for, else the one that people run on such a device (data/fit.json)."""
    if asked:
        return asked
    usual, desktop = engine_profile(None, gpu).id, fit_table()["desktop"]
    if usual != GENERIC:
        return usual
    if gpu.kind in desktop["kinds"] or any(name in gpu.name for name in desktop["names"]):
        return str(desktop["engine"])
    return str(fit_table()["server_engine"]) if gpu.kind == "gpu" else GENERIC
