"""Accelerators: every file against the schema, names that people type, and links that make sense."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sparsecalc.core.errors import InputError
from sparsecalc.data_files import data_folder, read_data
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.device.find import accelerator_aliases, accelerator_ids, load_accelerator

IDS = accelerator_ids()
LINKS: dict[str, Any] = {link["id"]: link for link in read_data("interconnects.json")["links"]}


def own_file(folder: Path, **changes: object) -> str:
    """A copy of the H100's file with some keys changed; None takes a key away."""
    found = {**read_data("accelerators/h100-sxm.json"), "id": "mine", **changes}
    path = folder / "mine.json"
    path.write_text(json.dumps({key: value for key, value in found.items() if value is not None}), encoding="utf-8")
    return str(path)


def test_all_the_accelerators_are_there() -> None:
    assert len(IDS) >= 124
    assert len(list((data_folder() / "accelerators").iterdir())) == len(IDS)


@pytest.mark.parametrize("name", IDS)
def test_a_file_keeps_the_schema(name: str) -> None:
    gpu = load_accelerator(name)
    assert gpu.id == name == name.lower()
    assert gpu.name
    assert gpu.sources
    assert gpu.peak_flops_per_second.get("bf16") or gpu.peak_flops_per_second.get("fp16")
    assert gpu.capacity_bytes <= gpu.memory_bytes
    assert gpu.capacity_is_measured == (gpu.memory_usable_bytes is not None) == (gpu.memory_usable_source is not None)
    for field in gpu.unverified_fields:
        whole, _, part = field.partition(".")
        assert whole == "all" or whole in Accelerator.model_fields
        assert not part or gpu.peak_flops_per_second[part] is not None


@pytest.mark.parametrize("name", IDS)
def test_sizes_are_in_si_units(name: str) -> None:
    """A figure that is left in GB, TFLOP/s or MHz falls out of these ranges by a factor of a thousand."""
    gpu = load_accelerator(name)
    assert 4 * 2**30 <= gpu.memory_bytes <= 2**40
    assert 10e9 <= gpu.memory_bytes_per_second <= 25e12  # HBM4
    assert all(5e10 <= peak <= 4e16 for peak in gpu.peak_flops_per_second.values() if peak)
    assert gpu.boost_clock_hz is None or 0.5e9 <= gpu.boost_clock_hz <= 6e9
    assert gpu.l2_bytes is None or 2**20 <= gpu.l2_bytes <= 2**31  # stacked L3
    assert gpu.tdp_watts is None or 5 <= gpu.tdp_watts <= 2000
    assert gpu.usd_per_hour is None or 0.01 <= gpu.usd_per_hour.value <= 100
    if gpu.scale_up and gpu.scale_up.bytes_per_second_bidirectional:
        assert 10e9 <= gpu.scale_up.bytes_per_second_bidirectional <= 1e13


@pytest.mark.parametrize("name", IDS)
def test_peaks_grow_as_formats_shrink(name: str) -> None:
    """A 2:4 figure in place of a dense one would make one format twice too fast; none is over 4x the wider one.

    But Rubin's fp8: NVIDIA announced 17.5 PFLOP/s beside 4 in bf16 (Vera Rubin NVL72, NVFP4 35).
    """
    peaks, most = load_accelerator(name).peak_flops_per_second, 4.4 if name == "rubin" else 4.01
    for wide, narrow in (("tf32", "bf16"), ("bf16", "fp8"), ("fp8", "fp4")):
        if (slow := peaks.get(wide)) and (fast := peaks.get(narrow)):
            assert 1 <= fast / slow <= most, (wide, narrow)


@pytest.mark.parametrize(
    ("name", "dtype", "dense"),
    [
        ("h100-sxm", "bf16", 989.4e12),  # NVIDIA H100 data sheet: 1,979 TFLOP/s "with sparsity", so half of it
        ("h100-sxm", "fp8", 1978.9e12),
        ("a100-80gb-sxm", "bf16", 312e12),  # NVIDIA A100 data sheet: 312 | 624 with sparsity
        ("b200-sxm", "fp4", 9000e12),  # HGX B200: 18 PFLOP/s with sparsity, 9 dense
        ("l40s", "bf16", 362.05e12),  # NVIDIA L40S data sheet: 362.05 | 733 with sparsity
        ("mi300x", "bf16", 1307.4e12),  # AMD CDNA3: 1307.4 dense, 2614.9 with sparsity
        ("trainium3", "bf16", 671e12),  # AWS Neuron documentation: 671 dense, 2,517 sparse
        ("rtx-4070-ti", "int8", 320.7e12),  # NVIDIA advertises 641 AI TOPS, with 2:4
        ("rx-9070-xt", "int4", 778.6e12),  # AMD advertises 1,557 TOPS, with 2:4
        ("arc-pro-b60", "int8", 197e12),  # Intel: 197 TOPS
        ("a10g", "bf16", 70e12),  # AWS: 70 dense | 140 with sparsity, not the A10's 125
    ],
)
def test_the_peak_is_the_dense_one(name: str, dtype: str, dense: float) -> None:
    assert load_accelerator(name).peak_flops_per_second[dtype] == dense


