"""What the devices of a deployment hold: by the engine's own rules where its memory is modelled, else by a share."""

from sparsecalc.core.arrays import Number
from sparsecalc.core.largest import largest_within
from sparsecalc.core.notes import Note
from sparsecalc.core.workload import Workload
from sparsecalc.decide.engine_words import engine_release
from sparsecalc.decide.llama import is_llama, llama_device
from sparsecalc.decide.question import LARGEST, Question
from sparsecalc.estimate.deployment import Deployment
from sparsecalc.estimate.engine_memory.memory import EngineDevice
from sparsecalc.estimate.engine_memory.rules import engine_rules, knows_memory
from sparsecalc.estimate.filled_device import FilledDevice
from sparsecalc.estimate.fit import DeviceMemory, budget_bytes, fit, largest_batch
from sparsecalc.estimate.llama_memory.rules import llama_rules
from sparsecalc.estimate.load import Load, Requests
from sparsecalc.estimate.mlx_memory import MlxDevice, MlxRules, prefill_step_size
from sparsecalc.estimate.replay.policy import policy_of
from sparsecalc.estimate.results import Prediction
from sparsecalc.estimate.serving import chunks


class HeldMemory:
    """One truth about memory for every command: does a load fit, and how large may it be."""

    def __init__(self, deployed: Deployment, question: Question) -> None:
        self.deployed, self.share = deployed, question.devices.device_memory_share
        self.engine = engine_device(deployed, question)
        self.llama = llama_device(deployed, question)
        self.filled = self.engine or self.llama or mlx_device(deployed, question)
        """The device in the engine's own terms; None where its memory is not modelled."""
        self.memory = DeviceMemory(deployed.model, deployed.precision, deployed.placement)
        self.budget = budget_bytes(deployed.gpu, self.share)

    def fits(self, load: Load) -> bool:
        """Whether the devices hold a load."""
        return self.filled.fits(load) if self.filled else self.memory.excess(load, self.budget) <= 0

    def excess(self, load: Load) -> int:
        """By how much a load is too much, in bytes or blocks of a cache; 0 or less: it fits."""
        if self.engine:
            return self.engine.lacking(load)
        other = self.llama or (self.filled if isinstance(self.filled, FilledDevice) else None)
        return other.excess(load) if other else self.memory.excess(load, self.budget)

    def predicted(self, load: Load) -> Prediction:
        """Fit, largest loads, and bytes in use and free."""
        one = self.deployed
        generic = fit(one.model, one.precision, load, one.gpu, one.placement, self.share)
        return self.filled.fitted(generic, load) if self.filled else generic

    def running(self, requests: Requests, load: Load) -> int:
        """Requests that run at once: those that memory holds whole, and that the engine lets in.

        All of them where not even one fits: then figures are those of devices large enough.
        """
        whole = load.but(batch_size=requests.concurrency, context_len=requests.prompt_len + requests.output_len)
        most = int(requests.concurrency)
        if not self.fits(whole):
            most = self.largest_batch(whole) or most
        return min(most, self.filled.most_sequences(load, most)) if self.filled else most

    def largest_context(self, load: Load, most: int) -> int:
        """Longest context of the load's sequences that is held, of at most `most` tokens; 0: none."""
        start = max(load.context_len, load.max_num_batched_tokens)  # from here on memory grows in straight pieces
        return largest_within(most, lambda context: self.excess(load.but(context_len=context)), start)

    def largest_batch(self, load: Load) -> int:
        """Largest batch that is held at the load's context; 0: none."""
        return self.filled.largest_batch(load) if self.filled else largest_batch(self.memory, load, self.budget)


def engine_device(deployed: Deployment, question: Question) -> EngineDevice | None:
    """The busiest device as the engine fills it; None for an engine whose memory is not modelled."""
    engine = deployed.device.engine.id
    if not knows_memory(engine):
        return None
    share, release = question.devices.device_memory_share, engine_release(question.engine)
    rules = engine_rules(engine, deployed.gpu, deployed.placement, question.engine_options, share, release)
    return EngineDevice(deployed.model, deployed.precision, deployed.placement, rules)


def mlx_device(deployed: Deployment, question: Question) -> MlxDevice | None:
    """The memory of MLX on one device; None for another engine, or several devices."""
    if deployed.device.engine.id != "mlx" or deployed.placement.num_gpus > 1:
        return None
    share, gpu = question.devices.device_memory_share, deployed.gpu
    room = gpu.capacity_bytes if share is None else budget_bytes(gpu, share)
    rules = MlxRules(step_tokens=step_tokens(deployed, question), room_bytes=room)
    return MlxDevice(deployed.model, deployed.precision, rules)


def step_tokens(deployed: Deployment, question: Question) -> int:
    """Tokens of a step at most: what is asked for, else the engine's default on the device, else the usual one."""
    engine, asked = deployed.device.engine.id, question.engine_options.max_num_batched_tokens
    if is_llama(deployed):
        return llama_rules(question.engine_options, deployed.model.spec.model_type).ubatch_size
    if asked is None and knows_memory(engine):
        release = engine_release(question.engine)
        rules = engine_rules(engine, deployed.gpu, deployed.placement, question.engine_options, None, release)
        return rules.max_num_batched_tokens
    if asked is None and engine == "mlx":
        return prefill_step_size()
    return asked or question.load.max_num_batched_tokens


def prompt_chunks(deployed: Deployment, question: Question, prompt_len: Number, depth: int = 0) -> list[Workload]:
    """The chunks in which the engine computes one prompt: whole where it does not split prompts.

    `depth`: tokens that the cache holds before it.
    """
    return chunks(prompt_len, chunk_tokens(deployed, question), deployed.routing, depth)


def chunk_tokens(deployed: Deployment, question: Question) -> int:
    """Tokens of a prompt's chunk at most."""
    splits = policy_of(deployed.device.engine.id).splits_prompts
    return step_tokens(deployed, question) if splits else LARGEST


def capacity_warnings(deployed: Deployment, question: Question, predicted: Prediction) -> list[Note]:
    """Requests that wait, and an engine that does not start."""
    spec, serving, found = deployed.model.spec, predicted.serving, []
    if serving and serving.waiting:
        text = (
            f"at most {serving.running:,} of {serving.concurrency:,} requests of {serving.prompt_len:,} +"
            f" {serving.output_len:,} tokens run at once; the others wait for a place"
        )
        found.append(Note(code="requests-wait", text=text, model=spec.id))
    memory = predicted.engine_memory
    if memory and predicted.fits and memory.kv_cache_bytes <= 0:
        text = (
            f"{predicted.engine} with its default of {memory.max_num_seqs:,} sequences has no room for a KV cache and"
            f" does not start; this load fits with --max-num-seqs {predicted.largest_batch_size} or less"
        )
        found.append(Note(code="engine-defaults-refuse", text=text, model=spec.id))
    return found
