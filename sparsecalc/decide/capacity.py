"""What the devices of a deployment hold: by the engine's own rules where its memory is modelled, else by a share."""

from sparsecalc.core.notes import Note
from sparsecalc.decide.engine_words import engine_release
from sparsecalc.decide.question import Question
from sparsecalc.estimate.deployment import Deployment
from sparsecalc.estimate.engine_memory.memory import EngineDevice
from sparsecalc.estimate.engine_memory.rules import engine_rules, knows_memory
from sparsecalc.estimate.fit import DeviceMemory, budget_bytes, fit, largest_batch
from sparsecalc.estimate.load import Load, Requests
from sparsecalc.estimate.results import Prediction


class Capacity:
    """One truth about memory for every command: does a load fit, and how many requests run at once."""

    def __init__(self, deployed: Deployment, question: Question) -> None:
        self.deployed, self.share = deployed, question.devices.device_memory_share
        self.engine = engine_device(deployed, question)
        self.memory = DeviceMemory(deployed.model, deployed.precision, deployed.placement)
        self.budget = budget_bytes(deployed.gpu, self.share)

    def fits(self, load: Load) -> bool:
        """Whether the devices hold a load."""
        return self.engine.fits(load) if self.engine else self.memory.at(load).total <= self.budget

    def predicted(self, load: Load) -> Prediction:
        """Fit, largest loads, and bytes in use and free."""
        one = self.deployed
        generic = fit(one.model, one.precision, load, one.gpu, one.placement, self.share)
        return self.engine.fitted(generic, load) if self.engine else generic

    def running(self, requests: Requests, load: Load) -> int:
        """Requests that run at once: those that memory holds whole, and that the engine lets in.

        All of them where not even one fits: then figures are those of devices large enough.
        """
        whole = load.but(batch_size=requests.concurrency, context_len=requests.prompt_len + requests.output_len)
        most = int(requests.concurrency)
        if not self.fits(whole):
            held = self.engine.largest_batch(whole) if self.engine else largest_batch(self.memory, whole, self.budget)
            most = held or most
        limit = self.engine.rules.max_num_seqs * self.deployed.placement.dp if self.engine else most
        return min(most, limit)


def engine_device(deployed: Deployment, question: Question) -> EngineDevice | None:
    """The busiest device as the engine fills it; None for an engine whose memory is not modelled."""
    engine = deployed.device.engine.id
    if not knows_memory(engine):
        return None
    share, most = question.devices.device_memory_share, max(question.grid.batch_sizes)
    release = engine_release(question.engine)
    rules = engine_rules(engine, deployed.gpu, deployed.placement, question.engine_options, share, most, release)
    return EngineDevice(deployed.model, deployed.precision, deployed.placement, rules)


def capacity_warnings(deployed: Deployment, question: Question, predicted: Prediction) -> list[Note]:
    """Requests that wait, a context beyond the model's own, and what host memory must hold."""
    spec, found = deployed.model.spec, []
    serving, longest = predicted.serving, spec.max_position_embeddings
    if serving and serving.waiting:
        text = (
            f"{serving.running:,} of {serving.concurrency:,} requests of {serving.prompt_len:,} +"
            f" {serving.output_len:,} tokens run at once and {serving.waiting:,} wait: TPOT and throughput are"
            f" those of the {serving.running:,}"
        )
        found.append(Note(code="requests-wait", text=text, model=spec.id))
    asked = max(question.grid.context_lens)
    if longest and asked > longest:
        text = f"a context of {asked:,} is more than the {longest:,} of its config (max_position_embeddings)"
        found.append(Note(code="context-beyond-model", text=text, model=spec.id))
    return found
