"""The folders of measure/ import each other one way: what several of them share lies below."""

from test_floors import SOURCES, imported

BELOW: dict[str, set[str]] = {
    "machine": set(),
    "architecture": {"machine"},
    "counts": {"architecture"},
    "derive": {"architecture"},
    "calibrate": {"architecture", "machine"},
    "timing": {"architecture", "calibrate", "machine"},
}
"""What each folder may import."""
PREFIX = "sparsecalc.measure."


def folders_imported(source: str) -> set[str]:
    return {name.removeprefix(PREFIX).split(".")[0] for name in imported(source) if name.startswith(PREFIX)}


def test_folders_import_what_lies_below() -> None:
    folders = {path: path.split("/")[2] for path in SOURCES if path.startswith("sparsecalc/measure/")}
    wrong = {
        path: folders_imported(SOURCES[path]) - BELOW[folder] - {folder}
        for path, folder in folders.items()
        if folder != "__init__.py"
    }
    assert {path: names for path, names in wrong.items() if names} == {}
    assert set(folders.values()) - {"__init__.py"} == set(BELOW)


def test_the_check_sees_what_it_looks_for() -> None:
    source = "from sparsecalc.measure.timing.profile import profile\nimport sparsecalc.measure.machine.samples"
    assert folders_imported(source) == {"timing", "machine"}
