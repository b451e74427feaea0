"""Write the data sheets of processors (kind `cpu` in data/accelerators) that cpu_sheets.csv has a line for.

    peak                    = sum over kinds of cores of cores * clock * operations per cycle of the format
    clock                   = all_core_ghz where it is published, else as the core's `clock` in cpu_sheets.json says
    memory_bytes_per_second = channels * 8 bytes * transfers per second

Run it after a change of the tables: `python tools/cpu_sheets.py`. tests/test_cpu_sheets.py holds both together.
"""

import csv
import json
from pathlib import Path
from typing import Any

TOOLS = Path(__file__).parent
SHEETS = TOOLS.parent / "data" / "accelerators"
FORMATS = ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp6", "fp4", "int4")
FIELDS = {
    "cores": "sm_count",
    "clocks": "boost_clock_hz",
    "l3": "l2_bytes",
    "tdp": "tdp_watts",
    "memory": "memory_bytes_per_second",
    "pcie": "pcie",
}
"""What `from_memory` of a line names, and the field that it makes."""
HALFWAY = "The clock is halfway between the base and the highest one: none for all cores is published."
BASE = "The clock is the base one, which wide vectors hold."
PUBLISHED = "The clock is AMD's boost of all cores."

Row = dict[str, str]
Facts = dict[str, Any]


def rows() -> list[Row]:
    with (TOOLS / "cpu_sheets.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def facts() -> Facts:
    """cpu_sheets.json, and the rates of the slots of 16 lanes."""
    links = json.loads((SHEETS.parent / "interconnects.json").read_text(encoding="utf-8"))["links"]
    rates = {link["id"]: link["bytes_per_second"] for link in links}
    slots = {f"gen{number} x16": rates[f"pcie{number}-x16"] for number in range(3, 6)}
    return {**json.loads((TOOLS / "cpu_sheets.json").read_text(encoding="utf-8")), "slots": slots}


def clock_hz(core: Facts, base: str, boost: str, all_core: str = "") -> float:
    """The clock that peaks assume, Hz."""
    if all_core:
        return float(all_core) * 1e9
    return (float(base) + float(boost)) / 2 * 1e9 if core["clock"] == "halfway" else float(base) * 1e9


def peaks(row: Row, cores: Facts) -> dict[str, float | None]:
    """FLOP/s of every format; None where the cores have no instruction for it and nothing stands in."""
    kinds = [(row["core"], row["cores"], row["base_ghz"], row["boost_ghz"], row["all_core_ghz"])]
    if row["e_core"]:
        kinds.append((row["e_core"], row["e_cores"], row["e_base_ghz"], row["e_boost_ghz"], ""))
    found: dict[str, float | None] = {}
    for dtype in FORMATS:
        rates = [cores[kind].get(dtype, 0) * int(count) * clock_hz(cores[kind], *ghz) for kind, count, *ghz in kinds]
        found[dtype] = float(f"{sum(rates):.3g}") or None
    return found


def unverified(row: Row, core: Facts) -> list[str]:
    named = ["peak_flops_per_second", *(FIELDS[part] for part in row["from_memory"].split())]
    if core["clock"] == "halfway" and not row["all_core_ghz"] and row["base_ghz"] != row["boost_ghz"]:
        named.append("boost_clock_hz")
    return list(dict.fromkeys(named))


def notes(row: Row, cores: Facts) -> str:
    """How the figures came about, in sentences."""
    core = cores[row["core"]]
    parts = [f"Memory as commonly fitted. Peaks: {core['how']}; {_clocks(row, core)}"]
    if row["e_core"]:
        e_clocks = f"{float(row['e_base_ghz']):g} to {float(row['e_boost_ghz']):g} GHz"
        parts.append(f"{row['cores']} performance and {row['e_cores']} efficient cores ({e_clocks}).")
    return " ".join([*parts, "l2_bytes is the L3 cache.", row["note"]]).strip()


def _clocks(row: Row, core: Facts) -> str:
    base, boost = float(row["base_ghz"]), float(row["boost_ghz"] or 0)
    if base == boost:
        return f"{base:g} GHz."
    clock = PUBLISHED if row["all_core_ghz"] else HALFWAY if core["clock"] == "halfway" else BASE
    return f"{base:g}{f' to {boost:g}' if boost else ''} GHz. {clock}"


def sheet(row: Row, known: Facts) -> Facts:
    """The data sheet of a line."""
    core, channels = known["cores"][row["core"]], float(row["channels"])
    sources = [known["sources"][name] for name in row["sources"].split()]
    return {
        "id": row["id"],
        "name": f"{_branded(row)} ({_memory(row)})",
        "vendor": row["vendor"],
        "kind": "cpu",
        "arch": row["arch"],
        "released": row["released"] or None,
        "aliases": row["aliases"].split(),
        "memory_kind": "LPDDR" if row["memory"].startswith("LP") else "DDR",
        "memory_bytes": int(row["memory_gib"]) * 2**30,
        "memory_usable_bytes": None,
        "memory_usable_source": None,
        "memory_bytes_per_second": channels * 8 * float(row["transfers_mts"]) * 1e6,
        "peak_flops_per_second": peaks(row, known["cores"]),
        "structured_sparsity_speedup": None,
        "l2_bytes": int(float(row["l3_mib"]) * 2**20),
        "sm_count": int(row["cores"]) + int(row["e_cores"] or 0),
        "boost_clock_hz": clock_hz(core, row["base_ghz"], row["boost_ghz"], row["all_core_ghz"]),
        "tdp_watts": float(row["tdp_watts"]) if row["tdp_watts"] else None,
        "scale_up": None,
        "pcie": row["pcie"] or None,
        "pcie_bytes_per_second": known["slots"].get(row["pcie"]),
        "usd_per_hour": None,
        "measured_fraction": None,
        "sources": [*sources, known["cycle"]],
        "confidence": "partly verified" if sources else "from memory",
        "unverified_fields": unverified(row, core),
        "notes": notes(row, known["cores"]),
    }


def _branded(row: Row) -> str:
    own = ("Raspberry", "Snapdragon", "AWS", "Ampere")
    return row["name"] if row["name"].startswith(own) else f"{row['vendor']} {row['name']}"


def _memory(row: Row) -> str:
    kind = f"{row['memory']}-{row['transfers_mts']}"
    bits = float(row["channels"]) * 64
    return f"{bits:.0f}-bit {kind}" if row["memory"].startswith("LP") else f"{row['channels']}ch {kind}"


def number(value: float) -> str:
    """As the other sheets write them: 83.2e9, 5.12e12, 170."""
    for power in (12, 9):
        if abs(value) >= 10**power:
            return f"{value / 10**power:.6g}e{power}"
    return f"{value:.6g}"


def written(found: Facts) -> str:
    """The file of a data sheet: a key a line."""
    lines = []
    for key, value in found.items():
        if key == "peak_flops_per_second":
            inner = ", ".join(f'"{name}": {number(peak) if peak else "null"}' for name, peak in value.items())
            lines.append(f' "{key}": {{{inner}}}')
        elif key == "sources":
            items = ",\n".join(f"  {json.dumps(item, ensure_ascii=False)}" for item in value)
            lines.append(f' "{key}": [\n{items}\n ]')
        else:
            text = number(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
            lines.append(f' "{key}": {text}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> None:
    known = facts()
    for row in rows():
        (SHEETS / f"{row['id']}.json").write_text(written(sheet(row, known)), encoding="utf-8")


if __name__ == "__main__":
    main()
