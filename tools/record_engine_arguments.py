"""Record the options of vLLM's and SGLang's own parsers in data/engine_arguments.json, read from their source text.

python tools/record_engine_arguments.py VLLM_SOURCE SGLANG_PACKAGE

VLLM_SOURCE: an unpacked sdist of vLLM; SGLANG_PACKAGE: the folder `sglang` of its wheel. Nothing of them is imported.
The other programs' options were read off the pages that the file names, and stay as they are.
"""

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

DATA = Path(__file__).resolve().parent.parent / "data" / "engine_arguments.json"
SERVE_FILES = ("engine/arg_utils.py", "entrypoints/cli/serve.py", "entrypoints/serve/utils/api_utils.py")


def main() -> None:
    """Write the file anew."""
    vllm, sglang = (Path(each) for each in sys.argv[1:3])
    found = json.loads(DATA.read_text(encoding="utf-8"))
    programs = found["programs"]
    programs["vllm serve"]["options"] = dict(sorted(vllm_serve(vllm / "vllm").items()))
    programs["vllm bench serve"]["options"] = dict(sorted(vllm_bench(vllm / "vllm").items()))
    programs["python -m sglang.launch_server"]["options"] = dict(sorted(sglang_server(sglang / "srt").items()))
    DATA.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def kind_of(annotation: str) -> str | list[str]:
    """`switch`, `int`, `float` or `str` of a type as it is written; the values of a Literal."""
    if values := re.findall(r"Literal\[([^\]]*)\]", annotation):
        return re.findall(r"[\"']([^\"']+)[\"']", ",".join(values)) or "str"
    words = set(re.findall(r"\w+", annotation))
    return next(
        (name for word, name in (("bool", "switch"), ("int", "int"), ("float", "float")) if word in words), "str"
    )


def vllm_serve(package: Path) -> dict[str, str | list[str]]:
    """Options of `vllm serve`: names from add_argument, kinds from the fields of the configs that they are made of."""
    fields = dict(config_fields(package / "config"))
    fields["kv_cache_dtype"] = literal(package / "config/cache.py", "CacheDType")
    fields["quantization"] = literal(package / "model_executor/layers/quantization/__init__.py", "QuantizationMethods")
    found: dict[str, str | list[str]] = {}
    for path in (package / "engine/arg_utils.py", *sorted((package / "entrypoints").rglob("cli_args.py"))):
        for names, _ in added(path):
            known = (fields[field] for name in names if (field := name.lstrip("-").replace("-", "_")) in fields)
            found |= dict.fromkeys(names, next(known, "str"))
    for name in ("--host", "--port", "--headless"):
        found[name] = {"--port": "int", "--headless": "switch"}.get(name, "str")
    return found


def config_fields(folder: Path) -> Iterator[tuple[str, str | list[str]]]:
    """Fields of config classes and their kinds."""
    for path in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                yield node.target.id, kind_of(ast.unparse(node.annotation))


def literal(path: Path, name: str) -> list[str]:
    """The values of a Literal that a module defines."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id == name and node.value:
                return [each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant)]
    raise SystemExit(f"{path} has no {name}")


def added(path: Path) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Names of each option that a file adds to a parser, and its keywords as they are written."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            names = [str(each.value) for each in node.args if isinstance(each, ast.Constant)]
            if names and names[0].startswith("-"):
                yield names, {each.arg: ast.unparse(each.value) for each in node.keywords if each.arg}


def vllm_bench(package: Path) -> dict[str, str | list[str]]:
    """Options of `vllm bench serve`."""
    found: dict[str, str | list[str]] = {}
    for path in (package / "benchmarks/serve.py", package / "benchmarks/datasets/datasets.py"):
        for names, how in added(path):
            kind = how.get("type", "switch" if "store_true" in how.get("action", "") else "str")
            found |= dict.fromkeys(names, kind if kind in ("int", "float", "switch") else "str")
    return found


def sglang_server(srt: Path) -> dict[str, str | list[str]]:
    """Options of `sglang.launch_server`: its fields, with their other names."""
    quantizations = literal(srt / "arg_groups/choices.py", "QUANTIZATION_CHOICES")
    found: dict[str, str | list[str]] = {}
    for path in sorted((srt / "arg_groups/fields").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.AnnAssign) and isinstance(node.annotation, ast.Subscript)):
                continue
            kind, *rest = getattr(node.annotation.slice, "elts", [node.annotation.slice])
            if ast.unparse(node.annotation.value) != "A":
                continue
            how = next((each for each in rest if isinstance(each, ast.Call)), None)
            keywords = {each.arg: each.value for each in how.keywords} if how else {}
            if "no_cli" in keywords:
                continue
            choices = keywords.get("choices")
            values = ast.literal_eval(choices) if isinstance(choices, ast.List) else None
            name = ast.unparse(node.target)
            values = quantizations if name == "quantization" else values
            aliases = ast.literal_eval(keywords["aliases"]) if "aliases" in keywords else []
            spelled = [f"--{name.replace('_', '-')}", *aliases]
            strings = values if values and all(isinstance(each, str) for each in values) else None
            found |= dict.fromkeys(spelled, strings or kind_of(ast.unparse(kind)))
    return found


if __name__ == "__main__":
    main()
