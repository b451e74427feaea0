"""Multi-token prediction: published defaults, what drafts cost, and what is said where nothing is asked."""

import pytest

from sparsecalc.core.errors import InputError
from sparsecalc.core.workload import Workload
from sparsecalc.data_files import read_data
from sparsecalc.decide.compare import compare
from sparsecalc.decide.multi_token_prediction import published_recipe
from sparsecalc.decide.question import ask
from sparsecalc.decide.show import show
from sparsecalc.decide.simulate import simulate
from sparsecalc.decide.simulation_question import asked_of
from sparsecalc.documents.show import ShowReport
from sparsecalc.estimate.results import Speculation
from sparsecalc.estimate.serving import acceptance_of, accepted_tokens
from sparsecalc.library.models import load_model
from sparsecalc.model.prediction_step import prediction_model
from sparsecalc.reports.formats import render

RECIPES = read_data("multi_token_prediction.json")["recipes"]


def shown(model: str = "deepseek-v3", **asked: object) -> ShowReport:
    return show(model, ask(**{"gpu": "h200-sxm", "num_gpus": 8, "dtype": "fp8"} | asked))  # type: ignore[arg-type]


def notes(report: ShowReport) -> list[str]:
    return [note.text for note in report.warnings if note.code == "multi-token-prediction"]


@pytest.mark.parametrize(("drafts", "acceptance"), [(1, 0.85), (3, 0.6), (5, 0.95), (2, 0.0), (4, 1.0)])
def test_acceptance_is_the_inverse_of_accepted_tokens(drafts: int, acceptance: float) -> None:
    assert acceptance_of(drafts, accepted_tokens(drafts, acceptance)) == pytest.approx(acceptance, abs=1e-7)


def test_more_than_all_is_all() -> None:
    assert acceptance_of(2, 3.5) == pytest.approx(1)


def test_two_tokens_at_85_percent_are_1_85() -> None:
    """DeepSeek-V3 report, section 5.4.3."""
    recipe = published_recipe(load_model("deepseek-v3").spec)
    assert recipe
    assert (recipe.draft_tokens, recipe.acceptance) == (1, 0.85)
    assert accepted_tokens(1, 0.85) == pytest.approx(1.85)


def test_lengths_and_rates_are_read_as_chances_of_one_guess() -> None:
    glm, qwen = (published_recipe(load_model(name).spec) for name in ("glm-5", "qwen3.8-27b"))
    assert glm
    assert glm.acceptance
    assert accepted_tokens(3, glm.acceptance) == pytest.approx(3.48)
    assert qwen
    assert qwen.acceptance
    assert accepted_tokens(3, qwen.acceptance) == pytest.approx(1 + 3 * 0.922)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe["models"] or recipe["model_types"])
def test_recipes_are_of_models_with_prediction_layers(recipe: dict[str, object]) -> None:
    assert recipe["source"]
    assert len({"acceptance", "acceptance_rate", "accepted_length"} & set(recipe)) <= 1
    for name in recipe["models"]:  # type: ignore[attr-defined]
        found = published_recipe(load_model(name).spec)
        assert found, name
        assert found.source == recipe["source"]


def test_models_without_such_layers_have_no_recipe() -> None:
    for name in ("llama-3.1-8b", "kimi-k2", "mixtral-8x7b"):
        assert published_recipe(load_model(name).spec) is None


def test_a_prediction_step_is_a_layer_a_map_and_the_head() -> None:
    """DeepSeek-V3: 11.6 B in the layer and its map, as --with mtp counts them, and the shared embedding and head."""
    spec = load_model("deepseek-v3").spec
    model = prediction_model(spec, spec.mtp_layers)
    shared = 2 * spec.vocab_size * spec.hidden_size
    counted = sum(part.params for part in spec.mtp)
    assert model.ops(Workload()).total("params") == pytest.approx(counted + shared, rel=1e-5)


