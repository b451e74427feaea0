"""The small things that everything stands on: printed numbers and text, immutable nouns, errors, the user's files."""

import re
from dataclasses import field
from pathlib import Path

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from sparsecalc.core import units
from sparsecalc.core.arrays import figure, least, most
from sparsecalc.core.errors import InputError, SparsecalcError, named_reason_of, reason_of
from sparsecalc.core.faults import first_fault
from sparsecalc.core.frozen import Frozen
from sparsecalc.core.notes import Note
from sparsecalc.core.suggest import did_you_mean
from sparsecalc.core.text import brief, printable
from sparsecalc.core.user_files import check_size, json_object, read_user_file, text_of

# --- core/units -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0 K"),
        (1_540_000, "1.5 M"),
        (46_702_792_704, "46.7 B"),
        (2.5e12, "2.5 T"),
        (3e15, "3.0 P"),
        (-2_000_000, "-2.0 M"),
    ],
)
def test_counts_in_powers_of_1000(value: float, text: str) -> None:
    assert units.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12, "12 FLOP"),
        (1500, "1.5 KFLOP"),
        (2e6, "2.0 MFLOP"),
        (25_500_319_744, "25.5 GFLOP"),
        (3e12, "3.0 TFLOP"),
        (4e15, "4.0 PFLOP"),
        (6.6e24, "6600000.0 EFLOP"),
    ],
)
def test_flops_in_powers_of_1000(value: float, text: str) -> None:
    assert units.flops(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1023, "1,023 B"),
        (131_072, "128.0 KiB"),
        (1024**2, "1.0 MiB"),
        (1024**3, "1.0 GiB"),
        (1024**4, "1.0 TiB"),
    ],
)
def test_bytes_in_powers_of_1024(value: float, text: str) -> None:
    assert units.nbytes(value) == text


def test_digits_behind_the_point() -> None:
    assert (units.count(1_234_567, 2), units.flops(1_234_567, 0), units.nbytes(1536, 3)) == (
        "1.23 M",
        "1 MFLOP",
        "1.500 KiB",
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ns"),
        (2.5e-9, "2.5 ns"),
        (1e-6, "1 us"),
        (42.42e-6, "42.4 us"),
        (0.0201, "20.1 ms"),
        (1, "1 s"),
        (12.34, "12.3 s"),
        (1000, "1,000 s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text


def test_a_duration_with_its_band() -> None:
    assert units.band(0.0201, 0.0165, 0.0244) == "20.1 ms (16.5 ms to 24.4 ms)"


@pytest.mark.parametrize(("value", "text"), [(1_234_567, "1,234,567"), (0.123456, "0.123"), (12.0, "12")])
def test_exact_numbers(value: float, text: str) -> None:
    assert units.exact(value) == text


# --- core/text, core/suggest ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "longest", "safe"),
    [
        ("plain: ü", 200, "plain: ü"),
        ("red\x1b[31m\n", 200, "red?[31m?"),
        ("abcdefgh", 8, "abcdefgh"),
        ("abcdefghi", 8, "abcde..."),
    ],
)
def test_printable(text: str, longest: int, safe: str) -> None:
    assert printable(text, longest) == safe


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12, "12"),
        ("a\x1b", r"'a\x1b'"),
        ("x" * 100, "'" + "x" * 56 + "..."),
        (10**20 - 1, "99999999999999999999"),
        (-(10**20), "an integer of more than 20 digits"),
    ],
)
def test_brief(value: object, text: str) -> None:
    assert brief(value) == text


@pytest.mark.parametrize(
    ("word", "hint"),
    [("mixtral", ". Did you mean 'Mixtral'?"), ("MIXTARL", ". Did you mean 'Mixtral'?"), ("gpt", ""), ("", "")],
)
def test_did_you_mean(word: str, hint: str) -> None:
    assert did_you_mean(word, ["Mixtral", "olmoe"]) == hint


# --- core/arrays ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "smaller", "larger"),
    [
        (2, 3, 2, 3),
        (np.array([1, 5]), 3, [1, 3], [3, 5]),
        (3, np.array([1, 5]), [1, 3], [3, 5]),
        (np.array([1, 5]), np.array([2, 4]), [1, 4], [2, 5]),
    ],
)
def test_least_and_most(first: object, second: object, smaller: object, larger: object) -> None:
    assert np.array_equal(least(first, second), smaller)
    assert np.array_equal(most(first, second), larger)


def test_a_figure_of_an_array_has_no_text() -> None:
    assert (figure(1_234_567), figure(np.array([1, 2]))) == ("1,234,567", "n")


# --- core/frozen ----------------------------------------------------------------------------------------------------


class Point(Frozen):
    x: int
    y: int = 2
    tags: tuple[str, ...] = ()
    names: dict[str, int] = field(default_factory=dict)

    def check(self) -> None:
        if self.x < 0:
            raise ValueError("x is below 0")


class Other(Frozen):
    x: int
    y: int = 2
    tags: tuple[str, ...] = ()
    names: dict[str, int] = field(default_factory=dict)


class Wide(Point):
    z: int = 0


def test_defaults_fill_what_is_not_given() -> None:
    assert repr(Point(x=1)) == "Point(x=1, y=2, tags=(), names={})"


def test_each_noun_has_its_own_default() -> None:
    assert Point(x=1).names is not Point(x=1).names


