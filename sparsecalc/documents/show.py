"""The document of `show`: everything that is said about one model."""

from dataclasses import field
from typing import Any

from sparsecalc.core.frozen import Frozen
from sparsecalc.documents.base import Document
from sparsecalc.estimate.llama_memory.figures import LlamaMemory
from sparsecalc.estimate.results import Experts, Flops, LayerKind, Memory, Params, Prediction


class GridPoint(Frozen):
    """One combination of accelerator, batch size and context."""

    accelerator: str
    """Id of the accelerator."""
    num_gpus: int
    """Number of accelerators."""
    batch_size: int
    """Sequences in the batch."""
    context_len: int
    """Tokens per sequence."""
    fits: bool
    """Whether the model fits; where it does not, the seconds are those of devices large enough."""
    prefill_seconds: float
    """Seconds of one prompt on an idle server."""
    decode_seconds: float
    """Seconds of one decode step of the batch."""
    decode_seconds_low: float
    """Lower end of its 80 % band."""
    decode_seconds_high: float
    """Upper end of its 80 % band."""
    bound: str
    """What most of the decode step goes to: weights, kv_cache, activations, compute, overhead, network or host."""
    tpot_seconds: float
    """Seconds per output token of a request (TPOT), with as many requests in flight as the batch holds."""
    output_tokens_per_second_per_gpu: float
    """Output tokens per second, divided by the number of accelerators."""
    usd_per_million_output_tokens: float | None
    """US dollars per million output tokens; None without a price."""
    placement: str
    """Parallelism, such as `tp 4`."""
    weights_dtype: str
    """Number format of the weights."""


class TestTime(Frozen):
    """What llama-bench would print of one test on one accelerator."""

    accelerator: str
    """Id of the accelerator."""
    num_gpus: int
    """Number of accelerators."""
    engine: str
    """The engine; `generic` where none is named."""
    backend: str
    """Its backend, as cuda or metal; empty where it has none."""
    gpu_layers: int | None
    """llama.cpp's -ngl: layers on devices, the output as one more; None for other engines, and on a CPU."""
    batch_size: int
    """Sequences at once; llama-bench has one."""
    test: str
    """`pp512` a prompt, `tg128` tokens one by one, `@d4096` behind so many tokens of a context."""
    prompt_len: int
    """Tokens of the prompt; 0: none."""
    output_len: int
    """Tokens that are generated; 0: none."""
    depth: int
    """Tokens in the cache before the test begins."""
    fits: bool
    """Whether the model with the context that the test needs fits; else it is timed on devices large enough."""
    seconds: float
    """Seconds of the whole test."""
    tokens_per_second: float
    """Tokens of prompt and answer of all sequences, over these seconds."""
    tokens_per_second_low: float
    """Lower end of its 80 % band."""
    tokens_per_second_high: float
    """Upper end of its 80 % band."""
    bound: str
    """What most of it goes to: weights, kv_cache, activations, compute, overhead, network or host."""


class ModelInfo(Frozen):
    """What the model is and where its figures come from."""

    id: str
    """Name of the model: its built-in id, its own name, or what was asked for where a technique is applied."""
    model_type: str
    """Family, as Hugging Face configs name it."""
    kind: str
    """Kind of architecture: dense, moe, ssm, hybrid or hybrid moe."""
    num_hidden_layers: int
    """Number of layers."""
    hidden_size: int
    """Width of the residual stream."""
    vocab_size: int
    """Entries of the vocabulary."""
    tie_word_embeddings: bool
    """Whether the LM head shares the input embedding's table."""
    origin: str
    """Where the config comes from: built in, a path or a Hub id."""
    hub_id: str | None
    """Id on the Hugging Face Hub, where it is known."""
    checked_by: str
    """What its counts are checked against: `transformers`, or only its `formula`."""
    published_total: str | None
    """Total parameters as its authors state them."""
    published_active: str | None
    """Active parameters as its authors state them."""
    sources: list[str]
    """Where its sizes are published."""
    download_bytes: int | None = None
    """Bytes of the weights that its repository ships; None where no repository is known."""
    download_dtype: str | None = None
    """Number formats in which its repository ships them."""
    download_is_whole: bool | None = None
    """Whether `download_bytes` has all parts of the model, or the language model only."""


class ModelReport(Frozen):
    """Everything that is said about one model."""

    model: ModelInfo
    """What the model is."""
    params: Params
    """Parameters."""
    layers: list[LayerKind]
    """Kinds of layers."""
    experts: Experts | None
    """Use of the experts; None for a model without experts."""
    flops: Flops
    """FLOPs per token."""
    memory: Memory
    """Bytes of memory."""
    llama_memory: LlamaMemory | None = None
    """Memory as llama.cpp's log prints it, where its engine is named, or the weights are in a GGUF file's formats."""
    prediction: Prediction | None = None
    """Fit and time on the first accelerator, at the first batch size and context; None without `--gpu`."""
    grid: list[GridPoint] = field(default_factory=list)
    """Every combination of accelerators, batch sizes and contexts, where several are named; else empty."""
    tests: list[TestTime] = field(default_factory=list)
    """Tests of `--test`, each on each accelerator; else empty."""

    def grid_rows(self) -> list[dict[str, Any]]:
        """A row for each point of the grid, with the model's id."""
        return [{"model": self.model.id, **point.to_dict()} for point in self.grid]


class Advice(Frozen):
    """What to type so that a model fits under llama.cpp, Ollama or MLX: the most of it that the devices hold."""

    fits: bool
    """Whether it fits at all, in devices and host memory together."""
    gpu_layers: int
    """Layers on devices, the output as one more: the largest -ngl that fits; all where experts make the room."""
    layers: int
    """All layers, the output as one more."""
    cpu_moe_layers: int
    """The smallest -ncmoe that fits: layers whose experts lie in host memory; 0 without."""
    context_len: int
    """Tokens of each sequence that were asked for."""
    largest_context_len: int
    """Tokens of each sequence that fit this placement, at most those that the model allows; 0: none."""
    margin_bytes: int
    """Bytes of each device that are left free."""
    command: str
    """The command line that starts it; empty where it does not fit."""
    host_memory_bytes: int = 0
    """Bytes of llama.cpp's buffers in host memory so."""
    modelfile: str = ""
    """Lines of Ollama's Modelfile; empty under other engines."""


class RunCommand(Frozen):
    """What to type so that an engine serves the model in this layout, and so that the same is measured."""

    engine: str
    """The engine."""
    command: str
    """The server's command, quoted for a shell: a line for the first node, one for each other; empty: it has none."""
    bench: str = ""
    """The `vllm bench serve` line that measures the same load against that server."""
    manifest: str = ""
    """The same as a Kubernetes manifest (YAML); empty where none is written."""
    reason: str = ""
    """Why the engine has no command for this layout."""


class ShowReport(ModelReport, Document):
    """Everything that is said about one model."""

    commands: list[RunCommand] = field(default_factory=list)
    """What to type, with `--commands`; else empty."""

    advice: Advice | None = None
    """What to type so that it fits the first accelerator under llama.cpp, Ollama or MLX; None under others."""

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each test, else for each point of the grid; else a single row."""
        tests = [{"model": self.model.id, **test.to_dict()} for test in self.tests]
        return tests or self.grid_rows() or super().to_rows()
