"""The largest -ngl, the smallest -ncmoe and the largest context that a machine holds, with the command to type."""

import shlex
from dataclasses import replace

from sparsecalc.core.largest import largest_that_fits
from sparsecalc.decide.asked_parts import Offload
from sparsecalc.decide.capacity import mlx_device
from sparsecalc.decide.deploy import deploy
from sparsecalc.decide.llama import is_llama, llama_device
from sparsecalc.decide.model_name import Variant
from sparsecalc.decide.ollama import OLLAMA, ollama_estimate
from sparsecalc.decide.placement import placement_on
from sparsecalc.decide.question import Question
from sparsecalc.decide.run_commands import llama_server
from sparsecalc.documents.show import Advice
from sparsecalc.estimate.deployment import Deployment
from sparsecalc.estimate.llama_memory.device import LlamaDevice

WHOLE = 99
"""What people type for -ngl to offload all layers."""


def advice_for(variant: Variant, question: Question) -> Advice | None:
    """Advice for a model on the first of the question's accelerators; None where its engine takes none."""
    if question.hardware is None:
        return None
    deployed = deploy(variant.model, variant.precision, question, question.devices.accelerators[0])
    return deployed_advice(deployed, question)


def deployed_advice(deployed: Deployment, question: Question) -> Advice | None:
    """Advice for a deployment; None where its engine takes none."""
    return llama_advice(deployed, question) if is_llama(deployed) else _mlx_advice(deployed, question)


def llama_advice(
    deployed: Deployment, question: Question, *, any_host: bool = False, leaves_margin: bool = True
) -> Advice:
    """Advice for a deployment under llama.cpp or its kin.

    `any_host`: with as much host memory as it takes; `leaves_margin`: of each card, as --fit does.
    """
    return _LlamaAdvice(deployed, question, any_host=any_host, leaves_margin=leaves_margin).found()


