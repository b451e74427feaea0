"""Crossings: all of a curve's, closed forms with their published figures, both models' curves, the command."""

import csv
import io
import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsecalc.core.errors import InputError
from sparsecalc.core.sign_changes import middle_of_integers, middle_within, sign_changes
from sparsecalc.decide.crossover import crossover
from sparsecalc.decide.question import ask
from sparsecalc.documents.crossover import CrossoverReport
from sparsecalc.estimate.break_even import ridge_tokens, t_hi, t_lo
from sparsecalc.reports.views.crossover import MARK_A, MARK_B, view

H100 = ask(gpu="h100-sxm")
TWO_H100 = ask(gpu="h100-sxm", num_gpus=2)


def at(report: CrossoverReport, cost: str) -> list[float]:
    return [crossing.at for crossing in report.crossings if crossing.cost == cost]


@pytest.fixture
def dense_layer(tmp_path: Path) -> str:
    """A dense gated MLP of 4,096 x 51,200, against which mixtures of experts were measured."""
    path = tmp_path / "dense.json"
    shape = {"hidden_size": 4096, "intermediate_size": 51200, "num_hidden_layers": 1, "vocab_size": 32000}
    heads = {"num_attention_heads": 32, "num_key_value_heads": 8}
    path.write_text(json.dumps({"model_type": "llama", **shape, **heads}))
    return str(path)


# --- finding the crossings ------------------------------------------------------------------------------------------


def test_every_crossing_of_a_curve_is_found() -> None:
    roots = [3.3, 17.2, 190.6, 2500.5, 9000.4]
    grid = [2**step for step in range(15)]
    found = sign_changes(lambda x: math.prod(math.log(x / root) for root in roots), grid, middle_of_integers)
    assert found == [(math.floor(root), math.ceil(root)) for root in roots]


def test_a_dip_inside_one_cell_of_the_grid_is_found() -> None:
    """Between 1,024 and 2,048 the curve dips below zero and is back before the next point of the grid."""
    grid = [2**step for step in range(15)]
    found = sign_changes(lambda x: abs(math.log(x / 1500)) - 0.1, grid, middle_of_integers)
    assert found == [(1357, 1358), (1657, 1658)]


def test_jumps_ties_and_touches() -> None:
    step = sign_changes(lambda x: -1.0 if x < 33 else 1.0, [1, 4, 16, 64], middle_of_integers)
    assert step == [(32, 33)]
    tie = sign_changes(lambda x: float(x - 16), [1, 4, 16, 64], middle_of_integers)
    assert len(tie) == 1
    assert tie[0][0] <= 16 <= tie[0][1]
    assert sign_changes(lambda x: float((x - 16) ** 2), [1, 4, 16, 64], middle_of_integers) == []
    assert sign_changes(lambda x: 0.0, [1, 2, 3], middle_of_integers) == []


@given(st.lists(st.integers(0, 29), min_size=1, max_size=6, unique=True))
@settings(max_examples=50)
def test_roots_in_cells_of_their_own_are_all_found(cells: list[int]) -> None:
    roots = sorted(cell + 0.437 for cell in cells)
    found = sign_changes(lambda x: math.prod(x - root for root in roots), range(31), middle_within(1e-6))
    assert [low for low, _ in found] == pytest.approx(roots, abs=1e-5)


# --- closed forms ---------------------------------------------------------------------------------------------------


def test_t_lo_of_the_whole_models() -> None:
    """Against the dense model of sqrt(total * active): 2.5 tokens for Mixtral, 5.2 for Qwen3-235B-A22B."""
    mixtral = (24.5 - (46.7 - 8 * 5.637)) / 5.637
    assert t_lo(8, 2, mixtral) == pytest.approx(2.5, abs=0.1)
    per_expert = 94 * 3 * 4096 * 1536 / 1e9
    qwen = (71.9 - (235 - 128 * per_expert)) / per_expert
    assert t_lo(128, 8, qwen) == pytest.approx(5.2, abs=0.1)


def test_t_hi_of_one_layer() -> None:
    """Against a dense MLP of width 51,200: 660 tokens for Mixtral; of the geometric mean: 1,180 for Qwen3-235B-A22B."""
    ridge = ridge_tokens(989.4e12, 3.35e12, 2)
    assert ridge == pytest.approx(295, abs=0.5)
    assert t_hi(ridge, 8 * 14336, 51200) == pytest.approx(660, rel=0.01)
    assert t_hi(ridge, 128 * 1536, math.sqrt(128 * 8) * 1536) == pytest.approx(1180, rel=0.01)


def test_t_lo_where_there_is_none() -> None:
    assert t_lo(8, 2, 8) is None
    assert t_lo(8, 2, 0) is None
    assert t_lo(8, 2, 2) == pytest.approx(1)
    distinct = 8 * (1 - (1 - 2 / 8) ** 5)
    assert t_lo(8, 2, distinct) == pytest.approx(5)


