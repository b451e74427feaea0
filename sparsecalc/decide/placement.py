"""From the parallelism that is asked for to a placement: tp, pp, ep and dp, and what lies in host memory."""

from sparsecalc.core.errors import InputError
from sparsecalc.decide.asked_host import MOST_CARDS
from sparsecalc.decide.asked_parts import Offload
from sparsecalc.decide.host import host_for
from sparsecalc.decide.question import Parallelism
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.device.engines import GENERIC
from sparsecalc.device.time_constants import DeviceModel
from sparsecalc.estimate.host import HostRules, host_rules, host_table
from sparsecalc.estimate.placement import Placement, attention_heads
from sparsecalc.estimate.places import LlamaLayers, places
from sparsecalc.model.spec import ModelSpec


def placement_on(spec: ModelSpec, parallelism: Parallelism, gpu: Accelerator, device: DeviceModel) -> Placement:
    """The placement on an accelerator under its engine, with what lies in host memory.

    llama.cpp and its kin keep the input embedding in host memory, whatever is asked. `--offload ...=S@CPU` means the
    first layers, S of them: their experts (as -ncmoe), or all of them (as -ngl). Raises InputError for llama.cpp's
    options under an engine that has others, and as `placement_for` does.
    """
    asked, offload, engine = parallelism.host, parallelism.offload, device.engine.id
    if asked.places_layers and engine != GENERIC and engine not in host_table()["engines"]:
        hint = "Name its engine: --engine llama.cpp"
        raise InputError(f"-ngl, -ncmoe, -ot, -sm and -ts are llama.cpp's, and the engine is {engine}", hint=hint)
    if asked.places_layers and offload.text:
        raise InputError("--offload is given beside -ngl, -ncmoe, -ot, -sm or -ts", hint="Leave one of them out")
    told = asked.places_layers or bool(offload.cpu) or asked.host is not None
    kept = host_rules(engine).keeps_input and gpu.kind != "soc"
    if gpu.kind == "cpu" or not (told or kept) or (offload.what != "none" and not offload.cpu):
        return placement_for(spec, parallelism, device.domain_size)
    plan, cards = _on_cards(spec, parallelism, device)
    host = host_for(asked.host, offload.cpu, asked.threads, gpu, device)
    return plan.but(places=places(spec, _placed(spec, parallelism, cards, host.rules)), host=host)


def _on_cards(spec: ModelSpec, parallelism: Parallelism, device: DeviceModel) -> tuple[Placement, int]:
    """How the devices share the model, and those that llama.cpp tells apart: by layers unless rows are asked for."""
    asked, takes_turns = parallelism.host, host_rules(device.engine.id).keeps_input or parallelism.host.places_layers
    if not takes_turns:
        return placement_for(spec, parallelism.but(offload=Offload()), device.domain_size), 1
    if (parallelism.dp or 1) > 1 or (parallelism.ep or 1) > 1 or parallelism.expert_parallel:
        raise InputError("llama.cpp splits a model by layers or rows: no --dp and no --ep", hint="Leave them out")
    tp, pp = parallelism.tp or 1, parallelism.pp or 1
    if (tp > 1 and pp > 1) or tp * pp not in (1, parallelism.num_devices):
        text = f"tp {tp} x pp {pp} of {parallelism.num_devices} devices: llama.cpp splits by layers or by rows alone"
        raise InputError(text, hint="Say how many with --num-gpus, and --split-mode layer or row")
    count = 1 if asked.split_mode == "none" else parallelism.num_devices
    if count > MOST_CARDS:
        raise InputError(f"{count} devices are more than the {MOST_CARDS} that llama.cpp takes")
    rows = asked.split_mode == "row" or (asked.split_mode is None and tp > 1)
    return Placement(tp=count if rows else 1, pp=1 if rows else count), count


def _placed(spec: ModelSpec, parallelism: Parallelism, cards: int, rules: HostRules) -> LlamaLayers:
    """What llama.cpp is told, with --offload in its words."""
    offload = parallelism.offload
    asked = parallelism.host.placed(cards).but(keeps_input=rules.keeps_input)
    asked = asked.but(by_rows=asked.by_rows or (parallelism.host.split_mode is None and (parallelism.tp or 1) > 1))
    if offload.what == "layers":
        layers = spec.num_hidden_layers
        return asked.but(gpu_layers=layers + 1 - round(offload.share * layers))
    if offload.what == "experts" and offload.share:
        mixed = sorted(at for group in spec.layer_groups if group.layer.mixtures for at in group.positions)
        count = round(offload.share * len(mixed))
        return asked.but(cpu_moe_layers=mixed[count - 1] + 1 if count else 0)
    return asked


def placement_for(spec: ModelSpec, parallelism: Parallelism, domain_size: int) -> Placement:
    """The placement that is asked for; what is left open follows from the number of devices.

    tp: the largest part of the devices inside the fast links that divides all attention heads; the rest is pp.
    Raises InputError where the parts do not multiply to the number of devices, or the model cannot be split so.
    """
    dp, given = parallelism.dp or 1, parallelism.num_gpus
    tp, pp = parallelism.tp, parallelism.pp
    if tp is None and pp is None:
        tp, pp = _split(spec, max(1, (given or dp) // dp), domain_size)
    tp = tp or max(1, (given or 1) // ((pp or 1) * dp))
    pp = pp or (max(1, given // (tp * dp)) if given else 1)
    if given is not None and tp * pp * dp != given:
        raise InputError(
            f"tp {tp} x pp {pp} x dp {dp} is {tp * pp * dp}, not {given} GPUs", hint="Leave --num-gpus out"
        )
    offload = parallelism.offload
    plan = Placement(
        tp=tp,
        pp=pp,
        dp=dp,
        ep=parallelism.ep or (tp * dp if parallelism.expert_parallel and spec.mixtures else 1),
        eplb_replicas=parallelism.eplb_replicas,
        offload=offload.what,
        offload_share=offload.share,
    )
    plan.check_against(spec)
    return plan


def _split(spec: ModelSpec, devices: int, domain_size: int) -> tuple[int, int]:
    heads = attention_heads(spec)
    for tp in range(min(devices, domain_size), 0, -1):
        if devices % tp == 0 and all(count % tp == 0 for count in heads):
            return tp, devices // tp
    return 1, devices
