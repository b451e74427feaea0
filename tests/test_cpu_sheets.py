"""Data sheets of processors: made of one table, and found by the names that /proc/cpuinfo gives."""

import importlib
from pathlib import Path
from typing import Any

import pytest

from sparsecalc.data_files import data_folder
from sparsecalc.device.driver_names import accelerator_of
from sparsecalc.device.find import load_accelerator

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "tools")
    return importlib.import_module("cpu_sheets")


def test_the_sheets_are_what_the_table_says(tool: Any) -> None:
    """After a change: python tools/cpu_sheets.py."""
    known = tool.facts()
    for row in tool.rows():
        text = (data_folder() / "accelerators" / f"{row['id']}.json").read_text(encoding="utf-8")
        assert text == tool.written(tool.sheet(row, known)), row["id"]


def test_what_a_line_rests_on_is_in_the_table(tool: Any) -> None:
    known = tool.facts()
    for row in tool.rows():
        assert {row["core"], row["e_core"]} - {""} <= {*known["cores"]}
        assert {*row["sources"].split()} <= {*known["sources"]}
        assert {*row["from_memory"].split()} <= {*tool.FIELDS}
        assert row["sources"] or {"cores", "clocks"} <= {*row["from_memory"].split()}


@pytest.mark.parametrize(
    ("name", "bytes_per_second", "fp32"),
    [
        ("ryzen-5600x", 2 * 3200e6 * 8, 6 * 4.15e9 * 32),  # halfway between 3.7 and 4.6 GHz; two FMA of 256 bits
        ("epyc-7543", 8 * 3200e6 * 8, 32 * 3.25e9 * 32),
        ("epyc-9354", 12 * 4800e6 * 8, 32 * 3.75e9 * 32),  # AMD's all-core boost
        ("xeon-6138", 6 * 2666e6 * 8, 20 * 2.0e9 * 64),  # base clock; two FMA of 512 bits
        ("core-i9-13900k", 2 * 5600e6 * 8, 8 * 4.4e9 * 32 + 16 * 3.25e9 * 16),
    ],
)
def test_rates_by_hand(name: str, bytes_per_second: float, fp32: float) -> None:
    cpu = load_accelerator(name)
    assert cpu.memory_bytes_per_second == pytest.approx(bytes_per_second)
    assert cpu.peak_flops_per_second["fp32"] == pytest.approx(fp32, rel=0.005)


@pytest.mark.parametrize(
    ("brand", "name"),
    [
        ("AMD Ryzen 7 7840HS w/ Radeon 780M Graphics", "ryzen-7840hs"),
        ("AMD Ryzen 5 5600X 6-Core Processor", "ryzen-5600x"),
        ("AMD Ryzen 7 5700G with Radeon Graphics", "ryzen-5700g"),
        ("AMD Ryzen Threadripper PRO 5955WX 16-Cores", "threadripper-pro-5955wx"),
        ("AMD EPYC 7543 32-Core Processor", "epyc-7543"),
        ("AMD Ryzen AI 9 HX 370 w/ Radeon 890M", "ryzen-ai-9-hx-370"),
        ("13th Gen Intel(R) Core(TM) i9-13900K", "core-i9-13900k"),
        ("12th Gen Intel(R) Core(TM) i5-12400F", "core-i5-12400"),
        ("Intel(R) Core(TM) i9-10900X CPU @ 3.70GHz", "core-i9-10900x"),
        ("Intel(R) Core(TM) Ultra 7 155H", "core-ultra-7-155h"),
        ("Intel(R) Xeon(R) Gold 6138 CPU @ 2.00GHz", "xeon-6138"),
        ("Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", "xeon-e5-2680-v4"),
        ("INTEL(R) XEON(R) PLATINUM 8592+", "xeon-8592-plus"),
    ],
)
@pytest.mark.parametrize("gib", [16, 1000])
def test_a_processor_is_known_by_its_brand_with_any_memory(brand: str, name: str, gib: int) -> None:
    assert accelerator_of(brand, gib * 2**30) == name
    assert load_accelerator(f"{name} {gib}GB").memory_bytes == gib * 2**30
