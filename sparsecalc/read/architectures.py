"""What a config's `architectures` says of its weights: an LM head, another head or none, or a draft model."""

from functools import cache
from typing import Any

from sparsecalc.core.notes import Note
from sparsecalc.core.text import printable
from sparsecalc.data_files import read_data
from sparsecalc.model.attention import Gqa
from sparsecalc.model.basic_parts import Head, Norm, Projection
from sparsecalc.read.build import Body
from sparsecalc.read.fields import Fields, whole

LM_ENDINGS = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ChatModel", "ForImageTextToText")
DRAFTS_HINT = "Draft models that are read: EAGLE-3 of Llama"


def class_of(config: dict[str, Any]) -> str:
    """The first class that `architectures` names; empty where it names none."""
    named = config.get("architectures")
    first = named[0] if isinstance(named, list) and named else named
    return first if isinstance(first, str) else ""


@cache
def class_facts() -> dict[str, Any]:
    """What classes' names say (data/model_classes.json)."""
    found: dict[str, Any] = read_data("model_classes.json")
    return found


def is_draft(name: str) -> bool:
    """Whether a class is one of speculative decoding's draft models, by the words in its name."""
    facts = class_facts()
    return name not in facts["not_drafts"] and any(word in name for word in facts["draft_words"])


def is_headless(name: str) -> bool:
    """Whether a class has another head than a language model's, or none."""
    facts = class_facts()
    if not name or name in facts["with_lm_head_despite_name"] or name.endswith(LM_ENDINGS):
        return False
    return name.endswith((*facts["heads"], *facts["no_head_endings"], *facts["refused_endings"]))


def as_named(body: Body, config: dict[str, Any], fields: Fields, name: str) -> Body:
    """The body as the class `name` has it.

    No LM head where the class has none; a score head of num_labels (and its bias) where it has that: H * num_labels.
    EAGLE-3 of Llama: `_eagle3`. Raises InputError for draft models and heads whose weights are not known.
    """
    facts = class_facts()
    if name in facts["eagle3_of_llama"] and fields.model_type == "llama":
        return _eagle3(body, config, fields)
    if is_draft(name):
        fields.refuse(f"architectures names {printable(name, 60)}, a draft model that is not read", DRAFTS_HINT)
    if not is_headless(name):
        return body
    extra = _other_head(body, config, fields, name)
    what = f"a head of {extra[-1].out_features} outputs in place of the LM head" if extra else "no LM head"
    fields.note("architecture", f"architectures names {printable(name, 60)}, which has {what}")
    body.head, body.final = None, (*body.final, *extra)
    return body


def _other_head(body: Body, config: dict[str, Any], fields: Fields, name: str) -> tuple[Projection, ...]:
    """The head of a classifier or reward model; none for an embedding model. Raises InputError where it is unknown."""
    facts, hidden = class_facts(), body.hidden_size
    if head := facts["reward_heads"].get(name):
        labels = _labels(config, fields, head["labels"])
        first = Projection(name="score.0", in_features=hidden, out_features=hidden, bias=head["bias"])
        last = Projection(name="score", in_features=hidden, out_features=labels, bias=head["bias"])
        return (first, last) if head["square"] else (last,)
    if any(layer.stack == "encoder" for layer in body.layers) or name.endswith(tuple(facts["refused_endings"])):
        fields.refuse(f"architectures names {printable(name, 60)}, whose head is not known", "Causal decoders are read")
    ending = next((ending for ending in facts["heads"] if name.endswith(ending)), None)
    if ending is None:
        return ()
    head = facts["heads"][ending]
    outputs = _labels(config, fields, 2) if head.get("labels") else head["outputs"]
    return (Projection(name="score", in_features=hidden, out_features=outputs, bias=head["bias"]),)


def _labels(config: dict[str, Any], fields: Fields, default: int) -> int:
    """num_labels, or as many as id2label has."""
    named = config.get("id2label")
    return fields.size("num_labels", default=len(named) if isinstance(named, dict) and named else default)