@pytest.mark.parametrize(
    ("given", "text"), [({}, "Point needs x"), ({"x": 1, "w": 3, "v": 4}, "Point has no field w, v")]
)
def test_missing_and_unknown_fields(given: dict[str, int], text: str) -> None:
    with pytest.raises(TypeError, match=f"^{text}$"):
        Point(**given)


def test_fields_by_position_are_refused() -> None:
    with pytest.raises(TypeError):
        Point(1)  # type: ignore[misc]


def test_contradictions_are_refused_in_copies_too() -> None:
    for bad in (lambda: Point(x=-1), lambda: Point(x=1).but(x=-1)):
        with pytest.raises(ValueError, match="x is below 0"):
            bad()


def test_a_noun_cannot_be_changed() -> None:
    point = Point(x=1)
    with pytest.raises(AttributeError, match="Point is immutable"):
        point.x = 2  # type: ignore[misc]
    assert point.x == 1


def test_nouns_are_compared_by_class_and_value() -> None:
    assert Point(x=1) == Point(x=1, y=2)
    assert Point(x=1) != Point(x=2)
    assert Point(x=1) != Other(x=1)
    assert Note(code="a", text="b") in {Note(code="a", text="b", model=None)}
    assert len({Note(code="a", text="b"), Note(code="a", text="c")}) == 2


def test_a_copy_with_changes() -> None:
    point = Point(x=1)
    assert point.but(y=5) == Point(x=1, y=5)
    assert point == Point(x=1)


def test_fields_are_inherited() -> None:
    assert Wide(x=1, z=3).to_dict() == {"x": 1, "y": 2, "tags": (), "names": {}, "z": 3}


# --- core/errors, core/faults ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "hint", "line"),
    [
        ("", "", "is 3"),
        ("a.json", "", "a.json: is 3"),
        ("", "Take 2", "is 3. Take 2"),
        ("a.json", "Take 2", "a.json: is 3. Take 2"),
    ],
)
def test_input_errors_are_one_line(where: str, hint: str, line: str) -> None:
    assert str(InputError("is 3", where=where, hint=hint)) == line


def test_exit_codes() -> None:
    assert (InputError("").exit_code, SparsecalcError("").exit_code) == (2, 1)


@pytest.mark.parametrize(
    ("error", "reason", "named"),
    [
        (ValueError("no such key\nmore"), "no such key", "ValueError: no such key"),
        (OSError(2, "No such file", "/a"), "No such file", "FileNotFoundError: No such file"),
        (KeyError(), "KeyError", "KeyError"),
        (ValueError("x" * 200), "x" * 160, "ValueError: " + "x" * 160),
    ],
)
def test_reasons_of_errors(error: Exception, reason: str, named: str) -> None:
    assert (reason_of(error), named_reason_of(error)) == (reason, named)


class Inner(BaseModel):
    size: int


class Schema(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: Inner
    sizes: dict[int, int] = {}


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"inner": {}}, "inner.size: is missing"),
        ({"inner": {"size": 1}, "x": 1}, "x: no such field"),
        ({"inner": {}, "x": 1}, r"inner.size: is missing \(1 of 2 faults\)"),
        ({"inner": {"size": 1.5}, "x": 1, "y": 1}, r"inner.size: Input should be a valid integer.* \(1 of 3 faults\)"),
        ({"inner": {"size": 1}, "sizes": {"a": 1}}, "sizes.a: Input should be a valid integer.*"),
    ],
)
def test_the_first_fault_of_a_file(data: object, line: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Schema.model_validate(data)
    assert re.fullmatch(line, first_fault(caught.value))


# --- core/user_files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b'{"a": 1}', b'\xef\xbb\xbf{"a": 1}'])
def test_a_json_object(content: bytes) -> None:
    assert json_object(content, "a.json", "Look") == {"a": 1}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"[1]", "a.json: not a JSON object. Look"),
        (b"{", "a.json: not JSON (Expecting property name"),
        (b" \n", "a.json: the file is empty. Look"),
        (b"\xff\xfe", "a.json: not a text file. Look"),
        (b"[" * 100_000, "a.json: nested too deeply. Look"),
    ],
)
def test_what_is_no_json_object(content: bytes, line: str) -> None:
    with pytest.raises(InputError) as caught:
        json_object(content, "a.json", "Look")
    assert str(caught.value).startswith(line)


def test_the_largest_size_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"12345")
    content = read_user_file(path, 5, hint="Look")
    assert (content, text_of(content, "a.txt", "Look")) == (b"12345", "12345")
    with pytest.raises(InputError, match=r"more than 4 bytes\. Look"):
        read_user_file(path, 4, hint="Look")
    check_size(b"1" * 1000, "a.txt", 1000, "Look")
    with pytest.raises(InputError, match=r"a\.txt: more than 1,000 bytes"):
        check_size(b"1" * 1001, "a.txt", 1000, "Look")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^no config: .*a\.txt\. Look$"):
        read_user_file(tmp_path / "a.txt", 5, hint="Look", missing="no config")
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        read_user_file(tmp_path, 5, hint="Look")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (999.6e-6, "1 ms"),
        (999.4e-6, "999 us"),
        (0.9996, "1 s"),
        (0.9994, "999 ms"),
        (999.7, "1,000 s"),
        (999.4, "999 s"),
    ],
)
def test_a_duration_that_rounds_up_to_a_unit_is_told_in_it(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text
