"""One model on one layout of devices, as a sweep asks it: figures of many batch sizes and contexts at once."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sparsecalc.core.arrays import each_of, most
from sparsecalc.core.largest import largest_of_each
from sparsecalc.core.workload import Workload
from sparsecalc.decide.capacity import HeldMemory, chunk_tokens, prompt_chunks
from sparsecalc.decide.deploy import drafting
from sparsecalc.decide.model_name import Variant
from sparsecalc.decide.predict import serve
from sparsecalc.decide.question import Question
from sparsecalc.decide.swept_model import GROUP_OF, SERVED, Columns, SweptModel, Tile, as_arrays, whole
from sparsecalc.estimate.closed_loop import by_formula
from sparsecalc.estimate.deployment import Deployment
from sparsecalc.estimate.fit import LARGEST_BATCH
from sparsecalc.estimate.load import Load, Requests
from sparsecalc.estimate.prices import usd_per_hour, usd_per_million_tokens
from sparsecalc.estimate.serving import MOST_CHUNKS
from sparsecalc.estimate.step import BAND

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]
FEW_POINTS = 2**12
"""Points up to which prompts of any length are computed together, chunk by chunk: fewer steps, with idle ones."""


class SweptDeployment(SweptModel):
    """A model on the devices of a deployment: whether it fits, how fast it is, what it costs."""

    def __init__(self, variant: Variant, question: Question, deployed: Deployment, replays: bool) -> None:
        """`replays`: the figures of requests are those of the replay, else by the formula."""
        super().__init__(variant, question)
        self.deployed, self.replays = deployed, replays
        self.capacity, self.draft = HeldMemory(deployed, question), drafting(question, deployed)
        self._largest: dict[tuple[int, int], int] = {}
        self._most: dict[int, int] = {}

    def place(self) -> Columns:
        """Model, formats and layout."""
        plan, one = self.deployed.placement, self.deployed
        named = {name: getattr(plan, name) for name in ("num_gpus", "tp", "pp", "dp", "ep")}
        named |= {"accelerator": one.gpu.id, "engine": one.device.engine.id, "routing": one.routing.name}
        return super().place() | named | {"usd_per_hour": self._usd_per_hour}

    @property
    def _usd_per_hour(self) -> float | None:
        return usd_per_hour(self.deployed.gpu, self.deployed.placement.num_gpus)

    def groups(self) -> dict[str, Callable[[Tile], Columns]]:
        """Those of the model, and those of its devices."""
        own = {"fit": self._fit, "largest": self._largest_batches, "device": self._device, "decode": self._decode}
        return super().groups() | own | {"prefill": self._prefill, "serving": self._serving}

    def _llama(self, load: Load) -> Any:
        return self.capacity.llama and self.capacity.llama.figures(load)

    def _fit(self, tile: Tile) -> Columns:
        return {"fits": tile.batches <= self._largest_at(tile.contexts, int(tile.batches.max()))}

    def _largest_batches(self, tile: Tile) -> Columns:
        return {"largest_batch_size": whole(self._largest_at(tile.contexts, LARGEST_BATCH))}

    def _largest_at(self, contexts: "Array", enough: int) -> "Array":
        """The largest batch that is held at each context, or `enough` where that is held."""
        import numpy as np

        wanted, back = np.unique(contexts, return_inverse=True)
        new = np.array([each for each in wanted if (int(each), enough) not in self._largest])
        if new.size:
            found = self._largest_of_each(new, enough)
            self._largest |= {(int(each), enough): int(batch) for each, batch in zip(new, found, strict=True)}
        each_one: Array = np.array([self._largest[int(each), enough] for each in wanted])[back].reshape(contexts.shape)
        return each_one

    def _largest_of_each(self, contexts: "Array", enough: int) -> "Array":
        """The same anew: all together, or one by one under an engine whose memory is modelled."""
        import numpy as np

        capacity, load = self.capacity, self.question.load
        if capacity.filled is None and self.deployed.placement.host is None:
            budget, memory = capacity.budget, capacity.memory
            together: Array = largest_of_each(
                lambda batches: memory.excess(load.but(batch_size=batches, context_len=contexts), budget) <= 0,
                np.full(contexts.shape, enough, float),
            )
            return together
        one_by_one = []
        for context in contexts:
            asked = load.but(batch_size=enough, context_len=int(context))
            fits = enough < LARGEST_BATCH and capacity.fits(asked)
            one_by_one.append(enough if fits else capacity.largest_batch(asked.but(batch_size=1)))
        return np.array(one_by_one)

    def _device(self, tile: Tile) -> Columns:
        names = GROUP_OF["device"]
        found = [self.capacity.predicted(load) for load, _ in tile.loads(self.question)]
        return as_arrays([{name: getattr(each, name) for name in names} for each in found], tile.shape)

    def _decode(self, tile: Tile) -> Columns:
        step = self.deployed.step([self.deployed.decode(tile.contexts, tile.batches)])
        return {
            "decode_seconds": step.seconds,
            "decode_seconds_low": step.seconds_low,
            "decode_seconds_high": step.seconds_high,
            "bound": step.bound,
            "tokens_per_second": tile.batches / step.seconds,
        }

    def _prefill(self, tile: Tile) -> Columns:
        import numpy as np

        prompts = tile.requests.prompt_len
        seconds, spread = self._prompt(prompts)
        per_million = usd_per_million_tokens(self._usd_per_hour, 1.0)
        return {
            "prefill_seconds": seconds,
            "prefill_seconds_low": seconds * np.exp(-BAND * spread),
            "prefill_seconds_high": seconds * np.exp(BAND * spread),
            "usd_per_million_input_tokens": None if per_million is None else per_million * seconds / prompts,
        }

    def _prompt(self, prompts: "Array") -> tuple["Array", "Array"]:
        """Seconds and spread of each prompt alone, those of as many chunks together."""
        import numpy as np

        wanted, back = np.unique(prompts, return_inverse=True)
        seconds, spread = np.empty((2, wanted.size))
        for part in self._alike(wanted, wanted.size):
            chunks = prompt_chunks(self.deployed, self.question, wanted[part])
            seconds[part], spread[part] = self._prompt_of(chunks)
        return seconds[back].reshape(prompts.shape), spread[back].reshape(prompts.shape)

    def _prompt_of(self, chunks: Sequence[Workload]) -> tuple["Array", "Array"]:
        """The same of prompts whose chunks are these; the shorter ones have no tokens in the last of them."""
        if not all((chunk.new_tokens > 0).all() for chunk in chunks):
            steps = [self.deployed.step([chunk.but(new_tokens=most(chunk.new_tokens, 1))]) for chunk in chunks]
            counts = [chunk.steps * (chunk.new_tokens > 0) for chunk in chunks]
            seconds = sum(count * step.seconds for count, step in zip(counts, steps, strict=True))
            spread = sum(count * step.seconds * step.spread for count, step in zip(counts, steps, strict=True))
            return seconds, spread / seconds
        step = self.deployed.prompt(chunks)
        return step.seconds, step.spread

    def _alike(self, prompts: "Array", points: int) -> Iterator["Array"]:
        """Places of prompts (along the last axis) that fall into the same chunks; of few points all short ones."""
        import numpy as np

        size, flat = chunk_tokens(self.deployed, self.question), prompts.ravel()
        full, rest = flat // size, flat % size > 0
        if points <= FEW_POINTS and self.deployed.placement.places is None:
            full, rest = np.where(full < MOST_CHUNKS, 0, full), rest | (full < MOST_CHUNKS)
        kinds = np.stack([full, rest])
        for kind in np.unique(kinds, axis=1).T:
            yield np.flatnonzero((kinds == kind[:, None]).all(axis=0))

    def _serving(self, tile: Tile) -> Columns:
        found = self._replayed(tile) if self.replays else self._by_formula(tile)
        rate, one = found["output_tokens_per_second"], self.deployed
        per_hour = self._usd_per_hour
        return found | {
            "joules_per_output_token_at_most": one.joules_per_token_at_most(rate),
            "usd_per_million_output_tokens": usd_per_million_tokens(per_hour, 1 / rate),
            "served_by": "replay" if self.replays else "formula",
        }

    def _replayed(self, tile: Tile) -> Columns:
        """Each point as `show` has it."""
        found = []
        for load, requests in tile.loads(self.question):
            asked = self.question.but(load=load, requests=requests)
            prompt = self.deployed.prompt(prompt_chunks(self.deployed, asked, requests.prompt_len))
            served = serve(self.deployed, asked, self.draft, self.capacity, prompt)
            found.append({name: getattr(served, name) for name in SERVED})
        return as_arrays(found, tile.shape)

    def _by_formula(self, tile: Tile) -> Columns:
        import numpy as np

        asked, running = tile.requests, self._running(tile)
        out = {name: np.empty(tile.shape) for name in SERVED} | {"running": whole(running)}
        seconds, _ = self._prompt(asked.prompt_len)
        along = tile.contexts.shape
        for part in self._alike(asked.prompt_len, running.size):
            prompts, outputs, alone = (
                np.broadcast_to(each, along)[..., part] for each in (asked.prompt_len, asked.output_len, seconds)
            )
            batches = tile.batches if tile.batches.shape[-1] == 1 else tile.batches[..., part]
            requests = Requests(prompt_len=prompts, output_len=outputs, concurrency=batches)
            chunks = prompt_chunks(self.deployed, self.question, prompts)
            found = by_formula(self.deployed, requests, running[..., part], chunks, alone, self.draft)
            for name in SERVED[1:]:
                out[name][..., part] = found[name]
        return out

    def _running(self, tile: Tile) -> "Array":
        """Requests that run at once, as `HeldMemory.running` has it."""
        import numpy as np

        whole = np.broadcast_to(tile.requests.prompt_len + tile.requests.output_len, tile.contexts.shape)
        largest = self._largest_at(whole, int(tile.batches.max()))
        running = np.where(largest > 0, np.minimum(tile.batches, largest), tile.batches)
        return np.minimum(running, each_of(self._most_sequences, tile.batches))

    def _most_sequences(self, batch: int) -> int:
        """Sequences that the engine lets in of so many."""
        if batch not in self._most:
            filled, load = self.capacity.filled, self.question.load.but(batch_size=batch)
            self._most[batch] = filled.most_sequences(load, batch) if filled else batch
        return self._most[batch]