def test_h100() -> None:
    gpu = load_accelerator("h100")
    assert gpu.id == "h100-sxm"
    assert gpu.memory_bytes == 80 * 2**30
    assert gpu.capacity_bytes == 81559 * 2**20  # what nvidia-smi reports
    assert gpu.memory_bytes_per_second == 3352e9
    assert gpu.scale_up is not None
    assert gpu.scale_up.bytes_per_second_bidirectional == 900e9
    assert gpu.sparse_speedup("bf16") == 2


def test_capacity_is_nominal_where_nothing_else_is_known() -> None:
    gpu = load_accelerator("a30")
    assert not gpu.capacity_is_measured
    assert gpu.capacity_bytes == gpu.memory_bytes == 24 * 2**30


def test_sparsity_gains_that_differ_by_format() -> None:
    assert load_accelerator("b300").sparse_speedup("fp4") == 1.33
    assert load_accelerator("b300").sparse_speedup("bf16") == 2
    assert load_accelerator("t4").sparse_speedup("fp16") is None


def test_every_alias_is_unique_and_resolves() -> None:
    given = [alias for name in IDS for alias in read_data(f"accelerators/{name}.json")["aliases"]]
    assert len(given) == len(set(given)) == len(accelerator_aliases())
    assert not set(given) & set(IDS)
    for alias, name in accelerator_aliases().items():
        assert load_accelerator(alias).id == name


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("H100", "h100-sxm"),
        ("a100", "a100-80gb-sxm"),
        ("A100-80GB", "a100-80gb-sxm"),
        ("RTX 4090", "rtx-4090"),
        ("rtx_3090", "rtx-3090"),
        ("4090", "rtx-4090"),
        (" m4-max ", "m4-max"),
        ("mi300", "mi300x"),
        ("trillium", "tpu-v6e"),
    ],
)
def test_names_as_people_type_them(typed: str, name: str) -> None:
    assert load_accelerator(typed).id == name


@pytest.mark.parametrize(("typed", "meant"), [("h10", "h100"), ("h100-sxn", "h100-sxm"), ("rtx-4900", "rtx-4090")])
def test_an_unknown_name_suggests_the_closest(typed: str, meant: str) -> None:
    with pytest.raises(InputError) as caught:
        load_accelerator(typed)
    assert str(caught.value) == (f"unknown accelerator '{typed}'. Did you mean '{meant}'? List them: sparsecalc gpus")


@pytest.mark.parametrize("typed", ["", "  ", "zzzzzz", "../formats", "\x1b[31mh100", "x" * 100_000])
def test_an_unknown_name_is_one_safe_line(typed: str) -> None:
    with pytest.raises(InputError, match="List them: sparsecalc gpus") as caught:
        load_accelerator(typed)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_ids_read_no_file_and_an_id_reads_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from sparsecalc.device import sheets as accelerators

    read: list[str] = []
    monkeypatch.setattr(accelerators, "read_data", lambda path: read.append(path) or read_data(path))
    accelerators.accelerator_ids.cache_clear()
    accelerators.built_in.cache_clear()
    accelerators.accelerator_ids()
    assert read == []
    load_accelerator("h100-sxm")
    assert read == ["accelerators/h100-sxm.json"]


