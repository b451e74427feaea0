"""One real forward pass on the meta device, set up so that a watcher sees what it multiplies.

Two kinds of module get another forward first, so that watchers see what a step really needs: attention tallies the
visible pairs (causal, windowed, chunked) instead of multiplying the full square (through transformers' public attention
registry), and experts send exactly tokens * num_experts_per_tok rows through one expert's matrices.
"""

import inspect
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from sparsecalc.core.errors import SparsecalcError, named_reason_of
from sparsecalc.measure.architecture.attention_tally import AttentionTally
from sparsecalc.measure.architecture.indexer_pools import whole_pools
from sparsecalc.measure.architecture.model_inputs import cache_argument, text_config
from sparsecalc.measure.architecture.single_expert import single_experts

NAME = "sparsecalc_count"


class CountingError(SparsecalcError):
    """The architecture builds, but its forward pass cannot be run on the meta device."""


def run_on_meta(
    model: nn.Module, tally: AttentionTally, watcher: AbstractContextManager[Any], new_tokens: int, cache: Any
) -> Any:
    """The output of one forward pass of one sequence, with attention tallied and `watcher` entered.

    Raises CountingError where the forward pass does not run on meta.
    """
    any_model: Any = model
    config = text_config(model)
    ALL_ATTENTION_FUNCTIONS.register(NAME, tally.attend)
    if getattr(config, "index_topk", None) or getattr(
        config, "indexer_budget", None
    ):  # an indexer masks its own scores, so it needs a mask to be there
        ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, _open_mask)
    top_k = getattr(config, "num_experts_per_tok", 0) or 0
    try:
        any_model.set_attn_implementation(NAME)
        with torch.device("meta"), torch.no_grad(), single_experts(model, top_k), whole_pools(model), watcher:
            return any_model(**_inputs(model, new_tokens, cache))
    except Exception as error:
        raise CountingError(f"its forward pass does not run on meta: {named_reason_of(error)}") from error
    finally:
        ALL_MASK_ATTENTION_FUNCTIONS._global_mapping.pop(NAME, None)


def _open_mask(batch_size: int, q_length: int, kv_length: int, **rest: Any) -> torch.Tensor:
    return torch.ones(batch_size, 1, q_length, kv_length, dtype=torch.bool)


def _inputs(model: nn.Module, tokens: int, cache: Any) -> dict[str, Any]:
    ids = torch.zeros(1, tokens, dtype=torch.long)
    if text_config(model).is_encoder_decoder:
        return {"input_ids": ids, "decoder_input_ids": ids, "use_cache": False}
    return {"input_ids": ids, "use_cache": True, **cache_argument(model, cache), **_source(model)}


def _source(model: nn.Module) -> dict[str, Any]:
    """What a decoder of speech attends to: the encoder's output for a whole window of audio."""
    config: Any = text_config(model)
    frames = getattr(config, "max_source_positions", None)
    if not frames or "encoder_outputs" not in inspect.signature(model.forward).parameters:
        return {}
    return {"encoder_outputs": (torch.zeros(1, frames, config.d_model, dtype=torch.bfloat16),)}
