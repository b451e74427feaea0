"""Two parts of a question that are typed in a notation of their own: what lies in host memory, and speculation."""

from typing import Literal, cast

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.text import brief

MOST_DRAFT_TOKENS = 64


class Offload(Frozen):
    """What lies in host memory: a share of each layer's experts, or of the layers."""

    what: Literal["none", "experts", "layers"] = "none"
    share: float = 0.0
    cpu: str = ""
    """The CPU that computes it; empty: it is sent over the link when needed."""
    text: str | None = None
    """As typed."""


class Speculative(Frozen):
    """Speculative decoding: guesses per step, the share of them that is accepted, and the model that guesses."""

    draft_tokens: int = 0
    acceptance: float | None = None
    draft_model: str | None = None
    mtp: bool | None = None
    """Whether the model's own prediction layers guess; None: not said, and they do not."""


def offload_of(text: str | None) -> Offload:
    """`experts=0.5@cpu-name`: what, which share, on which CPU it is computed (empty: sent over the link)."""
    if not text:
        return Offload()
    what, _, cpu = text.partition("@")
    kind, equals, share = what.strip().lower().partition("=")
    try:
        value = float(share) if equals else 1.0
    except ValueError:
        value = -1.0
    if kind not in ("experts", "layers") or not 0 <= value <= 1:
        hint = "Such as experts=0.5, layers=0.3, or experts=1@epyc-9654 (computed on that CPU)"
        raise InputError(f"--offload is {brief(text)}", hint=hint)
    return Offload(what=cast(Literal["experts", "layers"], kind), share=value, cpu=cpu.strip(), text=text)


def speculative_of(
    draft_tokens: int, acceptance: float | None, draft_model: str | None, mtp: bool | None = None
) -> Speculative:
    """The speculation that is asked for. Raises InputError for guesses or a share of accepted ones out of range."""
    if mtp and draft_model:
        raise InputError("--mtp and --draft-model are both given", hint="One of them guesses; leave the other out")
    if not 0 <= draft_tokens <= MOST_DRAFT_TOKENS:
        raise InputError(f"--draft-tokens is {draft_tokens}", hint=f"It must be between 0 and {MOST_DRAFT_TOKENS}")
    if acceptance is None and mtp:
        return Speculative(draft_tokens=draft_tokens, mtp=mtp)
    if (draft_tokens or mtp) and (acceptance is None or not 0 <= acceptance <= 1):
        raise InputError(
            f"--acceptance is {acceptance}", hint="Speculation needs the share of accepted guesses, 0 to 1"
        )
    return Speculative(draft_tokens=draft_tokens, acceptance=acceptance, draft_model=draft_model, mtp=mtp)