@pytest.mark.parametrize(
    ("model", "lo", "hi"), [("mixtral-8x7b", (1, 4), (512, 1024)), ("qwen3-235b-a22b", (4, 8), (512, 1260))]
)
def test_the_losing_window_that_was_measured(dense_layer: str, model: str, lo: Any, hi: Any) -> None:
    """TensorRT-LLM's experts against a dense MLP on H100: slower between these tokens, faster outside of them."""
    found = crossover(model, dense_layer, over="tokens", question=H100)
    start, end = at(found, "seconds")
    assert lo[0] < start < lo[1]
    assert hi[0] < end < hi[1]
    forms = found.closed_forms
    assert forms is not None
    assert forms.t_lo is not None
    assert at(found, "bytes_read") == [pytest.approx(forms.t_lo, abs=0.1)]
    assert forms.t_hi == pytest.approx(end, rel=0.4)
    assert forms.qs == pytest.approx(forms.q * forms.s)
    assert forms.qs < 1


def test_the_layer_with_experts_is_taken_where_there_is_one() -> None:
    found = crossover("llama-4-maverick", "qwen3-8b", over="tokens", question=ask(gpu="h100-sxm", num_gpus=8))
    assert found.closed_forms is not None
    assert found.closed_forms.moe_compute_tokens == pytest.approx(128 * found.closed_forms.ridge_tokens)


def test_an_encoder_decoder_has_curves_but_no_closed_forms() -> None:
    assert crossover("switch-base-8", "qwen3-8b", of="time", question=H100).closed_forms is None


def test_closed_forms_of_whole_models_count_the_weights() -> None:
    found = crossover("mixtral-8x7b", "yi-34b", of="memory", question=TWO_H100).closed_forms
    assert found is not None
    assert (found.moe, found.dense) == ("mixtral-8x7b", "yi-34b")
    assert found.s == pytest.approx(12.88 / 46.7, rel=1e-3)
    assert found.qs == pytest.approx(34.39 / 46.7, rel=1e-3)
    swapped = crossover("yi-34b", "mixtral-8x7b", of="memory", question=TWO_H100).closed_forms
    assert swapped == found
    assert crossover("llama-2-7b", "llama-2-13b", of="memory", question=H100).closed_forms is None


# --- curves ---------------------------------------------------------------------------------------------------------


def test_the_curves_agree_with_the_crossings() -> None:
    found = crossover("qwen3-30b-a3b", "qwen3-8b", question=H100)
    assert at(found, "seconds")
    for cost in found.costs:
        own = [crossing for crossing in found.crossings if crossing.cost == cost]
        signs = [getattr(point.a, cost) > getattr(point.b, cost) for point in found.points]
        assert len(own) == sum(one != other for one, other in pairwise(signs))
        for crossing in own:
            assert crossing.high == crossing.low + 1
            assert crossing.low <= crossing.at <= crossing.high
            assert {crossing.cheaper_below, crossing.cheaper_above} == {"qwen3-30b-a3b", "qwen3-8b"}
            if crossing.unsure_low is not None and crossing.unsure_high is not None:
                assert crossing.unsure_low <= crossing.low
                assert crossing.high <= crossing.unsure_high
    assert at(found, "usd_per_million_output_tokens") == pytest.approx(at(found, "tpot_seconds"))


def test_the_order_of_the_models_changes_nothing_but_their_names() -> None:
    one = crossover("qwen3-30b-a3b", "qwen3-8b", of="time", question=H100)
    other = crossover("qwen3-8b", "qwen3-30b-a3b", of="time", question=H100)
    assert [(c.cost, c.low, c.cheaper_below) for c in one.crossings] == [
        (c.cost, c.low, c.cheaper_below) for c in other.crossings
    ]


def test_a_state_space_model_wins_at_long_contexts() -> None:
    found = crossover("mamba2-2.7b", "phi-2", over="context", of="time", question=H100)
    (crossing,) = [one for one in found.crossings if one.cost == "seconds"]
    assert (crossing.cheaper_below, crossing.cheaper_above) == ("phi-2", "mamba2-2.7b")


def test_skew_changes_only_the_mixture() -> None:
    found = crossover(
        "qwen3-30b-a3b", "qwen3-8b", over="skew", of="memory", question=ask(gpu="h100-sxm", batch_size=16)
    )
    read = [(point.a.bytes_read, point.b.bytes_read) for point in found.points]
    assert all(after[0] < before[0] and after[1] == before[1] for before, after in pairwise(read))


def test_sparsity_varies_the_first_model() -> None:
    found = crossover("llama-2-7b", "llama-2-7b", over="sparsity", of="memory", question=H100)
    assert found.a == "llama-2-7b+unstructured=S"
    assert found.points[0].a == found.points[0].b
    assert found.points[-1].a.bytes_read < 0.3 * found.points[-1].b.bytes_read
    for technique in ("neurons=0.1", "layers=0.1", "block=16x16@0.1"):
        other = crossover(f"llama-2-7b+{technique}", "llama-2-13b", over="sparsity", of="time", question=H100)
        assert other.a == "llama-2-7b+" + technique.replace("0.1", "S")
        assert other.points[0].a == found.points[0].a


