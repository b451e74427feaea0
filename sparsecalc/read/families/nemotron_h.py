"""Nemotron-H, Nano 2, Nemotron 3: layers that are one of Mamba 2, attention, a plain MLP or experts, by a pattern.

A prediction step has layers of its own pattern, an extra map and three norms (vLLM 0.33.0, nemotron_h_mtp.py).
"""

from sparsecalc.core.text import brief
from sparsecalc.read.build import FULL, Body, body
from sparsecalc.read.fields import Fields
from sparsecalc.read.nemotron_h import LINEAR, OLD_NAMES, PLAIN, SPARSE, ignore_of_all_kinds, nemotron_layer
from sparsecalc.read.prediction_layers import count_mtp, mtp_steps
from sparsecalc.read.vendor_keys import note_mtp

LETTERS = {"M": LINEAR, "*": FULL, "-": PLAIN, "E": SPARSE}


def read(config: Fields) -> Body:
    hidden = config.size("hidden_size", required=True)
    kinds = _pattern(config)
    found = {kind: nemotron_layer(config, hidden, kind) for kind in (LINEAR, FULL, PLAIN, SPARSE) if kind in kinds}
    ignore_of_all_kinds(config)
    step = [nemotron_layer(config, hidden, kind) for kind in _prediction_kinds(config)]
    if step:
        count_mtp(config, [step] * mtp_steps(config), hidden)
    else:
        note_mtp(config, as_deepseek=False)
    return body(config, [found[kind] for kind in kinds], hidden=hidden, tied=False)


def _prediction_kinds(config: Fields) -> list[str]:
    """Kinds of the layers of one prediction step; none where the config does not say them, or says unknown ones."""
    letters, given = config.text("mtp_hybrid_override_pattern", default=None), config.sequence("mtp_layers_block_type")
    kinds = [LETTERS.get(each, each) for each in letters or ()]
    if given is not None:
        kinds = [OLD_NAMES.get(each, each) if isinstance(each, str) else "" for each in given]
    return kinds if mtp_steps(config) and set(kinds) <= {FULL, SPARSE} else []


def _pattern(config: Fields) -> list[str]:
    """Kinds of the layers, from layers_block_type or the older hybrid_override_pattern; num_hidden_layers follows."""
    letters, given = config.text("hybrid_override_pattern", default=None), config.sequence("layers_block_type")
    if given is None and not letters:
        config.refuse("hybrid_override_pattern is missing", "It names the kind of each layer, as in MEM*-")
    kinds = [LETTERS.get(each, each) for each in letters]
    if given is not None:
        kinds = [OLD_NAMES.get(each, each) if isinstance(each, str) else brief(each) for each in given]
    wrong = next((kind for kind in kinds if kind not in LETTERS.values()), None)
    if wrong is not None:
        config.refuse(f"the layer pattern holds {brief(wrong)}", f"Known are {', '.join(LETTERS.values())}")
    count = config.optional_size("num_hidden_layers", default=None)
    if count is not None and count != len(kinds):
        config.note("conflicting-keys", f"num_hidden_layers is {count}; the pattern's {len(kinds)} layers are counted")
    return kinds
