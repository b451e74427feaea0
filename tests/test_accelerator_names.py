"""Accelerators are found by any usual spelling, and never by a doubtful one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsecalc.core.errors import InputError
from sparsecalc.data_files import read_data
from sparsecalc.decide.counted import counted
from sparsecalc.decide.finetune_question import ask_finetune
from sparsecalc.decide.question import ask
from sparsecalc.device.driver_names import accelerator_of
from sparsecalc.device.find import accelerator_ids, load_accelerator
from sparsecalc.device.names import named

IDS = accelerator_ids()
NAMES = {name: read_data(f"accelerators/{name}.json")["name"] for name in IDS}


@given(st.sampled_from(IDS), st.booleans(), st.sampled_from(["", " ", "-", "_", "  "]))
def test_every_accelerator_is_found_by_id_and_name_in_any_case_and_with_any_separators(
    name: str, by_id: bool, separator: str
) -> None:
    words = re.split(r"[^A-Za-z0-9+]+", name if by_id else NAMES[name])
    for spelling in (str.upper, str.lower, str.title):
        assert load_accelerator(separator.join(map(spelling, filter(None, words)))).id == name


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("GeForce RTX 4090 24GB", "rtx-4090"),
        ("H100 80GB", "h100-sxm"),
        ("H100-SXM5-80GB", "h100-sxm"),
        ("nvidia-h100-80gb-hbm3", "h100-sxm"),
        ("NVIDIA H100 Tensor Core GPU", "h100-sxm"),
        ("NVIDIA H100-PCIe-80GB", "h100-pcie"),
        ("HGX H100", "h100-sxm"),
        ("NVIDIA H200-SXM-141GB", "h200-sxm"),
        ("NVIDIA H200-NVL-141GB", "h200-nvl"),
        ("NVIDIA B200-SXM-180GB", "b200-sxm"),
        ("NVIDIA B300-SXM-270GB", "b300-sxm"),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", "rtx-pro-6000-blackwell"),
        ("AMD Instinct MI300X 192GB HBM3", "mi300x"),
        ("AMD Instinct MI355X 288GB HBM3e", "mi355x"),
        ("Intel(R) Arc Pro(R) B70", "arc-pro-b70"),
        ("[MAXSUN] MS-Intel Arc Pro B60 Dual 48G Turbo", "arc-pro-b60-dual"),
        ("a100-80g", "a100-80gb-sxm"),
        ("A100 40GB", "a100-40gb-sxm"),
        ("a100 pcie 40 GB", "a100-40gb-pcie"),
        ("H20-3e 141GB", "h20-141gb"),
        ("H20", "h20-96gb"),
        ("gb200", "gb200"),
        ("4070ti", "rtx-4070-ti"),
        ("rtx4070 ti super", "rtx-4070-ti-super"),
        ("RTX 4070", "rtx-4070"),
        ("RTX 3080 12GB", "rtx-3080-12gb"),
        ("RTX 3080", "rtx-3080"),
        ("7900XTX", "rx-7900-xtx"),
        ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada"),
        ("Apple M4 Max", "m4-max"),
        ("Apple M4", "m4"),
        ("Apple M3 Max 40\u2011Core GPU 64GB", "m3-max"),
        ("Apple M2 Pro (19-core GPU, 32 GB)", "m2-pro"),
        ("Apple M4 Max 32-core GPU", "m4-max-32core"),
        ("Apple M4 Max 36GB", "m4-max-32core"),
        ("M3 Max 96 GB", "m3-max-30core"),
        ("Apple M3 Max (30-core GPU)", "m3-max-30core"),
        ("AMD Radeon 780M Graphics", "radeon-780m"),
        ("Jetson Orin Nano Super", "jetson-orin-nano-super"),
        ("GH200 480GB", "gh200-96gb"),
        ("NVIDIA GH200 Grace Hopper Superchip 144GB", "gh200-144gb"),
        ("Ascend 910B", "ascend-910b2"),
        ("DGX Station", "dgx-station"),
        ("r9700", "radeon-ai-pro-r9700"),
        ("RTX 4090 Laptop GPU", "rtx-4090-laptop"),
        ("NVIDIA GeForce RTX 4090 D", "rtx-4090-d"),
        ("Tesla P40", "tesla-p40"),
        ("RTX 4060 Ti 8GB", "rtx-4060-ti-8gb"),
        ("RTX 4060 Ti", "rtx-4060ti-16gb"),
        ("1080 Ti", "gtx-1080-ti"),
        ("7800XT", "rx-7800-xt"),
        ("MI50", "mi50-32gb"),
        ("Intel(R) Arc(TM) A770 Graphics", "arc-a770"),
    ],
)
def test_usual_spellings(typed: str, name: str) -> None:
    assert load_accelerator(typed).id == name


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("RTX 6000", "'RTX 6000' may be rtx-6000-ada, rtx-pro-6000-blackwell, rtx-pro-6000-blackwell-max-q"),
        ("rtx 5000", "'rtx 5000' may be rtx-5000-ada, rtx-pro-5000-blackwell, rtx-pro-5000-blackwell-72gb"),
        ("tpu", "'tpu' may be tpu-v5e, tpu-v5p, tpu-v6e, tpu-v7x"),
        ("H100 96GB", "no 'H100 96GB' is built in, but h100-nvl (94 GiB), h100-pcie (80 GiB), h100-sxm (80 GiB)"),
        ("v100 pcie", "no 'v100 pcie' is built in, but v100-sxm2-16gb (16 GiB), v100-sxm2-32gb (32 GiB)"),
        ("Apple M4 Max 512GB", "no 'Apple M4 Max 512GB' is built in, but m4-max (128 GiB), m4-max-32core (36 GiB)"),
        ("Apple M4 Max 36-core GPU", "unknown accelerator 'Apple M4 Max 36-core GPU'"),
        ("RTX 4090 Max-Q", "unknown accelerator 'RTX 4090 Max-Q'"),
        ("Quadro RTX 4000", "unknown accelerator 'Quadro RTX 4000'"),
        ("../h100-sxm", "unknown accelerator '../h100-sxm'"),
        ("nvidia", "unknown accelerator 'nvidia'"),
        ("80GB", "unknown accelerator '80GB'"),
    ],
)
def test_a_doubtful_spelling_is_refused_with_the_candidates(typed: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_accelerator(typed)
    assert str(caught.value).startswith(said)
    assert len(str(caught.value).splitlines()) == 1


def test_no_name_or_alias_is_of_two_accelerators() -> None:
    for name in IDS:
        sheet = read_data(f"accelerators/{name}.json")
        for spelling in (name, sheet["name"], *sheet["aliases"]):
            assert named(spelling) == [name]


def test_a_size_that_a_chip_is_sold_with_is_its_memory() -> None:
    small, large = load_accelerator("M4 Max 64GB"), load_accelerator("m4-max")
    assert (small.memory_bytes, large.memory_bytes) == (2**36, 2**37)
    assert small.capacity_bytes == large.capacity_bytes / 2
    assert small.model_copy(update={"memory_bytes": 2**37, "memory_usable_bytes": large.capacity_bytes}) == large


@given(st.text(max_size=40).filter(lambda text: not text.strip().lower().endswith(".json") and "local" not in text))
def test_any_text_is_an_accelerator_or_one_line(text: str) -> None:
    found = [] if "/" in text or "\\" in text else named(text)
    if len(found) == 1:
        assert load_accelerator(text).id == found[0]
    else:
        with pytest.raises(InputError) as caught:
            load_accelerator(text)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("name", "gib", "accelerator"),
    [
        ("NVIDIA GeForce RTX 4070 Ti", 11.6, "rtx-4070-ti"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", 15.6, "rtx-4070-ti-super"),
        ("NVIDIA H20", 139.8, "h20-141gb"),
        ("NVIDIA H20", 95.0, "h20-96gb"),
        ("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition", 95.0, None),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", 95.0, "rtx-pro-6000-blackwell"),
        ("NVIDIA GB10", 119.7, "dgx-spark"),
        ("NVIDIA GeForce RTX 4060 Laptop GPU", 7.6, "rtx-4060-laptop"),
        ("NVIDIA GeForce RTX 4060 Ti", 7.6, "rtx-4060-ti-8gb"),
        ("NVIDIA GeForce RTX 4060 Ti", 15.6, "rtx-4060ti-16gb"),
        ("AMD Radeon 780M Graphics (RADV PHOENIX)", 31.0, "radeon-780m"),
        ("AMD Radeon 780M Graphics", 0.5, "radeon-780m"),
        ("AMD Radeon Graphics (RADV GFX1151)", 110.0, "strix-halo-395"),
        ("AMD Instinct MI60 / MI50", 32.0, "mi50-32gb"),
        ("AMD Instinct MI60 / MI50", 16.0, "mi50-16gb"),
        ("Orin", 7.4, "jetson-orin-nano-8gb"),
        ("Orin", 61.4, "jetson-agx-orin-64gb"),
        ("Quadro RTX 8000", 24.0, None),
        ("Apple M4 Max", 36.0, "m4-max-32core"),
        ("Apple M4 Max", 64.0, "m4-max"),
        ("Apple M3 Max", 96.0, "m3-max-30core"),
        ("Apple M4 Pro", 24.0, "m4-pro"),
        ("AMD Radeon RX 7900 XTX", 23.9, "rx-7900-xtx"),
        ("AMD Radeon RX 7900 XTX (RADV NAVI31)", 23.9, "rx-7900-xtx"),
        ("Intel(R) Arc(tm) A770 Graphics (DG2)", 15.9, "arc-a770"),
        ("AMD Instinct MI300X", 191.9, "mi300x"),
    ],
)
def test_the_data_sheet_of_a_driver_name(name: str, gib: float, accelerator: str | None) -> None:
    assert accelerator_of(name, int(gib * 2**30)) == accelerator


@pytest.mark.parametrize(
    ("typed", "name", "count"),
    [
        ("2x4090", "4090", 2),
        ("2 x h100", "h100", 2),
        ("8xH20", "H20", 8),
        ("16XH200", "H200", 16),
        ("4xt4", "t4", 4),
        ("2x trillium", "trillium", 2),
        ("72x NVIDIA GB200", "NVIDIA GB200", 72),
        ("7900xtx", "7900xtx", None),
        ("7900 XTX", "7900 XTX", None),
        ("9070xt", "9070xt", None),
        ("7950x", "7950x", None),
        ("h100,l40s", "h100,l40s", None),
    ],
)
def test_a_count_before_the_name(typed: str, name: str, count: int | None) -> None:
    assert counted(typed, None) == (name, count)
    asked = ask(gpu=typed)
    assert asked.parallelism.num_gpus == count
    assert asked.inputs(["x"])["gpu"] == name


@pytest.mark.parametrize("name", IDS)
def test_no_id_is_read_as_a_count(name: str) -> None:
    assert counted(name, 3) == (name, 3)
    assert counted(f"5x{name}", None) == (name, 5)


@pytest.mark.parametrize(
    ("typed", "num_gpus", "said"),
    [
        ("2xh100", 4, "--gpu '2xh100' is 2 devices, --num-gpus 4"),
        ("2xh100,l40s", None, "--gpu is '2xh100,l40s'. A count is for one accelerator"),
        ("h100,2xl40s", None, "--gpu is 'h100,2xl40s'. A count is for one accelerator"),
        ("0xh100", None, "the number of GPUs is 0"),
        ("9999999999xh100", None, "the number of GPUs is 9999999999"),
        ("2xnothing", None, "unknown accelerator 'nothing'"),
    ],
)
def test_a_count_that_contradicts_itself(typed: str, num_gpus: int | None, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        ask(gpu=typed, num_gpus=num_gpus)


def test_a_count_that_is_said_twice_is_no_conflict() -> None:
    assert ask(gpu="2xh100", num_gpus=2).parallelism.num_gpus == 2


def test_fine_tuning_counts_too() -> None:
    assert ask_finetune(gpu="4xh100").sharding.num_gpus == 4
    with pytest.raises(InputError, match="is 4 devices, --num-gpus 2"):
        ask_finetune(gpu="4xh100", num_gpus=2)