def test_expert_parallelism_is_the_mixtures_alone() -> None:
    question = ask(gpu="h100-sxm", num_gpus=8, dp=8, ep=8)
    found = crossover("mixtral-8x7b", "llama-2-13b", of="time", between=(8, 64), question=question)
    assert (found.placement_a, found.placement_b) == ("dp 8, ep 8", "tp 8")


def test_without_an_accelerator_one_is_taken_and_named() -> None:
    found = crossover("mixtral-8x7b", "llama-2-13b", of="memory")
    (warn,) = [warn for warn in found.warnings if warn.code == "default-accelerator"]
    assert "2 x h100-sxm" in warn.text
    assert found.points[0].a.fits


def test_what_does_not_fit_is_told() -> None:
    found = crossover("mixtral-8x7b", "llama-2-13b", of="time", question=H100)
    texts = {warn.model: warn.text for warn in found.warnings if warn.code == "does-not-fit"}
    assert texts["mixtral-8x7b"].startswith("does not fit at batch 1 to 1,024")


# --- bad input and the command --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "text"),
    [
        ({"second": "mixtral-8x7b"}, "are the same model"),
        ({"second": "Mixtral-8x7B"}, "are the same model"),
        ({"over": "bach"}, "Did you mean 'batch'"),
        ({"of": "dolars"}, "Did you mean 'dollars'"),
        ({"first": "llama-2-7b", "over": "skew"}, "has experts to route to"),
        ({"first": "mamba-130m", "over": "tokens"}, "no feed-forward"),
        ({"over": "tokens", "of": "dollars"}, "no price"),
        ({"between": (8.0, 2.0)}, "rising"),
        ({"between": (1.0,)}, "rising"),
        ({"between": (1.5, 8.0)}, "whole numbers"),
        ({"over": "sparsity", "between": (0.0, 1.0)}, "rising"),
        ({"over": "sparsity", "first": "mixtral-8x7b+2:4"}, "both set"),
        ({"question": ask(gpu="h100-sxm,l4")}, "2 accelerators"),
        ({"question": ask(gpu="h100-sxm", batch_size=(1, 8))}, "one batch size"),
        ({"second": "no-such-model"}, "unknown model"),
    ],
)
def test_bad_input(call: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        crossover(**{"first": "mixtral-8x7b", "second": "llama-2-13b", "question": H100, **call})


def test_the_command(quick_run: Run) -> None:
    asked = ["crossover", "mixtral-8x7b", "llama-2-13b", "--over", "batch", "--gpu", "h100-sxm", "--num-gpus", "2"]
    found = quick_run(*asked, "--format", "json")
    assert found.rc == 0
    document = json.loads(found.stdout)
    assert document["command"] == "crossover"
    assert document["inputs"]["over"] == "batch"
    assert {crossing["cost"] for crossing in document["crossings"]} >= {"seconds", "tpot_seconds", "bytes_per_gpu"}
    assert document["closed_forms"]["t_lo"] == pytest.approx(1.01, abs=0.01)
    rows = list(csv.DictReader(io.StringIO(quick_run(*asked, "--format", "csv").stdout)))
    assert [float(row["batch"]) for row in rows] == [point["at"] for point in document["points"]]
    assert float(rows[0]["a.seconds"]) == document["points"][0]["a"]["seconds"]
    assert float(rows[-1]["b.bytes_per_gpu"]) == document["points"][-1]["b"]["bytes_per_gpu"]


def test_the_plot_is_in_the_table_alone(quick_run: Run) -> None:
    asked = ["crossover", "qwen3-30b-a3b", "qwen3-8b", "--gpu", "h100-sxm", "--of", "time"]
    table, markdown = quick_run(*asked).stdout, quick_run(*asked, "--format", "markdown").stdout
    assert MARK_A in table
    assert MARK_B in table
    assert MARK_A not in markdown
    assert "| crossing in |" in markdown
    assert "T_hi" in markdown
    assert "is cheaper up to batch" in markdown


def test_every_axis_has_a_view(dense_layer: str) -> None:
    for over in ("batch", "context", "tokens", "skew", "sparsity"):
        shown = view(crossover("mixtral-8x7b", dense_layer, over=over, of="time", question=TWO_H100))
        assert shown.grids[0].headers[0] == over
        assert all(len(row) == len(shown.grids[0].headers) for row in shown.grids[0].rows)
        assert all(len(line) < 100 for line in shown.foot)


def test_wrong_usage_ends_with_2(quick_run: Run) -> None:
    for more in (["--over", "bach"], ["--between", "x"], ["--gpu", "h10"], ["--format", "jsn"]):
        found = quick_run("crossover", "mixtral-8x7b", "llama-2-13b", *more)
        assert found.rc == 2
        assert found.stderr.count("\n") == 1
