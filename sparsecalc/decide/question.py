"""What is asked of a model: the load, the formats, the hardware and how it is laid over it."""

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.routing import Routing
from sparsecalc.core.text import brief, printable
from sparsecalc.estimate.costs import Load, engine_default
from sparsecalc.model.spec import ModelSpec

LARGEST = 2**30


class Question(Frozen):
    """What is asked of each model. Lists of batch sizes, contexts or accelerators make a grid; the first is shown."""

    batch_size: int = 1
    context_len: int | None = None
    """None: prompt_len + output_len where those are given, else a default."""
    dtype: str | None = None
    kv_cache_dtype: str | None = None
    gpu: str | None = None
    """One accelerator or several, joined by commas."""
    num_gpus: int | None = None
    tp: int | None = None
    pp: int | None = None
    ep: int | None = None
    dp: int | None = None
    engine: str | None = None
    routing: str = "uniform"
    eplb_replicas: int | None = None
    offload: str | None = None
    """`experts=0.5` or `layers=0.3` in host memory, sent when needed; `experts=1@epyc-9654`: computed on that CPU."""
    prompt_len: int | None = None
    output_len: int | None = None
    concurrency: int | None = None
    """Requests in flight; None: the batch size."""
    draft_tokens: int = 0
    acceptance: float | None = None
    draft_model: str | None = None
    device_memory_share: float | None = None
    max_num_batched_tokens: int | None = None
    batch_sizes: tuple[int, ...] = ()
    context_lens: tuple[int, ...] = ()
    calibration: str | None = None
    """A calibration's file; with the accelerator `local`, the user's own."""

    def load(self) -> Load:
        """The load with defaults filled in; refuses what is not positive."""
        sizes = {
            "batch size": self.batch_size,
            "context": self._context_len(),
            "max-num-batched-tokens": _or_default(self.max_num_batched_tokens, "max_num_batched_tokens"),
            "number of GPUs": 1 if self.num_gpus is None else self.num_gpus,
            "prompt length": self.prompt_len if self.prompt_len is not None else 1,
            "output length": self.output_len if self.output_len is not None else 1,
            "concurrency": self.concurrency if self.concurrency is not None else 1,
            **{f"batch size {size}": size for size in self.batch_sizes},
            **{f"context {size}": size for size in self.context_lens},
        }
        for name, value in sizes.items():
            if not 0 < value <= LARGEST:
                raise InputError(f"the {name} is {value}", hint="It must be between 1 and 2^30")
        if self.device_memory_share is not None and not 0 < self.device_memory_share <= 1:
            raise InputError(f"the share of device memory is {self.device_memory_share}", hint="It must be in (0, 1]")
        batch, context, chunk = list(sizes.values())[:3]
        return Load(batch_size=batch, context_len=context, max_num_batched_tokens=chunk)

    def lengths(self) -> tuple[int, int]:
        """Tokens of a request's prompt and of its answer; together the context, where they are not given."""
        context = self._context_len()
        answer = self.output_len
        if answer is None:
            most = context - self.prompt_len if self.prompt_len is not None else context // 4
            answer = max(1, min(int(engine_default("output_len")), most))
        prompt = self.prompt_len if self.prompt_len is not None else max(1, context - answer)
        return prompt, answer

    def accelerators(self) -> list[str]:
        """The names of the accelerators, in order."""
        names = [name.strip() for name in (self.gpu or "").split(",")]
        if self.gpu is not None and not all(names):
            raise InputError(f"--gpu is {brief(self.gpu)}", hint="Name one, or several joined by commas: h100-sxm,l40s")
        return names if self.gpu else []

    def for_dense(self) -> "Question":
        """The same of a dense model beside a mixture of experts: as many devices, nothing that is about experts."""
        devices = self.num_gpus or (self.tp or 1) * (self.pp or 1) * (self.dp or 1)
        of_experts = (self.offload or "").strip().lower().startswith("experts")
        return self.but(
            num_gpus=devices,
            tp=None,
            pp=None,
            dp=None,
            ep=None,
            eplb_replicas=None,
            routing="uniform",
            offload=None if of_experts else self.offload,
        )

    def _context_len(self) -> int:
        if self.context_len is not None:
            return self.context_len
        if self.prompt_len is not None and self.output_len is not None:
            return self.prompt_len + self.output_len
        return (
            int(engine_default("context_len"))
            if self.prompt_len is None
            else max(int(engine_default("context_len")), self.prompt_len + 1)
        )

    def inputs(self, models: list[str]) -> dict[str, object]:
        """Everything that was asked, defaults filled in, for the report."""
        load = self.load()
        found: dict[str, object] = {
            "models": [printable(name, 1000) for name in models],
            "batch_size": load.batch_size,
            "context_len": load.context_len,
            "dtype": self.dtype,
            "kv_cache_dtype": self.kv_cache_dtype or "bf16",
            "gpu": self.gpu,
            "num_gpus": self.num_gpus if self.gpu else None,
            "max_num_batched_tokens": load.max_num_batched_tokens,
        }
        if self.gpu:
            prompt, answer = self.lengths()
            found |= {"prompt_len": prompt, "output_len": answer, "concurrency": self.concurrency or load.batch_size}
            found |= {"engine": self.engine or "generic", "routing": printable(self.routing, 1000)}
            asked = (
                "calibration",
                "tp",
                "pp",
                "ep",
                "dp",
                "offload",
                "eplb_replicas",
                "draft_tokens",
                "acceptance",
                "draft_model",
            )
            found |= {name: getattr(self, name) for name in asked if getattr(self, name)}
        return found


def _or_default(value: int | None, name: str) -> int:
    return int(engine_default(name)) if value is None else value


def routing_of(spec: ModelSpec, question: Question) -> Routing:
    """The routing that is asked for. Raises InputError for a model without experts, or a file that makes no sense."""
    if question.routing == "uniform":
        return Routing()
    from sparsecalc.library.routing_files import load_routing

    parts = [part for group in spec.layer_groups for part in group.layer.feed_forwards]
    counts = {part.num_experts for part in parts if hasattr(part, "num_experts")}
    return load_routing(question.routing, max(counts)) if counts else Routing()
