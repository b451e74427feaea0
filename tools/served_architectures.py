"""Write the registries' part of data/served_architectures.json.

    python tools/served_architectures.py VLLM_FOLDER SGLANG_FOLDER

The folders are those of the unpacked packages (`vllm/`, `sglang/`); transformers is the installed one. Registries name
classes; transformers' own tables say which model_type belongs to a class, and what they lack is kept as it stands in
the data file, where it was written by hand from config classes and released configs. Its `source` and `versions` are
written by hand too.
"""

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers.models.auto import modeling_auto

ROOT = Path(__file__).resolve().parent.parent
SERVED = ROOT / "data" / "served_architectures.json"
KINDS = {
    "_TEXT_GENERATION_MODELS": "text",
    "_TRANSFORMERS_SUPPORTED_MODELS": "text",
    "_MULTIMODAL_MODELS": "multimodal",
    "_EMBEDDING_MODELS": "embedding",
    "_LATE_INTERACTION_MODELS": "embedding",
    "_REWARD_MODELS": "reward",
    "_TOKEN_CLASSIFICATION_MODELS": "classification",
    "_SEQUENCE_CLASSIFICATION_MODELS": "classification",
    "_SPECULATIVE_DECODING_MODELS": "draft",
}
"""vLLM's tables, the first that names a class says what it is; wrappers of transformers' own classes are left out."""
BY_NAME = (
    (r"NextN|MTP|Eagle|DFlash|DSpark|Draft|Assistant|Correlat|LiLiCorr", "draft"),
    (r"Classification|Ranking", "classification"),
    (r"Reward", "reward"),
    (r"Embed|Bidirectional|^(Bert|CLIP|XLMRoberta|Qwen3|Mistral|PixtralVision)Model$|Contriever", "embedding"),
)
"""SGLang says what a class is by its name only."""


def of_transformers() -> dict[str, set[str]]:
    """The model_types of each class."""
    by_class: dict[str, set[str]] = {}
    for name in dir(modeling_auto):
        if not name.endswith("MAPPING_NAMES"):
            continue
        for model_type, classes in getattr(modeling_auto, name).items():
            for each in [classes] if isinstance(classes, str) else classes:
                by_class.setdefault(each, set()).add(model_type)
    return by_class


def of_vllm(folder: Path) -> Iterator[tuple[str, str]]:
    """Class and kind of all that vLLM's registry names."""
    tree = ast.parse((folder / "model_executor" / "models" / "registry.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict) and isinstance(node.targets[0], ast.Name):
            kind = KINDS.get(node.targets[0].id)
            names = [str(key.value) for key in node.value.keys if isinstance(key, ast.Constant)]
            for name in names if kind else ():
                assert kind
                yield name, "multimodal" if kind == "text" and "ConditionalGeneration" in name else kind


def of_sglang(folder: Path) -> Iterator[tuple[str, str]]:
    """Class and kind of all that SGLang's model files offer."""
    for path in sorted((folder / "srt" / "models").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.Assign) or getattr(node.targets[0], "id", "") != "EntryClass":
                continue
            classes = node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
            for name in (each.id for each in classes if isinstance(each, ast.Name)):
                if not name.startswith(("Transformers", "TorchNative", "MindSpore")):
                    yield name, _kind(name)


def _kind(name: str) -> str:
    """What a class is by its name: text unless it says something else."""
    found = next((kind for pattern, kind in BY_NAME if re.search(pattern, name)), None)
    return found or ("multimodal" if "ConditionalGeneration" in name else "text")


def main() -> None:
    by_class = of_transformers()
    table = json.loads(SERVED.read_text())
    before: dict[str, Any] = table["architectures"]
    found: dict[str, dict[str, Any]] = {}
    folders = {"vllm": Path(sys.argv[1]), "sglang": Path(sys.argv[2])}
    for engine, pairs in (("vllm", of_vllm(folders["vllm"])), ("sglang", of_sglang(folders["sglang"]))):
        for name, kind in pairs:
            entry = found.setdefault(name, {"kind": kind, "engines": [], "model_types": []})
            entry["engines"] = sorted({*entry["engines"], engine})
            old = before.get(name, {})
            entry["kind"] = old.get("kind", entry["kind"])
            entry["model_types"] = sorted(by_class.get(name, ())) or old.get("model_types", [])
            entry.update({key: old[key] for key in ("source",) if key in old})
    table["architectures"] = dict(sorted(found.items()))
    lines = ",\n  ".join(f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in table["architectures"].items())
    head = json.dumps({key: value for key, value in table.items() if key != "architectures"}, indent=1)[:-2]
    SERVED.write_text(f'{head},\n "architectures": {{\n  {lines}\n }}\n}}\n')


if __name__ == "__main__":
    main()
