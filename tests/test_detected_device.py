"""`--gpu local` without a calibration: what drivers, /proc, /sys and sysctl tell, and lines that describe a device.

The answers of tools are written after their documentation; a machine is a PATH of scripts and a root of files.
"""

import sys
import time
from pathlib import Path

import pytest
from conftest import Run
from hypothesis import given
from hypothesis import strategies as st

from sparsecalc.core.errors import InputError
from sparsecalc.device.accelerator import Accelerator
from sparsecalc.device.described import described, is_description
from sparsecalc.device.find import load_accelerator
from sparsecalc.device.local import system
from sparsecalc.device.local.gpus import bracketed, gpus
from sparsecalc.device.local.host import host, memory, sysctl
from sparsecalc.device.local.windows import windows

GIB = 2**30
RYZEN = "".join(
    f"processor\t: {core}\nmodel name\t: AMD Ryzen 9 7950X 16-Core Processor\n"
    f"physical id\t: 0\ncore id\t\t: {core % 16}\ncpu cores\t: 16\n\n"
    for core in range(32)
)
MEMINFO = "MemTotal:       65536000 kB\nMemFree:         1000000 kB\nMemAvailable:   52428800 kB\n"
DMIDECODE = """# dmidecode 3.5
Handle 0x0020, DMI type 16, 23 bytes
Physical Memory Array
\tMaximum Capacity: 128 GB

Handle 0x0021, DMI type 17, 92 bytes
Memory Device
\tSize: No Module Installed
\tType: Unknown
\tSpeed: Unknown

Handle 0x0022, DMI type 17, 92 bytes
Memory Device
\tSize: 32 GB
\tLocator: DIMM 1
\tType: DDR5
\tSpeed: 4800 MT/s
\tConfigured Memory Speed: 6000 MT/s

Handle 0x0023, DMI type 17, 92 bytes
Memory Device
\tSize: 32 GB
\tType: DDR5
\tSpeed: 4800 MT/s
\tConfigured Memory Speed: 6000 MT/s
"""
UDEV = """MEMORY_ARRAY_NUM_DEVICES=2
MEMORY_DEVICE_0_TYPE=DDR5
MEMORY_DEVICE_0_SPEED_MTS=5600
MEMORY_DEVICE_0_CONFIGURED_SPEED_MTS=5200
MEMORY_DEVICE_1_PRESENT=0
"""


def forget() -> None:
    """What the system told is not asked again within a process."""
    for cached in (memory, sysctl, host, gpus, windows):
        cached.cache_clear()


