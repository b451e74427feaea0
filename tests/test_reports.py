"""Documents as rows, views and formats: what is escaped, flattened and drawn, each on a document made by hand."""

import csv
import io
import json
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import Run

import sparsecalc
import sparsecalc.documents
import sparsecalc.reports.views
from sparsecalc.core.errors import InputError
from sparsecalc.core.notes import Note
from sparsecalc.documents.base import Document
from sparsecalc.documents.bench import BenchReport
from sparsecalc.documents.calibrate import CalibrationReport
from sparsecalc.documents.compare import RATIOS, CompareReport, Ratio
from sparsecalc.documents.import_model import ImportReport
from sparsecalc.documents.lists import ListReport
from sparsecalc.documents.profile import Measurement, ProfileReport
from sparsecalc.documents.sparse_kernels import BreakEven, SparseKernelReport
from sparsecalc.documents.verify import Checkpoint, FlopsPair, Pair, StoredFormat, Verdict, VerifyReport, VerifyResult
from sparsecalc.reports.formats import FORMATS, Format, render
from sparsecalc.reports.formats.markdown import escape, markdown_table
from sparsecalc.reports.view import Grid, View
from sparsecalc.reports.views import view_of
from sparsecalc.reports.views.model_figures import figures

HOSTILE = "<script>alert(1)</script> | [x](y) `z` \\ & \x1b[31m"
"""What a file's name may hold."""


def a_list(*rows: dict[str, Any]) -> ListReport:
    return ListReport(command="models", inputs={}, rows=list(rows))


# --- documents and their views ------------------------------------------------------------------------------------


def modules_in(package: ModuleType) -> set[str]:
    return {path.stem for path in Path(package.__path__[0]).glob("*.py")} - {"__init__"}


def test_each_document_has_a_view_in_the_file_of_its_name() -> None:
    names = modules_in(sparsecalc.documents) - {"base"}
    assert names <= modules_in(sparsecalc.reports.views)
    for name in names:
        annotations = import_module(f"sparsecalc.reports.views.{name}").view.__annotations__
        assert annotations["document"].__module__ == f"sparsecalc.documents.{name}"
        assert annotations["return"] is View


def test_a_document_is_one_row_unless_it_says_otherwise() -> None:
    report = ImportReport(
        command="import",
        inputs={"model": "m"},
        warnings=[Note(code="c", text="t")],
        model="m",
        written="m.json",
        counted_total=10,
        stored_elements=None,
        difference=None,
        explained=[],
        unexplained=None,
    )
    (row,) = report.to_rows()
    assert set(report.to_dict()) - set(row) == {"inputs", "warnings"}
    assert (row["model"], row["counted_total"], row["explained"]) == ("m", 10, [])


def test_rows_are_points_of_the_grid_where_there_is_one() -> None:
    names = ["mixtral-8x7b", "llama-2-7b"]
    plain = sparsecalc.compare(names)
    assert [row["model"]["id"] for row in plain.to_rows()] == names
    assert plain.to_rows()[0] == plain.models[0].to_dict()
    grid = sparsecalc.compare(names, gpu="h100-sxm", batch_size=(1, 8))
    rows = grid.to_rows()
    assert [(row["model"], row["batch_size"]) for row in rows] == [(name, batch) for name in names for batch in (1, 8)]
    assert rows[1] == {"model": "mixtral-8x7b", **grid.models[0].grid[1].to_dict()}


def test_the_ratios_that_need_no_accelerator_are_fields() -> None:
    names = [field.name for field in fields(Ratio)]  # type: ignore[arg-type]
    required = [name for name in names if name not in ("model", "to") and not hasattr(Ratio, name)]
    assert list(RATIOS) == required
    report = sparsecalc.compare(["mixtral-8x7b", "llama-70b"])
    for name, figure in RATIOS.items():
        assert getattr(report.ratios[1], name) == figure(report.models[1]) / figure(report.models[0])


# --- formats ------------------------------------------------------------------------------------------------------