class _LlamaAdvice:
    """Tries placements as llama.cpp spells them, with --fit's margin on each card."""

    def __init__(
        self, deployed: Deployment, question: Question, *, any_host: bool = False, leaves_margin: bool = True
    ) -> None:
        self.deployed, self.question, self.any_host = deployed, question, any_host
        self.layers = deployed.model.spec.num_hidden_layers + 1
        self.margin = 0
        device = self.device(self.layers, 0)
        if leaves_margin and question.devices.device_memory_share is None and not device.room.shared:
            self.margin = device.model.rules.margin_bytes

    def device(self, gpu_layers: int, cpu_moe_layers: int) -> LlamaDevice:
        """The machine with a placement."""
        one, asked = self.deployed, self.question.parallelism
        host = asked.host.but(n_gpu_layers=gpu_layers, n_cpu_moe=cpu_moe_layers, overrides=())
        if one.gpu.kind not in ("cpu", "soc"):
            asked = asked.but(offload=Offload(), host=host)
            one = replace(one, placement=placement_on(one.model.spec, asked, one.gpu, one.device))
        found = llama_device(one, self.question)
        assert found is not None, "the engine is based on llama.cpp"
        found = found.leaving(self.margin)
        return LlamaDevice(found.model, found.room.but(host_bytes=None)) if self.any_host else found

    def fits(self, gpu_layers: int, cpu_moe_layers: int) -> bool:
        """Whether the question's load fits with a placement."""
        return self.device(gpu_layers, cpu_moe_layers).fits(self.question.load)

    def placement(self) -> tuple[int, int] | None:
        """-ngl and -ncmoe: experts leave the cards first, from the first layer on, then whole layers."""
        if self.fits(self.layers, 0):
            return self.layers, 0
        if self.deployed.gpu.kind in ("cpu", "soc"):
            return None
        spec = self.deployed.model.spec
        mixed = [at for group in spec.layer_groups if group.layer.mixtures for at in group.positions]
        last = max(mixed) + 1 if mixed else 0
        if last and self.fits(self.layers, last):
            kept = largest_that_fits(last, lambda kept: self.fits(self.layers, last - kept))
            return self.layers, last - kept
        offloaded = largest_that_fits(self.layers, lambda count: self.fits(count, last))
        return (offloaded, last) if offloaded or self.fits(0, last) else None

    def found(self) -> Advice:
        """The advice, with Ollama's own number of layers where it chooses."""
        placed, load = self.placement(), self.question.load
        gpu_layers, cpu_moe = placed or (0, 0)
        estimate = ollama_estimate(self.deployed, self.question)
        if estimate and placed and self.deployed.gpu.kind not in ("cpu", "soc"):
            gpu_layers, cpu_moe = estimate.layers_offloaded, 0
        device = self.device(gpu_layers, cpu_moe)
        if not device.model.layers_offloaded:
            gpu_layers = 0
        longest = self.deployed.model.spec.max_position_embeddings or 2**30
        return Advice(
            fits=placed is not None,
            gpu_layers=gpu_layers,
            layers=self.layers,
            cpu_moe_layers=cpu_moe,
            context_len=load.context_len,
            largest_context_len=min(longest, device.largest_context(load)) if placed else 0,
            margin_bytes=self.margin,
            host_memory_bytes=device.model.held(device.running(load))[0],
            command=self._command(device, gpu_layers, cpu_moe) if placed else "",
            modelfile=self._modelfile(device, gpu_layers) if placed and estimate else "",
        )

    def _file(self) -> str:
        spec = self.deployed.model.spec
        stored, mixed = spec.stored, self.deployed.precision.by_component
        kind = f"-{stored.name.upper()}" if stored and stored.scheme == "gguf" and not mixed else ""
        return f"{spec.id.rpartition('/')[2].removesuffix('.gguf')}{kind}.gguf"

    def _command(self, device: LlamaDevice, gpu_layers: int, cpu_moe: int) -> str:
        """`llama-server`, or how Ollama makes and runs a model of the Modelfile."""
        if self.deployed.device.engine.id == OLLAMA:
            return "ollama create my-model -f Modelfile && ollama run my-model"
        rules, running, formats = device.model.rules, device.running(self.question.load), device.model.formats
        on_devices = str(WHOLE if gpu_layers == self.layers else gpu_layers)
        small = any(each.bits_per_weight < 16 for each in (formats.keys, formats.values))
        more = ["-ncmoe", str(cpu_moe)] if cpu_moe else []
        more += ["-ub", str(rules.ubatch_size)]
        more += ["--swa-full"] if self.question.engine_options.swa_full else []
        more += [word for name, value in self.question.parallelism.host.typed for word in _split(name, value)]
        words = llama_server(
            self._file(),
            None if self.deployed.gpu.kind == "cpu" else on_devices,
            running.context_len * running.sequences,
            running.sequences,
            (_ggml(formats.keys.id), _ggml(formats.values.id)) if small else (None, None),
            [*more, "-fa", "on" if rules.flash_attention else "off"],
        )
        return shlex.join(words)

    def _modelfile(self, device: LlamaDevice, gpu_layers: int) -> str:
        context = device.running(self.question.load).context_len
        return f"FROM ./{self._file()}\nPARAMETER num_ctx {context}\nPARAMETER num_gpu {gpu_layers}"


def _split(name: str, value: object) -> list[str]:
    """Options of several cards, as they were typed."""
    return {"split_mode": ["-sm", str(value)], "tensor_split": ["-ts", str(value)]}.get(name, [])


def _ggml(name: str) -> str:
    """A format's name in llama.cpp."""
    return {"fp16": "f16", "fp32": "f32"}.get(name, name)


def _mlx_advice(deployed: Deployment, question: Question) -> Advice | None:
    """MLX holds all of a model or nothing; None for another engine."""
    device = mlx_device(deployed, question)
    if device is None:
        return None
    spec, load, fits = deployed.model.spec, question.load, device.fits(question.load)
    layers = spec.num_hidden_layers + 1
    context = min(spec.max_position_embeddings or 2**30, device.largest_context(load))
    return Advice(
        fits=fits,
        gpu_layers=layers if fits else 0,
        layers=layers,
        cpu_moe_layers=0,
        context_len=load.context_len,
        largest_context_len=context,
        margin_bytes=0,
        command=shlex.join(["mlx_lm.server", "--model", spec.id]) if fits else "",
    )
