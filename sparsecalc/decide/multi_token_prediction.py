"""Multi-token prediction: what publishers' recipes draft, and the model's prediction layers as what drafts it."""

from typing import Any

from sparsecalc.core.errors import InputError
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.notes import Note
from sparsecalc.data_files import read_data
from sparsecalc.decide.asked_parts import Speculative
from sparsecalc.decide.model_name import Variant, load_variant
from sparsecalc.decide.question import Question
from sparsecalc.estimate.deployment import Deployment, Drafting
from sparsecalc.estimate.serving import acceptance_of
from sparsecalc.model.ledgers import Ledgers
from sparsecalc.model.prediction_step import prediction_model
from sparsecalc.model.spec import Layer, ModelSpec


class PredictionRecipe(Frozen):
    """The published default of a model's multi-token prediction."""

    draft_tokens: int
    acceptance: float | None
    """Chance that a guess is accepted once those before it were; None: none is published."""
    layers: tuple[Layer, ...]
    """The decoder layers of one prediction step."""
    source: str

    @property
    def text(self) -> str:
        """`3 draft tokens, 83 % accepted`."""
        accepted = f"{self.acceptance:.0%} accepted" if self.acceptance else "no published acceptance"
        return f"{self.draft_tokens} draft token{'s' * (self.draft_tokens > 1)}, {accepted}"


def published_recipe(spec: ModelSpec) -> PredictionRecipe | None:
    """The published default (data/multi_token_prediction.json) of a model that has prediction layers; else None."""
    recipes = read_data("multi_token_prediction.json")["recipes"]
    entry = next((each for each in recipes if spec.id in each["models"]), None)
    entry = entry or next((each for each in recipes if spec.model_type in each["model_types"]), None)
    layers = spec.mtp_layers
    if not layers and entry and entry.get("layer") == "last":
        layers = (max(spec.layer_groups, key=lambda group: group.positions[-1]).layer,)
    if entry is None or not layers:
        return None
    return PredictionRecipe(
        draft_tokens=entry["draft_tokens"], acceptance=_acceptance(entry), layers=layers, source=entry["source"]
    )


def _acceptance(entry: dict[str, Any]) -> float | None:
    """What is published, as the chance of a single guess."""
    drafts, length = entry["draft_tokens"], entry.get("accepted_length")
    if "acceptance_rate" in entry:
        length = 1 + drafts * entry["acceptance_rate"]
    return acceptance_of(drafts, length) if length else entry.get("acceptance")


def prediction_drafts(deployed: Deployment, asked: Speculative) -> Drafting | None:
    """Drafts of the model's own prediction layers, as is asked or published; None: the model has no such layers.

    A draft is a step of these layers alone, within a step of the engine, whose own time it does not take again. Raises
    InputError where no acceptance is published and none is given.
    """
    recipe, layers = published_recipe(deployed.model.spec), deployed.model.spec.mtp_layers
    if recipe is None and not layers:
        return None
    tokens = asked.draft_tokens or (recipe.draft_tokens if recipe else 1)
    acceptance = asked.acceptance if asked.acceptance is not None or recipe is None else recipe.acceptance
    if acceptance is None:
        text = f"no acceptance of the {tokens} draft token(s) of {deployed.model.spec.id} is published"
        raise InputError(text, hint="Say what share of guesses is accepted: --mtp --acceptance 0.8")
    model = prediction_model(deployed.model.spec, recipe.layers if recipe else layers)
    device = deployed.device.but(engine=deployed.device.engine.but(step_seconds=0.0, sequence_seconds=0.0))
    plan = deployed.placement.but(offload="none", offload_share=0.0, places=None, host=None)
    drafter = Deployment(Ledgers(model), deployed.precision, deployed.gpu, device, plan, deployed.routing)
    return Drafting(tokens, acceptance, drafter)


def variant_of(name: str, question: Question) -> Variant:
    """The model of a question in its formats, with the parts beside it: prediction layers that draft are held too."""
    formats, parts = question.formats, question.parts_beside
    variant = load_variant(name, formats.dtype, formats.kv_cache_dtype, parts)
    if question.speculative.mtp and variant.loaded.spec.mtp and "mtp" not in parts:
        return load_variant(name, formats.dtype, formats.kv_cache_dtype, (*parts, "mtp"))
    return variant


def prediction_notes(spec: ModelSpec, asked: Speculative) -> list[Note]:
    """Whether multi-token prediction is on, and what its published default is."""
    recipe = published_recipe(spec)
    if asked.mtp and recipe is None and not spec.mtp_layers:
        text = "has no layers for multi-token prediction that are known here: decodes without"
    elif asked.mtp is None and recipe and not asked.draft_tokens:
        text = f"multi-token prediction is off, as engines start; --mtp takes the published default: {recipe.text}"
    elif asked.mtp and recipe:
        text = f"multi-token prediction; published default: {recipe.text} ({recipe.source})"
    else:
        return []
    return [Note(code="multi-token-prediction", text=text, model=spec.id)]
