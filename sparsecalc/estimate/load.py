"""What a server works on: the sequences that it holds, and the requests that come in."""

from typing import Self

from sparsecalc.core.arrays import Number
from sparsecalc.core.frozen import Frozen
from sparsecalc.estimate.engine_defaults import whole_default


class Load(Frozen):
    """Sequences of `context_len` tokens that are held at once, and the prompt tokens that one step takes at most.

    `DeviceMemory` takes arrays of the first two as well.
    """

    batch_size: int = 1
    context_len: int
    max_num_batched_tokens: int


class Requests(Frozen):
    """Requests of `prompt_len` tokens with `output_len` tokens of answer, `concurrency` of them always in flight.

    For sweeps the three may be arrays that broadcast.
    """

    prompt_len: Number
    output_len: Number
    concurrency: Number

    @classmethod
    def filling(
        cls, context_len: int, concurrency: int, prompt_len: int | None = None, output_len: int | None = None
    ) -> Self:
        """Requests whose prompt and answer fill the context, as far as they are not given.

        The answer is the default, but at most a quarter of the context or what a given prompt leaves of it.
        """
        if output_len is None:
            room = context_len // 4 if prompt_len is None else context_len - prompt_len
            output_len = max(1, min(whole_default("output_len"), room))
        if prompt_len is None:
            prompt_len = max(1, context_len - output_len)
        return cls(prompt_len=prompt_len, output_len=output_len, concurrency=concurrency)