class Machine:
    """A machine that the tests make up."""

    def __init__(self, folder: Path) -> None:
        self.root, self.tools = folder / "root", folder / "tools"
        self.root.mkdir()
        self.tools.mkdir()
        self.files({"proc/cpuinfo": RYZEN, "proc/meminfo": MEMINFO})

    def files(self, given: dict[str, str]) -> "Machine":
        for name, text in given.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        forget()
        return self

    def tool(self, name: str, prints: str = "", code: int = 0, script: str = "") -> "Machine":
        path = self.tools / name
        path.write_text(f"#!/bin/sh\n{script}\n/bin/cat <<'END'\n{prints}\nEND\nexit {code}\n")
        path.chmod(0o755)
        forget()
        return self

    def amd(self, place: int, device: str, revision: str, total: int, used: int = 0, gtt: int = 0) -> "Machine":
        card = f"sys/class/drm/card{place}/device"
        sizes = {"vram_total": total, "vram_used": used, "gtt_total": gtt, "gtt_used": 0}
        files = {"vendor": "0x1002\n", "device": f"0x{device}\n", "revision": f"0x{revision}\n"}
        files |= {f"mem_info_{name}": f"{size}\n" for name, size in sizes.items()}
        return self.files({f"{card}/{name}": text for name, text in files.items()})


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A Linux machine with a Ryzen 9 7950X and 64 GB, without GPUs or tools, of a user without a calibration."""
    made = Machine(tmp_path)
    monkeypatch.setattr(system, "ROOT", made.root)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("PATH", str(made.tools))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    forget()
    return made


def local(name: str = "local") -> Accelerator:
    return load_accelerator(name)


def test_a_card_of_nvidia(machine: Machine, quick_run: Run) -> None:
    machine.tool("nvidia-smi", "NVIDIA GeForce RTX 3090, 24576, 23450").tool("dmidecode", DMIDECODE)
    found = local()
    assert (found.id, found.capacity_bytes, found.usd_per_hour) == ("rtx-3090", 23450 * 2**20, None)
    assert found.capacity_bytes < found.memory_bytes
    done = quick_run("show", "llama-3.1-8b", "--dtype", "q4_k", "--gpu", "local", "--engine", "llama.cpp", "--json")
    assert done.rc == 0, done.stderr
    assert done.json["prediction"]["accelerator"] == "rtx-3090"
    (note,) = [note["text"] for note in done.json["warnings"] if note["code"] == "detected"]
    assert "NVIDIA GeForce RTX 3090, 22.9 GiB free of 24.0 GiB (nvidia-smi)" in note
    assert "AMD Ryzen 9 7950X 16-Core Processor, 16 cores, 50.0 GiB of 62.5 GiB of memory free (DDR5-6000 x 2)" in note


def test_several_cards(machine: Machine) -> None:
    machine.tool(
        "nvidia-smi",
        "NVIDIA GeForce RTX 3060, 12288, 12000\n" + "NVIDIA GeForce RTX 3090, 24576, 24000\n" * 2,
    )
    assert local().id == "rtx-3090"
    assert "there are 2 of them: --num-gpus 2" in (local().detected or "")
    assert [local(f"local-{place}").id for place in (0, 1)] == ["rtx-3060-12gb", "rtx-3090"]
    with pytest.raises(InputError, match="there is no local-3: the system names 3 GPUs"):
        local("local-3")


def test_memory_that_is_shared(machine: Machine) -> None:
    machine.files({"proc/meminfo": "MemTotal: 125526784 kB\nMemAvailable: 104857600 kB\n", "proc/cpuinfo": ""})
    machine.tool("nvidia-smi", "NVIDIA GB10, [N/A], [N/A]")
    found = local()
    assert (found.id, found.capacity_bytes) == ("dgx-spark", 100 * GIB)
    assert "shared with the processor" in (found.detected or "")


def test_a_jetson(machine: Machine) -> None:
    machine.files({"proc/device-tree/model": "NVIDIA Jetson AGX Orin Developer Kit\0"})
    machine.files({"proc/meminfo": "MemTotal: 64334848 kB\nMemAvailable: 52428800 kB\n"})
    assert (local().id, local().capacity_bytes) == ("jetson-agx-orin-64gb", 50 * GIB)


def test_cards_of_amd_by_libdrm(machine: Machine) -> None:
    machine.amd(0, "164e", "c6", 512 * 2**20).amd(1, "744c", "c8", 24 * GIB - 2**20, 2 * GIB)
    names = "# List\n1.0.0\n744C,\tC8,\tAMD Radeon RX 7900 XTX\n744C,\tCC,\tAMD Radeon RX 7900 XT\n"
    machine.files({"usr/share/libdrm/amdgpu.ids": names})
    assert (local().id, local().capacity_bytes) == ("rx-7900-xtx", 22 * GIB - 2**20)


def test_cards_of_amd_by_rocm_smi(machine: Machine) -> None:
    card = '"Card Series": "Navi 31 [Radeon RX 7900 XT/7900 XTX/7900 GRE]", "Card Model": "0x744c"'
    sizes = '"VRAM Total Memory (B)": "21458059264", "VRAM Total Used Memory (B)": "27856896"'
    machine.tool("rocm-smi", f'{{"card0": {{{sizes}, {card}}}, "system": {{"Driver version": "6.8"}}}}')
    assert (local().id, local().capacity_bytes) == ("rx-7900-xt", 21458059264 - 27856896), "the one with 20 GB"
    machine.amd(0, "744c", "ff", 24 * GIB - 2**20, GIB)
    assert local().id == "rx-7900-xtx"


def test_a_processor_with_graphics(machine: Machine) -> None:
    cpuinfo = RYZEN.replace("AMD Ryzen 9 7950X 16-Core Processor", "AMD RYZEN AI MAX+ 395 w/ Radeon 8060S")
    machine.files({"proc/cpuinfo": cpuinfo, "proc/meminfo": "MemTotal: 132120576 kB\nMemAvailable: 125829120 kB\n"})
    machine.amd(0, "1586", "c1", 512 * 2**20, gtt=110 * GIB)
    found = local()
    assert (found.id, found.memory_bytes) == ("strix-halo-395", 128 * GIB)
    assert 109 * GIB < found.capacity_bytes <= 110.5 * GIB


def test_a_card_of_intel(machine: Machine) -> None:
    folder = "sys/class/drm/card1"
    lines = ["0x0000000081000000 0x0000000081ffffff 0x0000000000140204", "0x0 0x0 0x0"]
    lines.append("0x0000004000000000 0x00000045ffffffff 0x000000000014220c")
    machine.files(
        {
            f"{folder}/device/vendor": "0x8086",
            f"{folder}/device/uevent": "DRIVER=xe\nPCI_SLOT_NAME=0000:03:00.0\n",
            f"{folder}/device/resource": "\n".join(lines),
        }
    )
    machine.tool(
        "lspci", '03:00.0 "VGA compatible controller" "Intel Corporation" "Battlemage G21 [Arc Pro B60]" -r00 "" ""'
    )
    found = local()
    assert (found.id, found.memory_bytes) == ("arc-pro-b60", 24 * GIB)
    assert "free memory not told" in (found.detected or "")


def test_an_apple(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    lines = f"machdep.cpu.brand_string: Apple M3 Max\nhw.memsize: {64 * GIB}\nhw.physicalcpu: 16"
    machine.tool("sysctl", lines, code=1)  # an older macOS without iogpu.wired_limit_mb
    machine.tool("ioreg", '    | "gpu-core-count" = 40')
    pages = (
        "Pages free: 1000000.\nPages active: 9.\nPages inactive: 2276800.\nPages speculative: 0.\nPages purgeable: 0."
    )
    machine.tool("vm_stat", f"Mach Virtual Memory Statistics: (page size of 16384 bytes)\n{pages}")
    found = local()
    assert (found.id, found.memory_bytes) == ("m3-max", 64 * GIB)
    assert found.capacity_bytes == 48 * GIB, "what macOS gives a GPU of 64 GB, since 50 GiB are free"
    machine.tool("sysctl", f"{lines}\niogpu.wired_limit_mb: 60000", code=0)
    assert local().capacity_bytes == 3276800 * 16384


def test_windows(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(machine.root))
    monkeypatch.setenv("PATHEXT", ".EXE")
    told = '{"cpus":"AMD Ryzen 9 7950X 16-Core Processor            ","cores":16,"total":65536000,"free":52428800,'
    told += '"speeds":[6000,6000],"kinds":[34,34],"gpus":["AMD Radeon(TM) Graphics","AMD Radeon RX 7900 XTX"]}'
    machine.tool("powershell.EXE", told)
    assert local().id == "rx-7900-xtx"
    assert "16 cores, 50.0 GiB of 62.5 GiB of memory free (DDR5-6000 x 2)" in (local().detected or "")
    found = local("local-cpu")
    assert (found.id, found.capacity_bytes, found.memory_bytes_per_second) == ("ryzen-7950x", 52428800 * 1024, 96e9)
    machine.tool("nvidia-smi.EXE", "NVIDIA GeForce RTX 3090, 24576, 23450")
    machine.tool("powershell.EXE", "nonsense")
    assert local().id == "rtx-3090"
    machine.tool("powershell.EXE", '{"gpus": ["Intel(R) UHD Graphics 770"], "cpus": [], "kinds": 3, "total": "x"}')
    machine.tool("nvidia-smi.EXE", code=9)
    with pytest.raises(InputError, match="the system names no device"):
        local()


def test_the_processor(machine: Machine) -> None:
    assert local().id == "ryzen-7950x"
    assert local().memory_bytes_per_second == load_accelerator("ryzen-7950x").memory_bytes_per_second
    machine.tool("udevadm", UDEV)
    found = local("local-cpu")
    assert (found.kind, found.capacity_bytes) == ("cpu", 52428800 * 1024)
    assert found.memory_bytes_per_second == 5200e6 * 8, "one module is one channel"
    assert "DDR5-5200 x 1" in (found.detected or "")
    machine.tool("dmidecode", DMIDECODE)
    assert local().memory_bytes_per_second == 6000e6 * 8 * 2
    machine.files({"sys/fs/cgroup/memory.max": f"{8 * GIB}\n", "sys/fs/cgroup/memory.current": f"{GIB}\n"})
    assert local().capacity_bytes == 7 * GIB


def test_the_host_beside_a_card(machine: Machine, quick_run: Run) -> None:
    machine.tool("nvidia-smi", "NVIDIA GeForce RTX 3090, 24576, 23450").tool("dmidecode", DMIDECODE)
    asked = ("show", "qwen3-30b-a3b", "--dtype", "q4_k", "--engine", "llama.cpp", "-cmoe", "--json")
    here = quick_run(*asked, "--gpu", "local")
    assert here.rc == 0, here.stderr
    assert not [note for note in here.json["warnings"] if "typical" in note["text"]]
    named = quick_run(*asked, "--gpu", "rtx-3090", "--host", "ryzen-7950x,ddr5-6000x2:64g").json
    assert here.json["prediction"]["decode"]["seconds"] == pytest.approx(named["prediction"]["decode"]["seconds"])
    told = quick_run(*asked, "--gpu", "rtx-3090", "--host", "local").json
    assert told["prediction"]["decode"]["seconds"] == pytest.approx(named["prediction"]["decode"]["seconds"])
    machine.files({"proc/cpuinfo": "model name : VIA Nano\n"})
    assert "typical" in quick_run(*asked, "--gpu", "local").stderr
    assert quick_run(*asked, "--gpu", "rtx-3090", "--host", "local").rc == 2


def test_two_sockets(machine: Machine) -> None:
    cores = "".join(
        f"model name : AMD EPYC 9654 96-Core Processor\nphysical id : {n % 2}\ncore id : {n // 2}\n\n" for n in range(8)
    )
    machine.files({"proc/cpuinfo": cores})
    assert (host().cores, host().sockets, local().id) == (8, 2, "epyc-9654")
    assert "8 cores in 2 sockets" in (local().detected or "")


def test_what_is_not_built_in_is_described(machine: Machine, quick_run: Run) -> None:
    machine.tool("nvidia-smi", "NVIDIA GeForce GT 1030, 2048, 1800")
    done = quick_run("show", "llama-3.2-1b", "--gpu", "local")
    assert done.rc == 2
    assert "this machine's NVIDIA GeForce GT 1030 is not built in" in done.stderr
    assert "--gpu nvidia:2gb:RATEgb/s:PEAKtflops" in done.stderr
    assert done.stderr.count("\n") == 1
    assert local("local-cpu").id == "ryzen-7950x"
    machine.tool("nvidia-smi", "No devices were found", code=6).files({"proc/cpuinfo": "model name : VIA Nano\n"})
    with pytest.raises(InputError, match=r"this machine's VIA Nano is not built in.*--gpu cpu:62gb:"):
        local()
    machine.files({"proc/cpuinfo": "", "proc/meminfo": ""})
    with pytest.raises(InputError, match=r"the system names no device.*--gpu cpu:MEMORYgb:"):
        local()


def test_cards_that_their_memory_does_not_tell_apart(machine: Machine) -> None:
    names = '"Card Series": "Navi 31 [Radeon RX 7900 XTX/Radeon Pro W7900]", "VRAM Total Memory (B)": "36000000000"'
    machine.tool("rocm-smi", f'{{"card0": {{{names}, "VRAM Total Used Memory (B)": "0"}}}}')
    with pytest.raises(InputError, match="this machine's Radeon RX 7900 XTX or Radeon Pro W7900 is not built in"):
        local()
    card = '"Card Series": "Navi 48 [Radeon RX 9070/9070 XT/9070 GRE]", "VRAM Total Memory (B)": "17095983104"'
    machine.tool("rocm-smi", f'{{"card0": {{{card}, "VRAM Total Used Memory (B)": "0"}}}}')
    with pytest.raises(InputError, match="GPU may be Radeon RX 9070 or Radeon RX 9070 XT or Radeon RX 9070 GRE"):
        local()


@pytest.mark.parametrize(
    "prints", ["", "nonsense", "a,b,c", "[1]", "{", '{"card0": 3}', '{"card0": {"Card Series": 7}}', "x" * 9999]
)
def test_tools_that_print_anything(machine: Machine, prints: str) -> None:
    for name in ("nvidia-smi", "rocm-smi", "dmidecode", "udevadm", "lspci", "rocminfo"):
        machine.tool(name, prints)
    machine.amd(0, "", "", 0)
    assert gpus() is not None
    assert local("local-cpu").id == "ryzen-7950x"


def test_a_tool_that_hangs_is_ended(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "SECONDS", 0.2)
    machine.tool("nvidia-smi", "NVIDIA GeForce RTX 3090, 24576, 23450", script="/bin/sleep 60")
    start = time.monotonic()
    assert local().id == "ryzen-7950x"
    assert time.monotonic() - start < 30


def test_brackets() -> None:
    assert bracketed("Navi 21 [Radeon RX 6800/6800 XT / 6900 XT]") == (
        "Radeon RX 6800",
        "Radeon RX 6800 XT",
        "Radeon RX 6900 XT",
    )
    assert bracketed("Radeon RX 7900 XT") == ("Radeon RX 7900 XT",)
    assert bracketed("") == ()


def test_a_line_describes_a_device(quick_run: Run) -> None:
    found = described("NVIDIA:8GB:448GB/s:20.5tflops:82tops")
    assert (found.vendor, found.kind, found.memory_bytes) == ("NVIDIA", "gpu", 8 * GIB)
    assert found.memory_bytes_per_second == 448e9
    assert found.id == "nvidia-8gb-448gbps-20.5tflops-82tops"
    assert found.peak_flops_per_second == {"bf16": 20.5e12, "fp16": 20.5e12, "int8": 82e12}
    assert load_accelerator("cpu:64gib:0.08tb/s:900gflops").kind == "cpu"
    options = ("--gpu", "2x8gb:448gb/s:20tflops", "--dtype", "q4_k", "--test", "tg128", "--json")
    done = quick_run("show", "llama-3.1-8b", *options)
    assert done.rc == 0, done.stderr
    assert done.json["prediction"]["capacity_bytes"] == 8 * GIB
    assert done.json["prediction"]["num_gpus"] == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("8gb:448gb/s", "lacks the peak in 16 bits"),
        ("8gb:20tflops", "lacks the memory rate"),
        ("8gb:9gb:448gb/s:20tflops", "the memory is given twice"),
        ("8gb:448gb/s:20tflop:quick", "the part 'quick'"),
        ("0gb:448gb/s:20tflops", "out of range"),
        ("99999999999999gb:448gb/s:20tflops", "out of range"),
    ],
)
def test_bad_lines_are_one_line(quick_run: Run, line: str, said: str) -> None:
    done = quick_run("show", "llama-3.1-8b", "--gpu", line)
    assert (done.rc, done.stderr.count("\n")) == (2, 1)
    assert said in done.stderr
    assert "Example: nvidia:8gb:448gb/s:20tflops" in done.stderr


@given(st.text("0123456789.gbt/sflops:cpunvidia ", max_size=40))
def test_any_line_is_a_device_or_refused(text: str) -> None:
    if not is_description(text):
        return
    try:
        found = described(text)
    except InputError:
        return
    assert found.memory_bytes > 0
