"""A deployment under an engine based on llama.cpp: its buffers, and the machine's room for them."""

from sparsecalc.core.errors import InputError
from sparsecalc.core.precision import Precision
from sparsecalc.decide.engine_words import engine_release
from sparsecalc.decide.question import Question
from sparsecalc.device.engines import engine_name
from sparsecalc.estimate.deployment import Deployment
from sparsecalc.estimate.llama_memory.buffers import CacheFormats, LlamaModel, Running
from sparsecalc.estimate.llama_memory.device import LlamaDevice, MemoryRoom
from sparsecalc.estimate.llama_memory.figures import LlamaMemory
from sparsecalc.estimate.llama_memory.rules import llama_rules, usable_bytes
from sparsecalc.estimate.placement import Placement
from sparsecalc.model.ledgers import Ledgers
from sparsecalc.read.number_formats import number_format

BASE = "llama.cpp"
CARDS = {"cuda": "CUDA", "rocm": "ROCm", "vulkan": "Vulkan", "sycl": "SYCL", "metal": "Metal", "": "GPU"}
"""How the log of a backend names its devices, each with a number; Metal's has none."""


def is_llama(deployed: Deployment) -> bool:
    """Whether the engine has llama.cpp's memory."""
    return deployed.device.engine.based_on == BASE


def llama_device(deployed: Deployment, question: Question) -> LlamaDevice | None:
    """The buffers on the machine; None for an engine that is not based on llama.cpp."""
    if not is_llama(deployed):
        return None
    gpu, plan = deployed.gpu, deployed.placement
    alone = gpu.kind == "cpu"
    model = _model(deployed.model, deployed.precision, plan, question, alone=alone)
    share = question.devices.device_memory_share
    room = MemoryRoom(
        names=_names(deployed.device.engine.backend, len(model.weights) - 1),
        card_bytes=usable_bytes(gpu) if share is None else int(share * gpu.capacity_bytes),
        shared=alone or gpu.kind == "soc",
        host_bytes=plan.host.usable_bytes if plan.host else None,
    )
    return LlamaDevice(model, room)


def buffers_of_files(model: Ledgers, precision: Precision, question: Question) -> LlamaMemory | None:
    """The buffers of a model in a GGUF file where no device is named, as on one large enough; None for others.

    Only llama.cpp and its kin run such files, whatever engine is meant.
    """
    stored = model.spec.stored
    gguf = stored is not None and stored.scheme == "gguf"
    if question.hardware or not (gguf or engine_name(question.engine).id == BASE):
        return None
    found = _model(model, precision, Placement(), question, alone=False)
    sequences = max(question.load.batch_size, found.rules.parallel or 1)
    return found.figures(Running(sequences=sequences, context_len=question.load.context_len), _names("", 1))


def _model(model: Ledgers, precision: Precision, plan: Placement, question: Question, *, alone: bool) -> LlamaModel:
    keys, _, values = (question.formats.kv_cache_dtype or precision.kv_cache.id).partition("/")
    formats = CacheFormats(keys=number_format(keys), values=number_format(values or keys))
    engine = engine_name(question.engine).id
    release = engine_release(question.engine) if engine == BASE else ""
    rules = llama_rules(question.engine_options, model.spec.model_type, engine, release)
    if formats.values.bits_per_weight < 16 and not rules.flash_attention:
        raise InputError("a cache of quantized values needs flash attention in llama.cpp", hint="Leave -fa off out")
    return LlamaModel(model, precision, plan, rules, formats, alone=alone)


def _names(backend: str, cards: int) -> tuple[str, ...]:
    name = CARDS.get(backend, "GPU")
    return ("CPU", *(name if backend == "metal" else f"{name}{card}" for card in range(cards)))
