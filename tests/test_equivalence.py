"""Dense equivalents: each law against published and recomputed figures, the band, the models by name, the command."""

import csv
import io
import json
from typing import Any

import pytest
from conftest import Run

from sparsecalc.core.errors import InputError
from sparsecalc.decide.dense_equivalent import dense_equivalent
from sparsecalc.decide.question import ask
from sparsecalc.estimate.quality_laws import (
    LAWS,
    Sparse,
    abnar,
    clark,
    efficiency_leverage,
    geometric_mean,
    joint,
    joint_loss,
    krajewski_loss,
    law_data,
    leverage,
    saturating,
)

TABLE = [
    # model, total, active, E, k, G, tokens (T), sqrt, leverage (not clamped), joint, Clark: all sizes in B
    ("Mixtral-8x7B", 46.7, 12.9, 8, 2, 0.57, 10, 24.5, 24.4, 18.2, 15.8),
    ("Qwen3-30B-A3B", 30.5, 3.3, 128, 8, 5.33, 36, 10.0, 23.4, 6.4, 6.0),
    ("Qwen3-235B-A22B", 235, 22, 128, 8, 5.33, 36, 71.9, 183, 41.6, 33.0),
    ("DeepSeek-V3", 671, 37, 257, 9, 7.0, 14.8, 158, 439, 88, 57),
    ("Kimi-K2", 1043, 32, 385, 9, 7.0, 15.5, 183, 465, 82, 53),
    ("gpt-oss-120b", 116.8, 5.1, 128, 4, 2.0, 10, 24.4, 37.8, 12.8, 10.5),
    ("OLMoE", 6.9, 1.3, 64, 8, 4.0, 5.1, 3.0, 4.7, 2.3, 2.1),
    ("Ling-mini-beta", 17.5, 0.855, 385, 13, 10.67, 1, 3.9, 5.6, 2.6, 2.2),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_the_laws_by_models(row: tuple[Any, ...]) -> None:
    _, total, active, experts, chosen, granularity, tokens, *expected = row
    model = Sparse(
        total_params=total * 1e9,
        active_params=active * 1e9,
        num_experts=experts,
        num_experts_per_tok=chosen,
        granularity=granularity,
        training_tokens=tokens * 1e12,
    )
    found = [geometric_mean(model), leverage(model, clamped=False), joint(model), clark(model)]
    assert [size / 1e9 for size in found] == pytest.approx(expected, rel=0.02, abs=0.06)
    assert leverage(model) <= leverage(model, clamped=False)


def test_efficiency_leverage_gives_the_papers_example() -> None:
    """arXiv:2507.17702: more than 7 at 1e22 FLOPs, 3.1 % of the experts and a granularity of 12."""
    assert efficiency_leverage(0.03125, 12, 1e22) == pytest.approx(7.22, abs=0.005)
    best = max((efficiency_leverage(0.03125, g / 10, 1e22), g / 10) for g in range(20, 400))
    assert best[1] == pytest.approx(11.3, abs=0.1)


def test_the_joint_law_gives_the_papers_coefficient() -> None:
    """arXiv:2502.05172, table 4: 21.833 for 8 experts."""
    known = law_data()["laws"]["joint_moe_2025"]["coefficients"]
    e = saturating(7, known["E_start"], known["E_max"])
    assert known["a"] * e ** known["delta"] == pytest.approx(21.84, abs=0.01)
    assert joint_loss(1e9, 1e11, 8) < joint_loss(1e9, 1e11, 1)


def test_clarks_saturation_starts_where_it_says_and_rises() -> None:
    known = law_data()["laws"]["clark_2022"]["coefficients"]["S-BASE"]
    rising = [saturating(e - 1, known["E_start"], known["E_max"]) for e in (1, 2, 8, 64, 512, 1e9)]
    assert rising[0] == pytest.approx(known["E_start"])
    assert rising == sorted(rising)
    assert rising[-1] == pytest.approx(known["E_max"], rel=1e-3)


def test_clarks_small_example() -> None:
    """arXiv:2202.01169: 5 M parameters with 128 experts are like 55 M dense ones (52 M by the rounded coefficients)."""
    small = Sparse(
        total_params=1e9,
        active_params=5e6,
        num_experts=128,
        num_experts_per_tok=1,
        granularity=1,
        training_tokens=130e9,
    )
    assert clark(small) == pytest.approx(52e6, rel=0.01)


@pytest.mark.parametrize(
    ("params", "tokens", "granularity", "loss"), [(4.3e9, 4.37e9, 8, 3.133), (4.3e10, 28.94e9, 16, 2.491)]
)
def test_krajewskis_loss_is_of_the_total(params: float, tokens: float, granularity: float, loss: float) -> None:
    """arXiv:2402.07871, table 2: 64 x 100M and 64 x 1B, where two thirds of the base are feed-forward."""
    assert krajewski_loss(params, tokens, granularity, "moe") == pytest.approx(loss, abs=0.03)


def test_one_expert_is_its_own_equivalent() -> None:
    dense = Sparse(
        total_params=2e9, active_params=2e9, num_experts=1, num_experts_per_tok=1, granularity=1, training_tokens=1e11
    )
    for law in (geometric_mean, clark, joint, abnar):
        assert law(dense) == pytest.approx(2e9, rel=1e-6)


def test_every_law_has_its_facts() -> None:
    laws = law_data()["laws"]
    assert set(laws) == set(LAWS)
    for facts in laws.values():
        assert facts["source"]
        assert facts["formula"]
        assert facts["note"]
        assert all(least <= most for least, most in facts["ranges"].values())
    for pair in laws["controlled_pairs"]["pairs"]:
        assert pair["source"]
        low, high = laws["controlled_pairs"]["coefficients"]["exponents"]
        assert low <= pair["x"] <= high


# --- the report -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mixtral-8x7b", (24.5, 18.2, 15.8)),
        ("qwen3-30b-a3b", (10.0, 6.4, 6.0)),
        ("qwen3-235b-a22b", (71.9, 41.6, 33.0)),
        ("deepseek-v3", (158, 88, 57)),
        ("kimi-k2", (183, 82, 53)),
    ],
)
def test_built_in_models_give_the_same(name: str, expected: tuple[float, ...]) -> None:
    found = {law.id: law for law in dense_equivalent(name).laws}
    sizes = [found[key].params_low / 1e9 for key in ("geometric_mean", "joint_moe_2025", "clark_2022")]
    assert sizes == pytest.approx(expected, rel=0.035)


