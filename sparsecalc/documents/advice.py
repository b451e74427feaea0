"""What to type so that a model fits a machine under llama.cpp, Ollama or MLX."""

from sparsecalc.core.frozen import Frozen


class Advice(Frozen):
    """The most of a model that the devices hold, and the command that starts it."""

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
    modelfile: str = ""
    """Lines of Ollama's Modelfile; empty under other engines."""