def _eagle3(body: Body, config: dict[str, Any], fields: Fields) -> Body:
    """EAGLE-3's draft layers (arXiv:2503.01840; vLLM 0.33.0 llama_eagle3.py).

    fc is A * T x H (A hidden states of the target, of T each); q, k and v of the first layer read 2 H; a norm of H
    more in each layer; an LM head of draft_vocab_size. The tables between the two vocabularies are no parameters.
    """
    fields.note("architecture", "a draft model (EAGLE-3): counted with its own table and LM head, as its file has them")
    hidden, eagle = body.hidden_size, config.get("eagle_config") or {}
    ids = eagle.get("eagle_aux_hidden_state_layer_ids") if isinstance(eagle, dict) else None
    states = fields.size("num_aux_hidden_states", default=len(ids) if isinstance(ids, list) and ids else 3)
    target = fields.size("target_hidden_size", default=hidden)
    vocab = fields.size("draft_vocab_size", default=body.vocab_size)
    layers = [layer.but(norms=(*layer.norms, Norm(name="hidden_norm", size=hidden))) for layer in body.layers]
    (mixer,) = layers[0].mixers
    if not isinstance(mixer, Gqa):
        fields.refuse("an EAGLE-3 draft of Llama has softmax attention")
    layers[0] = layers[0].but(mixers=(mixer.but(input_size=2 * hidden, o_bias=False),))
    combined = [Projection(name="fc", in_features=states * target, out_features=hidden)]
    norms = _eagle3_norms(config, fields, eagle, states, target)
    body.layers, body.final = layers, (*combined, *norms, *body.final)
    body.head, body.tie_word_embeddings = Head(in_features=hidden, out_features=vocab, tied=False), False
    return body


def _eagle3_norms(
    config: dict[str, Any], fields: Fields, eagle: dict[str, Any], states: int, target: int
) -> list[Norm]:
    """Norms before `fc`, of all of its input or of each hidden state."""
    fields.ignore("eagle_config", "norm_before_residual", "norm_output", "norm_before_fc", "fc_norm")
    whole_input = bool(eagle.get("norm_before_fc", config.get("norm_before_fc", False)))
    names = ["input_norm"] * whole_input + ["fc_norm"] * bool(config.get("fc_norm"))
    return [Norm(name=name, size=states * target) for name in names]


def check_experts(body: Body, config: dict[str, Any], fields: Fields) -> None:
    """Refuse a config that counts experts where no layer was read as a mixture: the family is another one.

    What says where experts stand and how wide they are changes nothing where a config says that there are none.
    """
    if any(layer.mixtures for layer in body.layers):
        return
    facts = class_facts()
    for key in facts["expert_counts"]:
        value = config.get(key)
        most = max((whole(each) for each in (value if isinstance(value, list) else [value]) if _count(each)), default=0)
        known = key in fields.used or fields.other_names.get(key, key) in fields.defaults
        if most > 1 and not known:
            text = f"{key} is {most}, but {fields.model_type} is read as a dense model"
            fields.refuse(text, "Its mixture of experts is not known here: its counts would be wrong")
    fields.ignore(*facts["expert_places"])
    if any(key in config for key in facts["expert_counts"]):
        fields.ignore(*facts["expert_counts"], *facts["expert_details"])


def _count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def other_family(name: str, model_type: str, family: str, families: dict[str, str]) -> list[Note]:
    """A note where the class that a config names belongs to another family than its model_type.

    `families` are all known model_types, aliases too, each with the family that reads it.
    """
    stem = stem_of(name)
    if not stem or stem in (squeezed(model_type), squeezed(family)) or squeezed(model_type).startswith(stem):
        return []
    known: dict[str, str | list[str]] = {squeezed(kind): reader for kind, reader in families.items()}
    known |= {squeezed(each): reader for each, reader in class_facts()["families"].items()}
    readers = known.get(stem, [])
    longer = stem.startswith((squeezed(model_type), squeezed(family))) and stem not in known
    if longer or family in ([readers] if isinstance(readers, str) else readers):
        return []
    text = f"architectures names {name}, but model_type is {model_type}: read as {family}"
    return [Note(code="architecture", text=printable(f"{text}; its counts may differ", 1000))]


def stem_of(name: str) -> str:
    """`Qwen3MoeForCausalLM` is `qwen3moe`: a class name without what it is for, in the letters of a model_type."""
    stem = name.partition("For")[0] if "For" in name else name
    for ending in ("LMHeadModel", "ChatModel", "TextModel", "EncoderModel", "Model"):
        stem = stem.removesuffix(ending)
    return squeezed(stem)


def squeezed(name: str) -> str:
    """A name in small letters without marks between words."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def same_architecture(name: str, others: list[str]) -> bool:
    """Whether a class belongs to one of these model_types or classes, by the stems of their names."""
    mine = stem_of(name)
    stems = [stem for other in others if (stem := stem_of(other))]
    return not mine or any(mine.startswith(stem) or stem.startswith(mine) for stem in stems)