def test_the_band_and_its_disagreement() -> None:
    found = dense_equivalent("qwen3-30b-a3b")
    assert found.quality_low is not None
    assert found.quality_middle is not None
    assert found.quality_high is not None
    assert found.active_params < found.quality_low < found.quality_middle < found.quality_high < found.total_params
    assert found.quality_high / found.quality_low > 2
    held = [law for law in found.laws if law.in_band]
    assert len(held) >= 4
    assert all(found.quality_low <= law.params_low <= law.params_high <= found.quality_high for law in held)
    assert found.quality_low < 14.8e9 < found.quality_high, "Qwen3-14B, of the same family and tokens, scores alike"
    assert "disagree" in " ".join(found.text)
    assert found.training_tokens == 36e12


def test_laws_that_leave_active_to_total_are_out_of_the_band() -> None:
    by_id = {law.id: law for law in dense_equivalent("deepseek-v3").laws}
    assert not by_id["abnar_2025"].in_band
    assert "not between active and total parameters" in by_id["abnar_2025"].outside
    assert any(text.startswith("training tokens 14.8 T") for text in by_id["clark_2022"].outside)


def test_memory_and_compute_are_exact() -> None:
    found = dense_equivalent("mixtral-8x7b")
    assert (found.memory_params, found.compute_params) == (found.total_params, found.active_params)
    sparse = dense_equivalent("llama-2-7b+2:4")
    assert 9 / 16 < sparse.memory_params / sparse.total_params < 0.6, "embedding and LM head stay dense"
    assert 0.5 < sparse.compute_params / sparse.active_params < 0.55


