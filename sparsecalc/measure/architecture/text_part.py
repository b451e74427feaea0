"""The language model of a multimodal architecture, where transformers has no causal class for it alone."""

from importlib import import_module
from typing import Any

from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast


class TextPart(nn.Module):  # type: ignore[misc]
    """A text model of a multimodal class under a linear LM head, which is its input table again where that is tied."""

    def __init__(self, body: nn.Module, config: Any) -> None:
        super().__init__()
        self.model, self.config = body, config
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False, dtype=config.dtype)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.get_input_embeddings().weight

    def get_input_embeddings(self) -> Any:
        """The token table."""
        body: Any = self.model
        return body.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module:
        """The LM head."""
        return self.lm_head

    def set_attn_implementation(self, name: str) -> None:
        """Choose the attention function of all layers."""
        body: Any = self.model
        body.set_attn_implementation(name)

    def forward(self, logits_to_keep: int = 0, **inputs: Any) -> CausalLMOutputWithPast:
        """Logits of all positions, or of the last `logits_to_keep`."""
        output = self.model(**inputs)
        hidden = output.last_hidden_state[:, -logits_to_keep:] if logits_to_keep else output.last_hidden_state
        return CausalLMOutputWithPast(logits=self.lm_head(hidden), past_key_values=output.past_key_values)


def text_class(config: Any) -> type[PreTrainedModel] | None:
    """The class that holds the text layers of `config`; None where AutoModelForCausalLM builds it by itself."""
    if type(config) in AutoModelForCausalLM._model_mapping:
        return None
    module = import_module(type(config).__module__.replace("configuration_", "modeling_"))
    for member in vars(module).values():
        if not isinstance(member, type) or not issubclass(member, PreTrainedModel):
            continue
        own: Any = member
        if own.config_class is type(config) and own.__name__.endswith("TextModel"):
            return own
    return None