def test_own_file(tmp_path: Path) -> None:
    assert load_accelerator(own_file(tmp_path)).id == "mine"
    own = load_accelerator(own_file(tmp_path, memory_bytes=96e9, memory_usable_bytes=None))
    assert own.capacity_bytes == 96_000_000_000


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"memory_gb": 80}, "memory_gb: no such field"),
        ({"memory_bytes": None}, "memory_bytes: is missing"),
        ({"memory_bytes": "80 GB"}, "memory_bytes: Input should be a number"),
        ({"memory_bytes": True}, "memory_bytes: Input should be a number"),
        ({"memory_bytes": 10**400}, "memory_bytes: "),
        ({"memory_bytes_per_second": -1}, "memory_bytes_per_second: Input should be greater than 0"),
        ({"memory_bytes_per_second": float("nan")}, "memory_bytes_per_second: "),
        ({"memory_bytes_per_second": float("inf")}, "memory_bytes_per_second: "),
        ({"memory_bytes": 1000}, "memory_usable_bytes is more than memory_bytes (1000)"),
        ({"peak_flops_per_second": {"fp9": 1e12}}, "peak_flops_per_second.fp9: Input should be 'fp64'"),
        ({"scale_up": {"kind": "NVLink4"}}, "scale_up.bytes_per_second_bidirectional: is missing (1 of 2 faults)"),
        ({"sources": []}, "sources: "),
        ({"id": "\x1b[31m"}, "id: "),
    ],
)
def test_own_file_with_a_fault_is_one_clear_line(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = own_file(tmp_path, **changes)
    with pytest.raises(InputError) as caught:
        load_accelerator(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300 + len(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not a text file"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "not a JSON object"),
        (b" " * (2**20 + 1), "more than 1,048,576 bytes"),
    ],
)
def test_a_file_that_is_no_accelerator(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        load_accelerator(str(path))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_accelerator(str(tmp_path / "none.json"))
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        load_accelerator(str(tmp_path / "folder.json"))


def test_data_files_are_written_the_same_way() -> None:
    for name in IDS:
        text = (data_folder() / "accelerators" / f"{name}.json").read_text(encoding="utf-8")
        assert text.endswith("}\n")
        assert max(map(len, text.splitlines())) < 900
        assert list(json.loads(text))[:2] == ["id", "name"]


def test_links_are_unique_and_per_direction() -> None:
    listed = read_data("interconnects.json")["links"]
    assert len(LINKS) == len(listed) >= 30
    for link in listed:
        assert link["source"]
        assert link["per"] in {"device", "node", "port"}
        assert 1e9 <= link["bytes_per_second"] <= 2e12
        if both := link.get("bytes_per_second_bidirectional"):
            assert both == 2 * link["bytes_per_second"]
        assert link.get("peer_bytes_per_second", 0) <= link["bytes_per_second"]


def test_links_agree_with_the_accelerators() -> None:
    for name in IDS:
        gpu = load_accelerator(name)
        slot = re.fullmatch(r"gen(\d) x(4|8|16)", gpu.pcie or "")
        rate = LINKS[f"pcie{slot[1]}-x16"]["bytes_per_second"] * int(slot[2]) / 16 if slot else None
        assert gpu.pcie_bytes_per_second == rate
        up = gpu.scale_up
        generation = re.fullmatch(r"NVLink(\d)", up.kind) if up else None
        if up and generation:
            link = LINKS["nvlink-export" if name == "h800-sxm" else f"nvlink{generation[1]}"]
            assert up.bytes_per_second_bidirectional == link["bytes_per_second_bidirectional"]
        if up and up.kind == "Infinity Fabric":
            link = next(link for link in LINKS.values() if name.upper() in link.get("devices", []))
            assert up.peer_bytes_per_second == link["peer_bytes_per_second"]
            assert up.bytes_per_second_bidirectional == 2 * link["bytes_per_second"]


def test_collectives_are_sane() -> None:
    found = read_data("interconnects.json")
    for row in found["all_reduce"]:
        assert row["link"] in LINKS
        assert row["bus_bytes_per_second"] / row["peak_bytes_per_second"] == pytest.approx(row["fraction"], abs=0.012)
        assert row["peak_bytes_per_second"] in (
            LINKS[row["link"]]["bytes_per_second"],
            LINKS[row["link"]].get("peer_bytes_per_second"),
        )
    for curve in found["all_reduce_by_payload"]:
        assert len(curve["payload_bytes"]) == len(curve["bus_bytes_per_second"])
        assert curve["payload_bytes"] == sorted(curve["payload_bytes"])
        assert curve["bus_bytes_per_second"] == sorted(curve["bus_bytes_per_second"])
        assert all(payload & (payload - 1) == 0 for payload in curve["payload_bytes"])
    for row in found["point_to_point"]:
        peak = LINKS[row["link"]]["bytes_per_second"]
        assert row["bytes_per_second"] / peak == pytest.approx(row["fraction"], abs=0.012)
    for row in found["all_to_all"]:
        lists = [value for value in row.values() if isinstance(value, list)]
        assert len({len(values) for values in lists}) == 1
    assert all(0 < entry["value"] <= 1.1 and entry["basis"] for entry in found["suggested_efficiency"].values())


def test_every_row_of_the_interconnects_names_its_source() -> None:
    found = read_data("interconnects.json")
    tables = [rows for key, rows in found.items() if isinstance(rows, list) and key != "comment"]
    assert all(row["source"] for rows in tables for row in rows)
    assert all(row["link"] in LINKS for rows in tables for row in rows if "link" in row)
