"""`--commands`: what to type so that a model is served in the layout that was asked for, and measured there."""

from math import ceil
from pathlib import Path

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import brief
from sparsecalc.decide.advice import deployed_advice, llama_advice
from sparsecalc.decide.deploy import deploy
from sparsecalc.decide.kubernetes import kubernetes_manifest
from sparsecalc.decide.launch import How
from sparsecalc.decide.llama import is_llama
from sparsecalc.decide.model_name import Variant
from sparsecalc.decide.question import Question
from sparsecalc.decide.run_commands import LAUNCHERS, bench_command, engine_facts, run_command
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.device.engines import GENERIC
from sparsecalc.documents.show import Advice, RunCommand
from sparsecalc.estimate.deployment import Deployment
from sparsecalc.library.models import LoadedModel, is_hub_id

SERVERS = LAUNCHERS[:3]
"""Engines that serve checkpoints as they are published."""


def commands_for(name: str, variant: Variant, question: Question, advice: Advice | None = None) -> list[RunCommand]:
    """The commands of the question's engine, or of each engine where none is named, on its first accelerator.

    An engine that has no option for a part of the layout is told of with the reason, and no command. Raises InputError
    without an accelerator, and for an engine whose commands are not known.
    """
    gpu = question.devices.accelerators[0]
    deployed = deploy(variant.model, variant.precision, question, gpu)
    engine = deployed.device.engine.id
    if advice is not None:
        return [_advised(name, variant, question, engine, advice)]
    if engine not in (GENERIC, *SERVERS):
        raise InputError(f"no command is known for {engine}", hint=f"Engines: {', '.join(LAUNCHERS)}")
    engines = (
        [each for each in SERVERS if each != "trtllm" or gpu.vendor == "NVIDIA"] if engine == GENERIC else [engine]
    )
    return [_command(each, name, variant, question, deployed) for each in engines]


def _advised(name: str, variant: Variant, question: Question, engine: str, advice: Advice) -> RunCommand:
    """llama.cpp, Ollama and MLX: the advice has the command already."""
    reason = "" if advice.fits else "it does not fit, however its layers and experts are placed"
    try:
        served = served_name(name, variant, None)[0]
    except InputError as error:
        return RunCommand(engine=engine, command="", reason=str(error))
    if engine != LAUNCHERS[3] or not advice.fits:
        return RunCommand(engine=engine, command=advice.command, reason=reason)
    bench = _bench(engine, served, question)
    command = f"{advice.command} --port {engine_facts(engine)['port']}"
    return RunCommand(engine=engine, command=command, bench=bench)


def command_of(name: str, variant: Variant, dtype: str | None, deployed: Deployment, question: Question) -> str:
    """The command of a deployment's own engine; empty where it has none for it."""
    engine = deployed.device.engine.id
    if variant.loaded.spec.techniques:
        return ""
    if is_llama(deployed):  # what fits to the last byte was asked for
        return llama_advice(deployed, question, leaves_margin=False).command
    if advice := deployed_advice(deployed, question):
        return advice.command
    try:
        model, quantization = served_name(name, variant, dtype)
        how = layout_of(deployed, question)
        how["quantization"] = quantization
        return run_command(engine, model, **how)
    except InputError:
        return ""


def _bench(engine: str, model: str, question: Question) -> str:
    asked = question.requests
    lengths = {"prompt_len": asked.prompt_len, "output_len": asked.output_len}
    return bench_command(engine, model, **lengths, concurrency=int(asked.concurrency))


def _command(engine: str, name: str, variant: Variant, question: Question, deployed: Deployment) -> RunCommand:
    try:
        model, quantization = served_name(name, variant, variant.dtype or question.formats.dtype)
        how = layout_of(deployed, question)
        how["quantization"] = quantization
        command = run_command(engine, model, **how)
        manifest = _manifest(engine, model, deployed.gpu, how)
        bench = _bench(engine, model, question)
    except InputError as error:
        return RunCommand(engine=engine, command="", reason=str(error))
    return RunCommand(engine=engine, command=command, bench=bench, manifest=manifest)


def _manifest(engine: str, model: str, gpu: Accelerator, how: How) -> str:
    try:
        return kubernetes_manifest(engine, model, vendor=gpu.vendor, **how)
    except InputError:  # devices without a plugin, or several nodes that MPI starts
        return ""


def layout_of(deployed: Deployment, question: Question) -> How:
    """What an engine is told of a deployment. Raises InputError for what lies in host memory, and for guesses."""
    plan, asked, load = deployed.placement, question.engine_options, question.load
    if plan.offload != "none" or (plan.places and not is_llama(deployed)):
        raise InputError("what lies in host memory is placed by llama.cpp", hint="Name it: --engine llama.cpp")
    if question.speculative.draft_tokens or question.speculative.mtp:
        raise InputError("no command is written for speculative decoding", hint="Leave --mtp and --draft-tokens out")
    running = max(load.batch_size, int(question.requests.concurrency))
    return How(
        tp=plan.tp,
        pp=plan.pp,
        dp=plan.dp,
        ep=plan.ep,
        is_moe=bool(deployed.model.spec.mixtures),
        eplb_replicas=plan.eplb_replicas,
        kv_cache_dtype=question.formats.kv_cache_dtype,
        max_model_len=max(load.context_len, question.requests.prompt_len + question.requests.output_len),
        max_num_seqs=asked.max_num_seqs * plan.dp if asked.max_num_seqs else running if running > 1 else None,
        max_num_batched_tokens=asked.max_num_batched_tokens,
        gpu_memory_utilization=question.devices.device_memory_share,
        num_nodes=num_nodes(deployed.gpu, deployed.device.domain_size, plan.num_gpus),
    )


def num_nodes(gpu: Accelerator, domain_size: int, num_gpus: int) -> int:
    """Machines that hold so many devices: each as many as lie under one operating system, or its fast links join."""
    node_size = gpu.scale_up.node_size if gpu.scale_up else None
    return ceil(num_gpus / (node_size or domain_size))


def served_name(name: str, variant: Variant, dtype: str | None) -> tuple[str, str | None]:
    """The repository or folder that an engine loads, and what it is to quantize to while it does; None: nothing.

    A dtype that the model is published in is that checkpoint; another is made on loading. Raises InputError for sparse
    weights, of which no checkpoint is known.
    """
    loaded = variant.loaded
    if loaded.spec.techniques:
        raise InputError(f"no checkpoint of {loaded.spec.id} with {name.partition('+')[2]} is known")
    own = loaded.facts.get("hub_id") or _place(name, loaded)
    if not dtype:
        return own, None
    published = loaded.facts.get("checkpoints") or []
    found = next((each["hub_id"] for each in published if dtype.lower() in first_format(each["formats"])), None)
    return (found, None) if found else (own, dtype)


def _place(name: str, loaded: LoadedModel) -> str:
    """The folder or repository of a model that is not built in."""
    path = Path(name)
    if path.is_dir() or is_hub_id(loaded.origin):
        return name
    if path.name != "config.json":
        raise InputError(f"{brief(name)} is a config alone", hint="Engines load a folder or a repository: name it")
    return str(path.parent)


def first_format(formats: str) -> tuple[str, str]:
    """The format of most of a checkpoint's weights and its kind: `awq int4-g128, the rest bf16` is int4-g128, int4."""
    word = formats.lower().replace("awq ", "").replace("gptq ", "").split(",")[0].split()[0]
    return word, word.partition("-")[0]