def test_a_dense_model_is_its_own_equivalent() -> None:
    found = dense_equivalent("llama-2-7b")
    assert found.laws == []
    assert (found.quality_low, found.quality_high) == (None, None)
    assert found.memory_params == found.compute_params == found.total_params
    assert "its dense equivalent is itself" in " ".join(found.text)
    assert all(row.model != "llama-2-7b" for row in found.neighbours if row.target != "itself")
    assert "at best it equals llama-2-7b" in " ".join(dense_equivalent("llama-2-7b+2:4").text)


def test_neighbours_are_dense_near_and_costed() -> None:
    question = ask(gpu="h100-sxm", num_gpus=8, dp=8, ep=8, routing="zipf:0.5", batch_size=16)
    found = dense_equivalent("mixtral-8x7b", question)
    targets = {row.target for row in found.neighbours}
    assert targets == {"itself", "memory", "compute", "quality"}
    near = [row for row in found.neighbours if row.target == "compute"]
    assert {near[0].model, near[1].model} == {"llama-2-13b", "llama-13b"}
    assert all(0.9 < row.size_ratio < 1.1 for row in near[:2])
    assert any(row.small for row in found.neighbours)
    for row in found.neighbours:
        assert row.tpot_seconds is not None
        assert row.usd_per_million_output_tokens is not None
        assert row.total_params == pytest.approx(row.size_ratio * row.target_params)
    alone = dense_equivalent("mixtral-8x7b").neighbours
    assert all(row.tpot_seconds is None for row in alone)


def test_training_tokens_are_known_given_or_assumed() -> None:
    assert dense_equivalent("deepseek-v3").training_tokens == 14.8e12
    assumed = dense_equivalent("mixtral-8x7b")
    assert assumed.training_tokens == 10e12
    assert any(warn.code == "training-tokens-assumed" for warn in assumed.warnings)
    given = dense_equivalent("mixtral-8x7b", training_tokens=1e12)
    assert (given.training_tokens, given.training_tokens_source) == (1e12, "as given")
    assert not any(warn.code == "training-tokens-assumed" for warn in given.warnings)
    assert any(warn.code == "quality-of-technique" for warn in dense_equivalent("mixtral-8x7b+top-k=1").warnings)


def test_an_encoder_decoder_is_refused() -> None:
    with pytest.raises(InputError, match="encoder-decoder"):
        dense_equivalent("switch-base-8")


@pytest.mark.parametrize("tokens", [0, -1, 1e19, float("nan")])
def test_bad_training_tokens(tokens: float) -> None:
    with pytest.raises(InputError, match="training-tokens"):
        dense_equivalent("mixtral-8x7b", training_tokens=tokens)


def test_the_command(quick_run: Run) -> None:
    asked = ["dense-equivalent", "qwen3-30b-a3b", "--gpu", "h100-sxm", "--batch-size", "8"]
    document = json.loads(quick_run(*asked, "--json").stdout)
    assert document["command"] == "dense-equivalent"
    assert document["inputs"]["batch_size"] == 8
    assert {law["id"] for law in document["laws"]} == set(LAWS)
    rows = list(csv.DictReader(io.StringIO(quick_run(*asked, "--format", "csv").stdout)))
    assert [row["table"] for row in rows] == ["laws"] * len(LAWS) + ["neighbours"] * len(document["neighbours"])
    table, markdown = quick_run(*asked).stdout, quick_run(*asked, "--format", "markdown").stdout
    assert "in the band" in table
    assert "Clark 2022" in markdown
    plain = quick_run("dense-equivalent", "llama-2-7b")
    assert plain.rc == 0
    assert "itself" in plain.stdout
    wrong = quick_run("dense-equivalent", "mixtral-8x7")
    assert wrong.rc == 2
    assert "mixtral-8x7b" in wrong.stderr
