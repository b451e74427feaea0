"""Accelerator data: every file loads, its figures are sane, its sources are named."""

import json

import pytest

from sparsecalc.core.errors import InputError
from sparsecalc.data_files import read_data
from sparsecalc.decide.compare import Question, show
from sparsecalc.library.accelerators import accelerator_ids, aliases, load_accelerator


def test_all_of_them_are_there() -> None:
    assert len(accelerator_ids()) >= 66


@pytest.mark.parametrize("name", accelerator_ids())
def test_a_file_is_sane(name: str) -> None:
    gpu = load_accelerator(name)
    assert gpu.id == name
    assert gpu.sources
    assert 2**30 < gpu.capacity_bytes <= gpu.memory_bytes
    assert 1e10 < gpu.memory_bytes_per_second < 1e14
    peaks = [peak for peak in gpu.peak_flops_per_second.values() if peak is not None]
    assert peaks
    assert all(1e10 < peak < 1e17 for peak in peaks)
    assert all(0 < share < 1.3 for share in gpu.measured_fraction.values())
    assert gpu.usd_per_hour is None or 0 < gpu.usd_per_hour.value < 200


def test_peaks_are_dense_ones() -> None:
    """NVIDIA's H100 datasheet prints 1,979 TFLOPS for bf16 with sparsity: half of it is dense."""
    h100 = load_accelerator("h100-sxm")
    assert h100.peak_flops_per_second["bf16"] == 989_400_000_000_000
    assert load_accelerator("l4").peak_flops_per_second["bf16"] <= 121_000_000_000_000


def test_aliases_are_unique_and_resolve() -> None:
    every = [alias for name in accelerator_ids() for alias in load_accelerator(name).aliases]
    assert len(every) == len(set(every))
    assert not set(every) & set(accelerator_ids())
    assert load_accelerator("H100").id == "h100-sxm"
    assert all(load_accelerator(alias).id == target for alias, target in aliases().items())


def test_unknown_names_suggest() -> None:
    with pytest.raises(InputError, match="Did you mean 'h100"):
        load_accelerator("h1000")


def test_a_users_own_file(tmp_path) -> None:
    path = tmp_path / "mine.json"
    own = {**read_data("accelerators/h100-sxm.json"), "id": "mine", "memory_bytes": 10**12, "memory_usable_bytes": None}
    path.write_text(json.dumps(own))
    assert load_accelerator(str(path)).capacity_bytes == 10**12
    path.write_text(json.dumps({**own, "memory": 3}))
    with pytest.raises(InputError, match="no field memory"):
        load_accelerator(str(path))


@pytest.mark.parametrize(
    ("model", "gpu", "num_gpus", "fits", "needed"),
    [
        ("mixtral-8x7b", "h100-sxm", 1, False, 2),
        ("mixtral-8x7b", "h200-sxm", 1, True, 1),
        ("llama-2-70b", "h100-sxm", 2, True, 2),
        ("tinyllama-1.1b", "rtx-3090", 1, True, 1),
    ],
)
def test_fit(model: str, gpu: str, num_gpus: int, fits: bool, needed: int) -> None:
    """Mixtral's 93.4 GB of bf16 are too much for one 80 GB card and enough room on 141 GB."""
    found = show(model, Question(gpu=gpu, num_gpus=num_gpus)).prediction
    assert found is not None
    assert (found.fits, found.gpus_needed) == (fits, needed)


def test_the_largest_batch_and_context_are_the_largest() -> None:
    asked = {"gpu": "h200-sxm", "num_gpus": 1}
    found = show("mixtral-8x7b", Question(**asked)).prediction
    assert found is not None
    for field, value in (("batch_size", found.largest_batch_size), ("context_len", found.largest_context_len)):
        assert show("mixtral-8x7b", Question(**asked, **{field: value})).prediction.fits
        assert not show("mixtral-8x7b", Question(**asked, **{field: value + 1})).prediction.fits


def test_interconnects() -> None:
    found = read_data("interconnects.json")
    assert {"NVLink4", "PCIe gen5 x16", "NDR"} <= {link["kind"] for link in found["links"]}
    assert all(link["source"] and 1e8 < link["bytes_per_second_per_direction"] < 1e13 for link in found["links"])
