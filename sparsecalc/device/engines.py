"""Profiles of engines by name, backend and accelerator: what data/engines.json and data/desk_engines.json say."""

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, NamedTuple

from sparsecalc.core.errors import InputError
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief
from sparsecalc.data_files import read_data
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.device.kin import matches
from sparsecalc.device.time_constants import ELSEWHERE, Engine

GENERIC = "generic"
ALIASES = dict.fromkeys(("tensorrt-llm", "tensorrt_llm", "trt-llm"), "trtllm") | {
    **dict.fromkeys(("llamacpp", "llama-cpp", "llama_cpp", "llama-server", "lmstudio", "lm-studio"), "llama.cpp"),
    **dict.fromkeys(("ik_llama", "ik-llama", "ik-llama.cpp"), "ik_llama.cpp"),
    **dict.fromkeys(("mlx-lm", "mlx_lm"), "mlx"),
    **dict.fromkeys(("exllama", "exl3"), "exllamav3"),
}
"""Other names of engines."""
PLACES = ("arch", "accelerators", "vendors")
"""Keys of an entry that say for which accelerators it is."""
CHOICES = ("devices", "measured_on", "measured", "backends", "kernels_of", "builds", "up_to", "default_for")
NOT_OF_ENGINE = (*PLACES, *CHOICES, "kernels", "unmeasured_spread")


class EngineName(NamedTuple):
    """`llama.cpp:vulkan@b9739` in its parts; empty where none is named."""

    id: str
    backend: str
    release: str


def engine_name(text: str | None) -> EngineName:
    """The parts of an engine's name, which need not be known."""
    name, _, release = (text or GENERIC).strip().lower().partition("@")
    name, _, backend = name.partition(":")
    return EngineName(ALIASES.get(name, name), backend, release.strip())


@cache
def engines() -> dict[str, dict[str, Any]]:
    """The entries of all engines by their ids."""
    files = ("engines.json", "desk_engines.json")
    return {entry["id"]: entry for name in files for entry in read_data(name)["engines"]}


def engine_ids() -> list[str]:
    """The ids of all engine profiles."""
    return list(engines())


def engine_entry(name: str | None, gpu: Accelerator | None = None) -> Mapping[str, Any]:
    """The entry of an engine with its backend: the one that is named, else the one that it takes on an accelerator.

    Raises InputError with the closest name.
    """
    wanted = engine_name(name or _default(gpu))
    found = engines().get(wanted.id)
    if found is None:
        hint = f"Known: {', '.join(engines())}" + did_you_mean(name or "", list(engines()))
        raise InputError(f"unknown engine {brief(name or '')}", hint=hint)
    backends = {entry["backend"]: entry for entry in found.get("backends", ())}
    if wanted.backend and wanted.backend not in backends:
        hint = f"It may be {', '.join(backends)}" if backends else f"{found['name']} has no backends to choose from"
        raise InputError(f"unknown backend {brief(wanted.backend)} of {found['name']}", hint=hint)
    if not backends:
        return found
    own = backends[wanted.backend] if wanted.backend else _usual(backends, gpu)
    return {**found, **_whose_kernels(own), **own, **_build(own, wanted.release)}


def _default(gpu: Accelerator | None) -> str:
    """The engine where none is named: the usual one of the accelerator's vendor, else the generic one."""
    usual = (name for name, entry in engines().items() if gpu and gpu.vendor in entry.get("default_for", ()))
    return next(usual, GENERIC)


def _whose_kernels(backend: Mapping[str, Any]) -> dict[str, Any]:
    """The same backend of the engine whose kernels it runs; nothing where they are its own."""
    whose = engines().get(backend.get("kernels_of", ""), {}).get("backends", ())
    return next((entry for entry in whose if entry["backend"] == backend["backend"]), {})


def _build(backend: Mapping[str, Any], release: str) -> dict[str, Any]:
    """What an old build differs in; nothing for today's."""
    number = int(release[1:]) if release.startswith("b") and release[1:].isdigit() else None
    builds = (entry for entry in backend.get("builds", ()) if number is not None and number <= entry["up_to"])
    return next(builds, {})


def _usual(backends: Mapping[str, dict[str, Any]], gpu: Accelerator | None) -> dict[str, Any]:
    """The first backend for the accelerator's vendor; on a CPU that of CPUs; else the last, which runs on all."""
    if gpu and gpu.kind == "cpu" and "cpu" in backends:
        return backends["cpu"]
    others = [entry for name, entry in backends.items() if name != "cpu"]
    return next((entry for entry in others if gpu and gpu.vendor in entry["vendors"]), others[-1] if gpu else others[0])


def fitted_to(entry: Mapping[str, Any], gpu: Accelerator, without: Collection[str] = ()) -> list[dict[str, Any]]:
    """The parts of an engine's entry that are for an accelerator, but those of accelerators in `without`."""
    entries = [each for each in entry.get("devices", ()) if matches(gpu, each)]
    return [each for each in entries if not {*each.get("accelerators", ())} & {*without}]


def engine_profile(name: str | None, gpu: Accelerator | None = None, without: Collection[str] = ()) -> Engine:
    """The profile of an engine, on an accelerator where its constants depend on it; None: the generic one.

    Constants of accelerators in `without` are not used. Raises InputError with the closest name.
    """
    found = engine_entry(name, gpu)
    fields = {key: value for key, value in found.items() if key not in NOT_OF_ENGINE}
    if gpu is None:  # a device that is measured itself
        fields.pop("spread_factors", None)
    elif gpu.id not in found.get("measured_on", (gpu.id,)):
        fields["spread_factors"] = {ELSEWHERE: fields["spread_factors"][ELSEWHERE]}
    for entry in fitted_to(found, gpu, without) if gpu else ():
        fields.update({key: value for key, value in entry.items() if key not in NOT_OF_ENGINE})
    return Engine(**fields)