def test_deepseek_v3_is_about_1_8_times_as_fast() -> None:
    """Its report says 1.8 times the tokens per second; verifying two tokens reads more experts, which costs some."""
    speculation = _speculation(shown(mtp=True))
    assert speculation.draft_tokens == 1
    assert speculation.accepted_tokens == pytest.approx(1.85)
    assert 1.5 < speculation.speedup < 1.85


def _speculation(report: ShowReport) -> Speculation:
    assert report.prediction
    assert report.prediction.speculation
    return report.prediction.speculation


def test_a_draft_costs_about_a_layer_of_the_model() -> None:
    """One of 62 layers, the map and the head: some percent of a step without the engine's own time."""
    speculation = _speculation(shown(mtp=True, batch_size=32))
    assert 0.01 < speculation.draft_seconds / speculation.verify_seconds < 0.08


def test_drafts_pay_less_in_large_batches() -> None:
    speedups = [_speculation(shown("glm-4.5", mtp=True, batch_size=batch)).speedup for batch in (1, 256)]
    assert speedups[0] > speedups[1]


def test_own_figures_go_before_published_ones() -> None:
    speculation = _speculation(shown(mtp=True, draft_tokens=2, acceptance=0.5))
    assert (speculation.draft_tokens, speculation.acceptance) == (2, 0.5)
    assert _speculation(shown(mtp=True, draft_tokens=2)).acceptance == 0.85


def test_what_is_not_asked_is_off_and_said() -> None:
    plain = shown()
    assert plain.prediction
    assert plain.prediction.speculation is None
    (text,) = notes(plain)
    assert "off" in text
    assert "1 draft token, 85% accepted" in text
    assert notes(shown(mtp=False)) == []
    assert notes(shown("llama-3.1-8b", num_gpus=1)) == []
    assert shown(mtp=False).prediction == plain.prediction


def test_a_model_without_such_layers_decodes_without() -> None:
    report = shown("llama-3.1-8b", num_gpus=1, mtp=True)
    assert report.prediction
    assert report.prediction.speculation is None
    assert "no layers for multi-token prediction" in notes(report)[0]


def test_layers_that_draft_are_held() -> None:
    drafting, plain = shown(mtp=True).memory.weights_bytes, shown().memory.weights_bytes
    assert drafting - plain > 11e9


def test_what_is_not_published_must_be_said() -> None:
    with pytest.raises(InputError, match="no acceptance"):
        shown("qwen3.6-27b", num_gpus=1, mtp=True)
    assert _speculation(shown("qwen3.6-27b", num_gpus=1, mtp=True, acceptance=0.8)).draft_tokens == 3
    with pytest.raises(InputError, match="--draft-model"):
        ask(gpu="h100", mtp=True, draft_model="qwen3-0.6b")
    with pytest.raises(InputError, match=r"--acceptance is 1\.5"):
        ask(gpu="h100", mtp=True, acceptance=1.5)


def test_models_with_and_without_stand_side_by_side() -> None:
    asked = ask(gpu="h200-sxm", num_gpus=8, dtype="fp8", mtp=True)
    text = render(compare(["llama-3.1-70b", "deepseek-v3"], asked), "markdown")
    (row,) = [line for line in text.splitlines() if line.startswith("| speculation")]
    assert "none" in row
    assert "x as fast" in row


def test_a_replay_drafts_too() -> None:
    def tokens_per_second(**more: object) -> float:
        question = ask(**{"gpu": "h200-sxm", "num_gpus": 8, "dtype": "fp8", "concurrency": 4} | more)  # type: ignore[arg-type]
        report = simulate(["deepseek-v3"], question, asked_of({"concurrency": 4, "requests": 24, "prompt_len": "500"}))
        return report.models[0].simulation.output_tokens_per_second

    assert tokens_per_second(mtp=True) > 1.3 * tokens_per_second(mtp=False)
