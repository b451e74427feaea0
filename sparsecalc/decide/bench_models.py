"""Which built-in model, and which format of its weights, a row of llama-bench, Ollama or mlx-lm is of."""

import re
from collections.abc import Iterator, Mapping
from functools import cache

from sparsecalc.core.errors import InputError
from sparsecalc.core.text import brief
from sparsecalc.core.units import count
from sparsecalc.data_files import read_data
from sparsecalc.decide.anchored import params_of
from sparsecalc.decide.model_name import load_variant
from sparsecalc.library.bench_files.rows import BenchRow
from sparsecalc.library.formats import is_format
from sparsecalc.library.models import aliases, load_model, model_ids
from sparsecalc.read.config import ALIASES
from sparsecalc.read.stored.file_types import file_type_names

NEAR = 0.006
"""Relative difference of parameters up to which a model is the same: llama-bench's table has three digits."""
FAR = 0.05
"""The same for a model that the file names: a GGUF may hold layers that predict several tokens, or lack a head."""
TUNED = r"instruct|it|chat|hf|gguf|base|mlx|latest|text|thinking|qat|\d{4}|v\d(?:\.\d)?|preview|meta"
"""Words that tell fine-tuned models apart, not architectures."""
_FILE = re.compile(r"(?:-\d{5}-of-\d{5})?\.gguf$")
_FORMAT = re.compile(
    r"[-_.:](?:ud-)?(?P<dtype>(?:iq|q|tq)\d\w*|mxfp4\w*|bf16|fp?16|f32|\d-?bit\w*)(?:-g\d+)?(?:-mlx)?$", re.IGNORECASE
)


def bench_model(row: BenchRow, named: Mapping[str, str]) -> str:
    """The built-in model of a row. `named`: models by the names of files, as the user says; "" is for all others.

    By its name, else by family and number of parameters. Raises InputError where it cannot be told.
    """
    told = {name.lower(): model for name, model in named.items()}
    for name in (row.file, row.model):
        if name and name.lower() in told:
            return told[name.lower()]
    found = next(filter(None, (_by_name(name, row.params) for name in _plain_names(row))), None)
    found = found or _by_params(row)
    if found is None and "" in told:
        return told[""]
    if found is None:
        what = row.model or row.file
        text = f"no built-in model is {brief(what)}" if what else "the model is not told"
        text += f" with {count(row.params, 2)} parameters" if row.params else ""
        raise InputError(
            text, hint=f"Say it: --model '{what}=llama-3.1-8b'" if what else "Say it: --model llama-3.1-8b"
        )
    return found


def bench_dtype(row: BenchRow) -> str:
    """The format of a row's weights under our name for it. Raises InputError where it is not told, or not known."""
    told = row.dtype or next(_formats(row), None)
    if told is None:
        raise InputError("the format of the weights is not told", hint="Say it: --dtype q4_k_m")
    name = _our_format(told)
    if name is None:
        raise InputError(f"the format {brief(told)} is not known", hint="Say it: --dtype q4_k_m")
    return name


def _our_format(text: str) -> str | None:
    """`Q4_K - Medium`, `mostly Q4_0`, `IQ2_XXS - 2.0625 bpw (guessed)`, `4bit`: each as --dtype takes it."""
    plain = re.sub(r"\s*\(guessed\)|^(?:mostly|all)\s+|\s*-\s*[\d.]+ bpw.*", "", text.strip().lower())
    name, _, size = plain.partition(" - ")
    if bits := re.fullmatch(r"(\d)-?bit\w*", name):
        options = [f"int{bits[1]}-g64", f"int{bits[1]}"]  # mlx-lm's groups are of 64 unless told otherwise
        return next((each for each in options if is_format(each)), None)
    name = {"f16": "fp16", "f32": "fp32", "iq3_s mix": "iq3_m"}.get(name, re.sub(r"\W+", "_", name))
    sized = f"{name}_{size[:1]}" if size else name
    known = file_type_names()
    return next((each for each in (sized, name) if each in known or is_format(each)), None)


def _formats(row: BenchRow) -> Iterator[str]:
    for name in (row.file, row.model):
        if match := _FORMAT.search(_FILE.sub("", name)):
            yield match["dtype"]


def _plain_names(row: BenchRow) -> Iterator[str]:
    """What a row's file and model are called, without folders, parts, format and words of fine-tuning."""
    for name in (row.file, row.model):
        bare = _FILE.sub("", name.lower().rpartition("/")[2])
        while (shorter := re.sub(rf"[-_.:](?:{TUNED})$|^(?:{TUNED})[-_]", "", _FORMAT.sub("", bare))) != bare:
            bare = shorter
        if bare:
            yield bare


def _squashed(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


@cache
def _known_names() -> dict[str, str]:
    """Built-in ids and aliases by their letters and digits."""
    found = {_squashed(alias): target for alias, target in aliases().items()}
    return found | {_squashed(name): name for name in model_ids()}


def _by_name(name: str, params: float | None) -> str | None:
    found = _known_names().get(_squashed(name))
    if found and params and abs(_params(found) / params - 1) > FAR:
        return None
    return found


def _by_params(row: BenchRow) -> str | None:
    """The built-in model of the family that llama-bench names with so many parameters, or the only one near it."""
    if not row.params:
        return None
    family = row.model.partition(" ")[0]
    types = {entry["model_type"] for name, entry in _architectures().items() if name.partition("+")[0] == family}
    off = {name: abs(_params(name) / row.params - 1) for name in model_ids() if _family(name) in types}
    near = sorted((each, name) for name, each in off.items() if each < FAR)
    return near[0][1] if near and (near[0][0] < NEAR or len(near) == 1) else None


@cache
def _architectures() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = read_data("gguf_architectures.json")["architectures"]
    return found


@cache
def _family(name: str) -> str:
    own = str(load_model(name).spec.model_type)
    return ALIASES.get(own, own)


@cache
def _params(name: str) -> int:
    return params_of(load_variant(name).model)
