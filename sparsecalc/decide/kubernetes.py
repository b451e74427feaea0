"""A plain Kubernetes manifest of a server: a Deployment on one node, a LeaderWorkerSet over several.

Sources: vLLM 0.33.0 docs/deployment/k8s.md and docs/deployment/frameworks/lws.md.
"""

import json
import re
import shlex
from typing import Unpack

from sparsecalc.core.errors import InputError
from sparsecalc.data_files import read_data
from sparsecalc.decide.launch import How, Launch
from sparsecalc.decide.run_commands import engine_facts, nodes_words, trtllm_config

LONGEST_NAME = 50
OWN = re.compile(r"\$\(LWS_WORKER_INDEX\)|\$\(LWS_LEADER_ADDRESS\)(:\d+)?")
"""Words that Kubernetes is to expand."""


def kubernetes_manifest(
    engine: str, model: str, *, replicas: int = 1, vendor: str = "NVIDIA", **how: Unpack[How]
) -> str:
    """YAML for `kubectl apply -f -`: `replicas` copies of the server that `run_command` starts, and a Service.

    `vendor`: of the accelerators, for their name as a resource. Raises InputError as `run_command` does, and for
    TensorRT-LLM over several nodes, which an MPI operator starts.
    """
    launch = Launch(model=model, **how)
    resource = read_data("engine_arguments.json")["gpu_resources"]["resources"].get(vendor)
    if resource is None:
        raise InputError(f"no Kubernetes resource is known for devices of {vendor}")
    if engine == "trtllm" and launch.num_nodes > 1:
        raise InputError("TensorRT-LLM over several nodes is started by MPI, for which no manifest is written")
    name, port = manifest_name(model), engine_facts(engine)["port"]
    first, *others = (
        _pod(engine, name, _command(engine, launch, words), resource, launch.num_gpus // launch.num_nodes)
        for words in nodes_words(engine, launch, "$(LWS_WORKER_INDEX)", "$(LWS_LEADER_ADDRESS)")
    )
    body = _group(name, replicas, launch.num_nodes, first, others[0]) if others else _deployment(name, replicas, first)
    return "\n".join([*body, "---", *_service(name, port, "leader" if others else None)])


def manifest_name(model: str) -> str:
    """A model's name as Kubernetes takes names: small letters, digits and dashes, a letter first."""
    last = model.rstrip("/").rpartition("/")[2].lower()
    return f"llm-{re.sub(r'[^a-z0-9]+', '-', last)}"[:LONGEST_NAME].strip("-")


def _command(engine: str, launch: Launch, words: list[str]) -> list[str]:
    """The container's command; Kubernetes expands $(NAME), so that those that are not ours are doubled."""
    listens = [] if engine == "vllm" else ["--host", "0.0.0.0"]
    words = [word if OWN.fullmatch(word) else word.replace("$(", "$$(") for word in [*words, *listens]]
    config = trtllm_config(launch) if engine == "trtllm" else []
    if not config:
        return words
    written = f"printf '%s\\n' {shlex.join(config)} > trtllm.yaml && exec {shlex.join(words)}"
    return ["sh", "-c", written]


def _pod(engine: str, name: str, command: list[str], resource: str, devices: int) -> list[str]:
    """Lines of a pod's spec: JSON strings are YAML strings."""
    facts = engine_facts(engine)
    return [
        "spec:",
        "  containers:",
        f"    - name: {name}",
        f"      image: {facts['image']}",
        "      command:",
        *(f"        - {json.dumps(word)}" for word in command),
        "      ports:",
        f"        - containerPort: {facts['port']}",
        "      resources:",
        "        limits:",
        f"          {resource}: {json.dumps(str(devices))}",
        "      volumeMounts:",
        "        - name: shm",
        "          mountPath: /dev/shm",
        "  volumes:",
        "    - name: shm",
        "      emptyDir:",
        "        medium: Memory",
    ]


def _indented(lines: list[str], by: int) -> list[str]:
    return [" " * by + line for line in lines]


def _deployment(name: str, replicas: int, pod: list[str]) -> list[str]:
    return [
        "apiVersion: apps/v1",
        "kind: Deployment",
        "metadata:",
        f"  name: {name}",
        "spec:",
        f"  replicas: {replicas}",
        "  selector:",
        "    matchLabels:",
        f"      app: {name}",
        "  template:",
        "    metadata:",
        "      labels:",
        f"        app: {name}",
        *_indented(pod, 4),
    ]


def _group(name: str, replicas: int, nodes: int, leader: list[str], worker: list[str]) -> list[str]:
    labels = ["metadata:", "  labels:", f"    app: {name}"]
    return [
        "apiVersion: leaderworkerset.x-k8s.io/v1",
        "kind: LeaderWorkerSet",
        "metadata:",
        f"  name: {name}",
        "spec:",
        f"  replicas: {replicas}",
        "  leaderWorkerTemplate:",
        f"    size: {nodes}",
        "    restartPolicy: RecreateGroupOnPodRestart",
        "    leaderTemplate:",
        *_indented([*labels, "    role: leader", *leader], 6),
        "    workerTemplate:",
        *_indented([*labels, "    role: worker", *worker], 6),
    ]


def _service(name: str, port: int, role: str | None) -> list[str]:
    return [
        "apiVersion: v1",
        "kind: Service",
        "metadata:",
        f"  name: {name}",
        "spec:",
        "  selector:",
        f"    app: {name}",
        *([f"    role: {role}"] if role else []),
        "  ports:",
        f"    - port: {port}",
        f"      targetPort: {port}",
    ]
