"""The Python API: `load` a model and ask it; `compare` several. Results are the typed results of the command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sparsecalc.core.notes import Note
from sparsecalc.core.ops import Ledger
from sparsecalc.core.workload import Workload
from sparsecalc.decide.compare import compare as _compare
from sparsecalc.decide.engine_words import plain
from sparsecalc.decide.fit import fit as _fit
from sparsecalc.decide.fit_question import fit_asked
from sparsecalc.decide.model_name import load_variant
from sparsecalc.decide.plan import plan as _plan
from sparsecalc.decide.plan_question import plan_asked
from sparsecalc.decide.question import ask
from sparsecalc.decide.show import show as _show
from sparsecalc.decide.simulate import simulate as _simulate
from sparsecalc.decide.simulation_question import asked_of
from sparsecalc.decide.sweep import Swept, sweep_plan
from sparsecalc.decide.sweep import sweep as _sweep
from sparsecalc.documents.compare import CompareReport
from sparsecalc.documents.fit import FitReport
from sparsecalc.documents.plan import PlanReport
from sparsecalc.documents.show import ShowReport
from sparsecalc.documents.simulate import SimulateReport
from sparsecalc.estimate import costs
from sparsecalc.estimate.results import Flops, Memory, Params
from sparsecalc.library.formats import precision_for, with_file_type
from sparsecalc.model.ledgers import Ledgers
from sparsecalc.model.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model. `spec` is what it is; every method is a sum over `ops`."""

    name: str
    ledgers: Ledgers
    notes: tuple[Note, ...]
    dtype: str | None = None

    @property
    def spec(self) -> ModelSpec:
        """What the model is: its parts."""
        return self.ledgers.spec

    def params(self) -> Params:
        """Total and active parameters, and both by component.

        >>> load("mixtral-8x7b").params().active
        12879925248
        """
        return costs.params(self.ledgers)

    def flops(self, context_len: int | None = None, **how: Any) -> Flops:
        """FLOPs per token of a prompt of `context_len` tokens, and of a decoded token that sees as many.

        `how` goes to `Workload`: `causal=False` counts the full square of scores, `logits="last"` one LM head.

        >>> load("llama-2-7b").flops(context_len=2048).decode_per_token
        14287896576
        """
        return costs.flops(self.ledgers, ask(context_len=context_len).load.context_len, **how)

    def memory(
        self,
        batch_size: int = 1,
        context_len: int | None = None,
        dtype: str | None = None,
        kv_cache_dtype: str | None = None,
    ) -> Memory:
        """Bytes of weights, cache, state and working memory for `batch_size` sequences of `context_len` tokens.

        >>> load("mixtral-8x7b").memory(dtype="experts=mxfp4").kv_cache_bytes_per_token
        131072
        """
        asked = ask(batch_size=batch_size, context_len=context_len)
        spec, rest = with_file_type(self.spec, dtype or self.dtype)
        ledgers = self.ledgers if spec is self.spec else Ledgers(spec)
        return costs.memory(ledgers, precision_for(spec, rest, kv_cache_dtype), asked.load)

    def ops(self, workload: Workload) -> Ledger:
        """The ledger of one step: every op with what it stores, reads and computes.

        >>> import sparsecalc
        >>> load("mixtral-8x7b").ops(sparsecalc.Workload.decode(context_len=4096, batch_size=8)).total("flops")
        221157261312
        """
        return self.ledgers.ops(workload)

    def report(self, **asked: Any) -> ShowReport:
        """Everything that `sparsecalc show` prints; `asked` are its options, as `decide.question.ask` has them."""
        return _show(self.name, ask(**plain(asked)))


def load(name: str) -> Model:
    """A model by built-in id or alias, path of a config.json, folder, or Hub id, as the command line names it.

    `+int4` sets the weights' dtype, `+2:4` or `+heads=0.5` applies a technique of sparsity (docs/techniques.md).
    Raises `sparsecalc.InputError` where there is none, or its config contradicts itself.
    """
    variant = load_variant(name)
    return Model(name=name, ledgers=variant.model, notes=variant.loaded.notes, dtype=variant.dtype)


def simulate(models: list[str], traffic: dict[str, Any], **asked: Any) -> SimulateReport:
    """Models under load, as `sparsecalc simulate`: `traffic` has its options, `asked` those of devices and formats.

    >>> found = simulate(["llama-3.1-8b"], {"rate": 2.0, "requests": 100, "slo": "ttft=1s"}, gpu="h100-sxm")
    >>> found.models[0].simulation.goodput_share
    1.0
    """
    own = asked_of(traffic)
    return _simulate(models, ask(**plain({**asked, **own.traffic.question_options})).in_one_layout(), own)


def sweep(
    models: str | Sequence[str],
    vary: Mapping[str, Any] | None = None,
    columns: Sequence[str] | None = None,
    shard: str | None = None,
    **asked: Any,
) -> Swept:
    """Figures of every combination as arrays, as the rows of `sparsecalc sweep`.

    `vary`: axes by name, as they are typed or as lists; `columns`: figures (docs/json.md, SweepRow), or `["all"]`;
    `shard`: `i/n`; `asked`: options as `decide.question.ask` has them.

    >>> found = sweep("mixtral-8x7b", {"batch": "1:64:x2", "tp": [2, 4]}, ["decode_seconds", "fits"], gpu="h100-sxm")
    >>> len(found), int(found.columns["fits"].sum())
    (14, 14)
    """
    names = [models] if isinstance(models, str) else models
    return _sweep(sweep_plan(names, list((vary or {}).items()), plain(asked), columns, shard))


def plan(models: list[str], **asked: Any) -> PlanReport:
    """Which accelerators, how many, in which layout and precision, as `sparsecalc plan`; `asked`: its options.

    >>> plan(["llama-3.1-8b"], gpu="h100-sxm,l40s", concurrency=16, tpot="30ms").plan.recommended.accelerator
    'h100-sxm'
    """
    return _plan(models, plan_asked(**plain(asked)))


def compare(models: list[str], **asked: Any) -> CompareReport:
    """Several models side by side, as `sparsecalc compare`; `asked`: its options, as `decide.question.ask` has them.

    >>> [round(ratio.total, 2) for ratio in compare(["mixtral-8x7b", "llama-70b"]).ratios]
    [1.0, 1.48]
    """
    return _compare(models, ask(**plain(asked)))


def fit(models: list[str] | None = None, **asked: Any) -> FitReport:
    """Where models fit, or with `on` all that fits a device, as `sparsecalc fit`; `asked`: its options.

    >>> found = fit(["llama-3.3-70b"], gpu="h100-sxm", context_len=8192).rows[0]
    >>> found.num_gpus, found.dtype
    (1, 'fp8')
    """
    return _fit(models or [], fit_asked(**plain(asked)))