def test_every_format_has_its_file() -> None:
    assert list(FORMATS) == ["table", "markdown", "json", "jsonl", "csv", "html"]
    for name, entry in FORMATS.items():
        content = render(a_list({"id": "a", "layers": 2}), name)
        assert isinstance(content, bytes if entry.binary else str)
    with pytest.raises(InputError, match=r"unknown format 'jsnl'.*Did you mean 'jsonl'"):
        render(a_list(), "jsnl")


def test_json_lines_are_the_rows() -> None:
    rows = [{"id": "ä", "sizes": {"a": 1}, "samples": [0.5, 0.25]}, {"id": "b", "sizes": None, "samples": []}]
    lines = str(render(a_list(*rows), "jsonl")).splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert lines[0] == '{"id": "\\u00e4", "sizes": {"a": 1}, "samples": [0.5, 0.25]}'
    assert render(a_list(), "jsonl") == ""


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_json_refuses_what_is_no_number(form: str) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        render(a_list({"seconds": float("nan")}), form)


def test_csv_flattens_rows() -> None:
    """Nested keys are dotted, lists left out; an object that is missing in some row has no column of its own."""
    rows = [
        {"id": "a", "experts": {"count": 8, "by": {"k": 2}}, "samples": [1, 2], "text": 'x, "y"\n\x1b[1m'},
        {"id": "b", "experts": None, "samples": [], "text": None, "more": True},
    ]
    text = str(render(a_list(*rows), "csv"))
    assert text.splitlines()[0] == "id,experts.count,experts.by.k,text,more"
    first, second = csv.DictReader(io.StringIO(text))
    assert first == {"id": "a", "experts.count": "8", "experts.by.k": "2", "text": 'x, "y"??[1m', "more": ""}
    assert second == {"id": "b", "experts.count": "", "experts.by.k": "", "text": "", "more": "True"}


def test_markdown_shows_text_as_it_stands() -> None:
    assert escape(HOSTILE) == "&lt;script&gt;alert(1)&lt;/script&gt; \\| \\[x](y) \\`z\\` \\\\ &amp; ?\\[31m"
    assert escape("  of which") == "&nbsp;&nbsp;of which"
    grid = Grid(headers=["a|b", "n", "m"], rows=[["x", "1", "2"], ["<i>", "3", ""]], left=2)
    assert markdown_table(grid).splitlines() == [
        "| a\\|b | n | m |",
        "|:--|:--|--:|",
        "| x | 1 | 2 |",
        "| &lt;i&gt; | 3 |  |",
    ]


def test_html_shows_text_as_it_stands() -> None:
    report = a_list({"id": HOSTILE, "n": 1}).but(warnings=[Note(code="odd", text=HOSTILE, model="<m>")])
    page = str(render(report, "html"))
    shown = "&lt;script&gt;alert(1)&lt;/script&gt; | [x](y) `z` \\ &amp; ?[31m"
    assert f'<td class="l">{shown}</td>' in page
    assert f"<aside>odd: &lt;m&gt;: {shown}</aside>" in page
    assert "<script" not in page
    assert "<svg" not in page


def test_html_draws_the_loads_of_experts() -> None:
    """Two lines of cells for two layers; the busiest is darkest, 95 - 60 = 35 %, and one of no load lightest."""
    from sparsecalc.decide.routing import route

    report = route("mixtral-8x7b").but(loads=[[2.0, 0.0], [1.0, 1.0]])
    page = str(render(report, "html"))
    assert page.count("<rect") == 4
    assert 'x="0" y="0" width="11" height="11" fill="hsl(12 80% 35%)"><title>2.00x' in page
    assert 'x="12" y="0" width="11" height="11" fill="hsl(12 80% 95%)"><title>0.00x' in page
    assert 'x="0" y="12" width="11" height="11" fill="hsl(12 80% 65%)"><title>1.00x' in page
    assert 'viewBox="0 0 24 24"' in page


