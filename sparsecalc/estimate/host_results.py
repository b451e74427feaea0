"""What a prediction says of the host."""

from sparsecalc.core.frozen import Frozen


class HostPrediction(Frozen):
    """What lies in host memory, and what the host is taken to be."""

    name: str
    """The host as it was named, or `typical desktop`."""
    cpu: str
    """Id of the CPU whose cores compute."""
    cores: int | None
    """Cores of the CPU; None where they are not known."""
    threads: int | None
    """Threads that compute; None: one for each core."""
    memory_bytes_per_second: float
    """Rate at which its memory is read."""
    link_bytes_per_second: float
    """One direction of the link to a device, after protocol losses."""
    capacity_bytes: int | None
    """Bytes of its memory; None where they are not known, and then nothing is checked."""
    usable_bytes: int | None
    """Of them those that are left to the model."""
    weights_bytes: int
    """Bytes of weights in host memory."""
    kv_cache_bytes: int
    """Bytes of KV cache and states in host memory."""
    gpu_layers: int
    """Layers on devices, the output as one more, as llama.cpp counts them (`offloaded 33/33 layers to GPU`)."""
    num_layers: int
    """All layers, the output as one more."""
    expert_layers_on_host: int
    """Layers on devices of which experts or other tensors lie in host memory."""
    paged_bytes: int
    """Bytes that do not fit host memory: they are read from disk when they are used; 0: all fit."""
    paged_seconds_per_token: float
    """Seconds of a decode step that go to reading them; 0 too where a server's memory is only its usual size."""