def test_markdown_carries_the_head_and_the_screen_the_foot(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = View(grids=[Grid(headers=["g"], rows=[["cell"]])], lines=["line"], head=["# head"], foot=["foot"])
    for form in ("markdown", "table", "html"):
        monkeypatch.setattr(f"sparsecalc.reports.formats.{form}.view_of", lambda document: shown, raising=False)
    report = a_list().but(warnings=[Note(code="c", text="t", model="m")])
    assert render(report, "markdown") == "# head\n\n| g |\n|:--|\n| cell |\n\nline\n\n> c: m: t\n"
    assert render(report, "table") == "g\ncell\n\nline\nfoot\n"
    page = str(render(report, "html"))
    assert "<p>line</p>\n<p>foot</p>\n<aside>c: m: t</aside>" in page
    assert "# head" not in page


def test_a_note_stands_behind_its_model() -> None:
    assert Note(code="c", text="t", model="m").with_model == "m: t"
    assert Note(code="c", text="t").with_model == "t"


# --- a binary format ----------------------------------------------------------------------------------------------

PACKED = b"PACK\x00\x01\r\n"


@pytest.fixture
def packed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up binary format: one file, one line in the table."""
    module: Any = ModuleType("packed")
    module.write = lambda document, width: PACKED + bytes([len(document.to_rows())])
    monkeypatch.setitem(sys.modules, "sparsecalc.reports.formats.packed", module)
    monkeypatch.setitem(FORMATS, "packed", Format(file="packed", binary=True))


@pytest.mark.usefixtures("packed")
def test_a_binary_format_goes_to_a_file(quick_run: Run, tmp_path: Path) -> None:
    done = quick_run("compare", "mixtral-8x7b", "llama-2-7b", "--format", "packed", "-o", "out.pack")
    assert (done.rc, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "out.pack").read_bytes() == PACKED + b"\x02"


@pytest.mark.usefixtures("packed")
def test_a_binary_format_goes_through_a_pipe(quick_run: Run) -> None:
    done = quick_run("show", "mixtral-8x7b", "--format", "packed")
    assert done.stdout.encode() == PACKED + b"\x01"


@pytest.mark.usefixtures("packed")
@pytest.mark.parametrize("target", [[], ["-o", "-"]])
def test_a_binary_format_is_refused_on_a_terminal(
    target: list[str], quick_run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr("sparsecalc.decide.show.show", lambda *asked: pytest.fail("refused before computing"))
    done = quick_run("show", "mixtral-8x7b", "--format", "packed", *target)
    assert (done.rc, done.stdout) == (2, "")
    assert done.stderr == "error: packed is a binary format, not for a terminal. Write it to a file: -o FILE\n"
    assert list(tmp_path.iterdir()) == []


# --- views, on documents made by hand -----------------------------------------------------------------------------


def test_a_comparison_has_a_row_for_each_figure_and_ratios_to_the_first() -> None:
    report = sparsecalc.compare(["mixtral-8x7b", "llama-70b+int4"])
    (grid,) = view_of(report).grids
    assert grid.headers == ["", "mixtral-8x7b", "llama-70b+int4", "ratio"]
    assert [row[0] for row in grid.rows[:2]] == ["family", "format of the weights"]
    assert len(grid.rows) == 2 + len(list(figures(report.models[0])))
    rows = {row[0]: row[1:] for row in grid.rows}
    assert rows["parameters, total"] == ["46.7 B  (46,702,792,704)", "69.0 B  (68,976,648,192)", "1.48x"]
    assert rows["format of the weights"] == ["bf16", "int4", ""]
    assert "weights" in rows, "labels that differ lose what is in brackets"
    assert rows["recurrent state and index cache"][-1] == "", "nothing is divided by zero"


def test_a_conclusion_names_the_routing_that_was_asked_for() -> None:
    for routing in ("uniform", "zipf:1.2"):
        report = sparsecalc.compare(["mixtral-8x7b", "llama-2-7b"], routing=routing)
        assert isinstance(report, CompareReport)
        (sentence,) = [line for line in report.conclusion if "experts per layer" in line]
        assert f"experts per layer ({routing} routing): " in sentence
        shown = view_of(sparsecalc.load("mixtral-8x7b").report(routing=routing))
        assert f"({routing} routing)" in shown.lines[0]


def a_calibration(**changed: Any) -> CalibrationReport:
    """Two products of 2 * 10 * 100 * 1000 = 2e6 FLOPs, and a copy that moves 2 * 1e6 bytes."""
    product = {"op": "gemm", "dtype": "bf16", "m": 10, "n": 100, "k": 1000}
    report = CalibrationReport(
        command="calibrate",
        inputs={},
        created="2024-01-01T00:00:00Z",
        device="cpu",
        device_name="a CPU",
        environment={"torch": "2.9", "threads": 4},
        rows=[
            {**product, "seconds": 2e-6, "samples": [1.8e-6, 2.2e-6]},
            {**product, "seconds": 4e-6, "samples": [4e-6, 4e-6]},
            {"op": "copy", "bytes": 1_000_000, "seconds": 1e-3, "samples": [1e-3]},
        ],
        written="here.json",
    )
    return report.but(**changed)


def test_the_view_of_a_calibration() -> None:
    """Spread of the products: (2.2 - 1.8) / 2 = 20 % and 0 %, median 10 %; 2e6 / 2e-6 = 1e12; 2 * 1e6 / 1e-3 = 2e9."""
    shown = view_of(a_calibration())
    assert shown.grids[0].rows == [
        ["gemm bf16", "2", "2 us", "4 us", "10 %", "1 TFLOP/s"],
        ["copy", "1", "1 ms", "1 ms", "0 %", "2 GB/s"],
    ]
    assert shown.lines == ["a CPU (cpu); torch 2.9, threads 4; 2024-01-01T00:00:00Z."]
    assert shown.foot == ["Written to here.json."]
    fitted = a_calibration(
        constants={"kernels": {"gemm": {"compute": 0.5, "bandwidth": 0.8, "origin": "here"}}},
        prior={"kernels": {"gemm": {"compute": 0.25, "bandwidth": 0.8}}},
        residuals={"gemm": {"rows": 2, "left_out": 1, "median_error": 0.1, "p90_error": 0.2, "prior_median_error": 1}},
    )
    _, constants, residuals = view_of(fitted).grids
    assert constants.rows == [["gemm compute", "0.5", "0.25", "2.00x"]], "constants that changed"
    assert residuals.rows == [["gemm", "2", "1", "10 %", "20 %", "100 %"]]
    assert fitted.to_rows() == fitted.rows


ENVIRONMENT = {
    "device_name": "a CPU",
    "device": "cpu",
    "threads": 4,
    "torch": "2.9",
    "transformers": "5.0",
    "dtype": "bf16",
    "attention_implementation": "sdpa",
    "experts_implementation": "grouped_mm",
}


def measured(component: str, **more: Any) -> Measurement:
    taken = {"median_seconds": 0.002, "p10_seconds": 0.001, "p90_seconds": 0.003, "samples_seconds": [0.002]}
    at = {"method": "wall clock", "phase": "decode", "batch_size": 2, "new_tokens": 1, "context_len": 1024, "layers": 3}
    return Measurement(component=component, **{**at, **taken, **more})


def test_the_view_of_a_profile() -> None:
    rows = [
        measured("model", predicted_seconds=0.004, tokens_per_second=1000.0, achieved_flops_per_second=2e9),
        measured("step", rejected_samples=2, peak_memory_bytes=2**30, predicted_memory_bytes=2**29),
        measured("layer", kind="moe", distinct_experts=2.5, expected_distinct_experts=2.25, share_of_peak_flops=0.5),
        measured("attention", kind="moe"),
        measured("model", phase="prefill"),
    ]
    report = ProfileReport(
        command="profile",
        inputs={},
        model="m",
        environment=ENVIRONMENT,
        layers_measured={"moe": {"count": 8, "measured": 1}},
        measurements=rows,
        formulas=["a formula"],
        interrupted=True,
    )
    decode, prefill = view_of(report).grids
    assert decode.headers[0] == "decode, batch 2, context 1,024"
    assert [row[0] for row in decode.rows] == ["model", "step (wall clock)", "one moe", "  attention"]
    assert decode.rows[0][1:] == ["3", "2.000", "1.000 - 3.000", "4.000", "2.00", "2.0 B", "", "1,000.0"]
    assert prefill.headers[0] == "prefill, batch 2, context 1,024"
    assert view_of(report).lines == [
        "m: measured 1 of 8 moe. Whole model, in ms:",
        "a formula",
        "decode, batch 2, context 1024: 2.50 distinct experts in a layer (2.25 expected)",
        "decode, batch 2, context 1024: 1.0 GiB at the peak (512.0 MiB predicted)",
        "On a CPU (cpu, 4 threads), torch 2.9, transformers 5.0, bf16; attention sdpa, experts grouped_mm.",
        "2 samples were left out because the process was preempted.",
        "Interrupted: this is what was measured until then.",
    ]
    assert [row["component"] for row in report.to_rows()] == ["model", "step", "layer", "attention", "model"]


def test_the_view_of_a_bench() -> None:
    report = BenchReport(
        command="bench",
        inputs={},
        model="m",
        environment={**ENVIRONMENT, "experts_implementation": None},
        layers=2,
        num_hidden_layers=4,
        measurements=[measured("model", method="generate")],
        lines=["a line"],
    )
    shown = view_of(report)
    assert shown.grids[0].rows[0][:3] == ["decode, generate", "3", "2.000"]
    assert shown.lines[:2] == ["m: 2 of 4 layers generate.", "a line"]
    assert shown.lines[2].endswith("attention sdpa.")
    assert view_of(report.but(measurements=[])).grids == []


def test_the_view_of_sparse_kernels() -> None:
    row = {"tokens": 1024, "density": 0.5, "seconds": 0.001, "dense_seconds": 0.002, "speedup": 2.0, "samples": [0.001]}
    report = SparseKernelReport(
        command="profile",
        inputs={"dtype": "fp32"},
        model="m",
        technique="csr",
        weight="up, 8 x 4",
        environment=ENVIRONMENT,
        rows=[row],
        break_even=[BreakEven(tokens=1024, density=0.21, text="at density 0.21")],
    )
    assert view_of(report).grids[0].rows == [["1,024", "0.5", "1.000", "2.000", "2.00x"]]
    assert "1,024 tokens: as fast as dense at density 0.21." in view_of(report).lines
    assert report.to_rows() == [row]


def a_verification(*results: VerifyResult) -> VerifyReport:
    return VerifyReport(
        command="verify",
        inputs={},
        results=list(results),
        summary="1 exact",
        environment={"torch": "2.9"},
        prompt_lens=[5, 7],
        flops_tolerance=0.002,
    )


EXACT = VerifyResult(
    model="good",
    status="exact",
    params=Pair(predicted=1000, actual=1000),
    flops=FlopsPair(predicted=10, counted=10, relative_error=0.0005),
    kv_cache=Pair(predicted=4, actual=4),
    verdicts=[Verdict(figure="parameters: norm", predicted=8, actual=8)],
    named=["left out: a buffer"],
)


def test_the_view_of_a_verification() -> None:
    wrong = EXACT.but(
        model="bad",
        status="differs",
        kv_cache=Pair(predicted=4, actual=5),
        verdicts=[*EXACT.verdicts, Verdict(figure="FLOPs", predicted=8, actual=10)],
    )
    lost = VerifyResult(model="lost", status="unsupported", reason="no such model_type")
    shown = view_of(a_verification(EXACT, wrong, lost))
    verdicts, details = shown.grids
    assert verdicts.rows == [
        ["good", "exact", "1,000", "1,000", "0.05 %", "exact", ""],
        ["bad", "differs", "1,000", "1,000", "0.05 %", "differs", ""],
        ["lost", "unsupported: no such model_type", "", "", "", "", ""],
    ]
    assert (details.headers[0], details.rows) == ("bad", [["FLOPs", "8", "10", "-2"]]), "of several, what differs"
    assert shown.lines == []
    alone = view_of(a_verification(EXACT))
    assert alone.grids[1].rows == [["parameters: norm", "8", "8", "exact"]]
    assert alone.lines == ["left out: a buffer"]
    assert alone.foot == ["1 exact", "Held against torch 2.9."]


def test_the_method_of_verification_tells_the_figures_of_the_run() -> None:
    head = "\n".join(view_of(a_verification(EXACT)).head)
    assert "a prompt of 5 tokens, one of 7 (or" in head
    assert "up to 0.2 % counts as exact" in head
    assert "(embedding, attention, dense_ffn, routed_experts, " in head
    assert "{" not in head
    assert head.endswith("**1 exact.** Held against torch 2.9.")


def test_the_view_of_a_checkpoint() -> None:
    checkpoint = Checkpoint(
        repo_id="org/name",
        params=Pair(predicted=1000, actual=1010),
        weights_bytes=Pair(predicted=2000, actual=1990),
        weights_dtype="bf16",
        by_dtype=[StoredFormat(dtype="BF16", tensors=3, elements=1010, bytes=2048)],
        explained=[],
        unexplained=10,
    )
    _, _, stored, difference = view_of(a_verification(EXACT.but(checkpoint=checkpoint))).grids
    assert (stored.headers[0], stored.rows) == ("checkpoint org/name", [["BF16", "3", "1,010", "2.0 KiB"]])
    assert ["not explained", "", "+10"] in difference.rows
    assert difference.rows[-1] == ["bytes stored for the same", "-10", "1,990"]


def test_the_view_of_an_import() -> None:
    report = ImportReport(
        command="import",
        inputs={},
        model="m",
        written="m.json",
        counted_total=1000,
        stored_elements=1010,
        difference=10,
        explained=[],
        unexplained=10,
    )
    assert view_of(report).grids == []
    assert view_of(report).lines[1:] == ["The checkpoint stores 1,010 elements: +10.", "Not explained: +10."]
    assert len(view_of(report.but(stored_elements=None)).lines) == 1


def test_an_empty_list_has_no_columns() -> None:
    assert view_of(a_list()).grids == [Grid(headers=[], rows=[], left=2)]
    assert view_of(a_list({"id": "a", "price": None})).grids[0].rows == [["a", ""]]


def test_a_document_of_no_known_kind_has_no_view() -> None:
    stranger = Document(command="x", inputs={})
    with pytest.raises(ModuleNotFoundError, match="base"):
        view_of(stranger)


def test_accuracy_page_takes_engines_from_their_data(monkeypatch: pytest.MonkeyPatch) -> None:
    from sparsecalc.documents.validate import ValidateReport
    from sparsecalc.reports import accuracy_page

    engine = {"id": "mine", "step_seconds": 0.002, "sequence_seconds": 5e-6, "source": "a benchmark"}
    figures = {"median": 0.061, "p90": 0.2, "in_band": 0.79}
    data = {
        "engines.json": {"engines": [engine, {**engine, "spread": 0.3}]},
        "anchor.json": {"left_out": {"tpot": {"3": {"dense": figures}}}},
    }
    monkeypatch.setattr(accuracy_page, "read_data", data.__getitem__)
    counts = {"serving": 1, "steps": 1000, "kernels": 0, "ttft": 0}
    page = accuracy_page.accuracy_page(
        ValidateReport(command="validate", inputs=counts, tables=[], peers=[], checks=[]), {"A card": "a table"}
    )
    assert "1,001 measured times: 1 of serving runs, 1,000 of steps" in page
    assert "| mine | a benchmark | 2 ms | 5 us | 0.12 |\n| mine | a benchmark | 2 ms | 5 us | 0.3 |" in page
    assert "| TPOT, dense | 3 | 6.1% | 20.0% | 79% |" in page
    assert "### A card\n\na table" in page
