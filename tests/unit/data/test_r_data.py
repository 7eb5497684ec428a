from __future__ import annotations

import builtins
import gzip
import subprocess
import sys

import numpy as np
import pytest
import rda

from harness.data import r_data
from harness.data.r_data import read_frame
from harness.errors import DataError


@pytest.fixture(autouse=True)
def _parser_of_its_own():
    yield
    r_data._reader.cache_clear()


def read(tmp_path, value: bytes, **options):
    return read_frame(rda.save(tmp_path / "x.rda", {"x": value}, **options))[1]


@pytest.mark.parametrize("compress", [True, False])
def test_columns_are_read_in_order_and_by_kind(tmp_path, compress):
    columns = {
        "z": rda.reals([1.5, np.nan]),
        "a": rda.integers([7, -(2**31)]),
        "text": rda.texts(["Mato Grosso", "São Félix"]),
        "factor": rda.factor([2, 1], ["low", "high"]),
        "day": rda.dates([11213, -1]),
        "series": rda.items([rda.frame({"v": rda.reals([1])}), rda.frame({"v": rda.reals([2, 3])})]),
        "sequence": rda.compact_sequence(2),
        "falling": rda.compact_sequence(2, -1, -1),
    }
    frame = read(tmp_path, rda.frame(columns), compress=compress)
    assert list(frame.columns) == list(columns)
    assert frame.rows == 2
    assert np.array_equal(frame.column("z").numbers(), [1.5, np.nan], equal_nan=True)
    assert np.array_equal(frame.column("a").numbers(), [7, np.nan], equal_nan=True)
    assert frame.column("text").texts() == ["Mato Grosso", "São Félix"]
    assert frame.column("factor").texts() == ["high", "low"]
    assert frame.column("day").dates().astype(str).tolist() == ["2000-09-13", "1969-12-31"]
    assert [one.column("v").numbers().tolist() for one in frame.column("series").frames()] == [[1], [2, 3]]
    assert frame.column("sequence").numbers().tolist() == [1, 2]
    assert frame.column("falling").numbers().tolist() == [-1, -2]


def test_one_object_of_several_is_chosen_by_name(tmp_path):
    path = rda.save(tmp_path / "x.rda", {"a": rda.reals([1]), "b": rda.frame({"v": rda.reals([1])})})
    assert read_frame(path, "b")[1].rows == 1
    with pytest.raises(DataError, match=r"x.rda: holds 2 objects: a, b; name one by the option object"):
        read_frame(path)
    with pytest.raises(DataError, match="there is no object c; there are a, b"):
        read_frame(path, "c")


CLOSURE = rda.number(3 | rda.TAG) + rda.number(253) + rda.NIL + rda.reals([1])
ENVIRONMENT = rda.number(4) + rda.number(0) + rda.number(253) + rda.NIL * 3
POINTER = rda.number(22) + rda.NIL * 2
CALL = rda.number(6) + rda.symbol("system") + rda.number(2) + rda.texts(["touch pwned"]) + rda.NIL
BYTECODE = rda.number(21) + rda.number(2**31 - 1)
COMPILED = rda.number(21) + rda.number(1) + rda.integers([12, 1]) + rda.number(1) + rda.number(14) + rda.reals([1])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (CLOSURE, "x.rda:x: a function, not a data frame"),
        (ENVIRONMENT, "x.rda:x: an environment, not a data frame"),
        (POINTER, "x.rda:x: an external pointer, not a data frame"),
        (CALL, "x.rda:x: R code, not a data frame"),
        (BYTECODE, "x.rda: holds more than 4000000 objects"),
        (rda.reals([1, 2]), "x.rda:x: a numeric vector, not a data frame"),
        (rda.items([rda.reals([1])], {"names": rda.texts(["v"])}), "x.rda:x: a list, not a data frame"),
        (rda.items([rda.reals([1])], {"class": rda.texts(["data.frame"])}), "whose columns are not named"),
        (rda.frame({"a": rda.reals([1]), "b": rda.reals([1, 2])}), "column a has 1 rows, others 2"),
        (rda.vector(19, 10**9, b""), "states a length that the file does not have"),
        (rda.vector(14, 10**9, b"12345678"), "states a length that the file does not have"),
        (rda.vector(14, -5, b""), "states a length that the file does not have"),
        (rda.frame({"a": rda.compact_sequence(2**40)}), "compact sequences of more than"),
        (rda.frame({"a": rda.compact_sequence(-(2**40))}), "compact sequences of more than"),
        ((rda.number(19) + rda.number(1)) * 5000 + rda.NIL, "nested too deeply"),
        (rda.number(199), "not a whole R data file"),
    ],
)
def test_what_is_not_plain_data_is_refused_by_name(tmp_path, value, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, value)


@pytest.mark.parametrize("value", [CLOSURE, ENVIRONMENT, POINTER, CALL, COMPILED])
def test_code_beside_the_data_stays_unread(tmp_path, value):
    frame = read(tmp_path, rda.frame({"f": rda.items([value]), "v": rda.reals([4])}))
    assert frame.column("v").numbers().tolist() == [4]
    with pytest.raises(DataError, match=r"x.rda:x\$f: a list, not numbers"):
        frame.column("f").numbers()
    with pytest.raises(DataError, match=r"x.rda:x\$f, row 1: .*, not a data frame"):
        frame.column("f").frames()


@pytest.mark.parametrize(
    ("column", "reading", "message"),
    [
        (rda.factor([1, -(2**31)], ["low"]), "texts", r"\$c, row 2: a factor without a level"),
        (rda.factor([1, 9], ["low"]), "texts", r"\$c, row 2: a factor without a level"),
        (rda.texts(["a", None]), "texts", "NA where a text should be"),
        (rda.reals([1, 2]), "texts", "a numeric vector, not text"),
        (rda.factor([1, 1], ["low"]), "numbers", "an integer vector, not numbers"),
        (rda.reals([1, 2]), "dates", "a numeric vector, not of class Date"),
        (rda.dates([1, np.nan]), "dates", r"\$c, row 2: not a date"),
        (rda.dates([1, 1e300]), "dates", r"\$c, row 2: not a date"),
    ],
)
def test_a_bad_column_is_named(tmp_path, column, reading, message):
    found = read(tmp_path, rda.frame({"c": column})).column("c")
    with pytest.raises(DataError, match=message):
        getattr(found, reading)()


def test_truncation_at_any_byte_is_an_error(tmp_path):
    path = rda.save(tmp_path / "x.rda", {"x": rda.samples(["a", "b"])}, compress=False)
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"x.rda: (not |states )"):
            read_frame(path)
    path.write_bytes(gzip.compress(whole)[:-20])
    with pytest.raises(DataError, match="cannot be decompressed"):
        read_frame(path)


def test_foreign_files_are_named(tmp_path):
    path = tmp_path / "x.rda"
    for content in (b"", b"PK\3\4", b"X\n\0\0\0\2", b"RDA2\nA\n2\n", gzip.compress(b"RDX9\nX\n")):
        path.write_bytes(content)
        with pytest.raises(DataError, match="not an R data file in its usual binary form"):
            read_frame(path)
    with pytest.raises(DataError, match="does not exist"):
        read_frame(tmp_path / "y.rda")


def test_a_small_file_cannot_fill_the_memory(tmp_path, monkeypatch):
    path = rda.save(tmp_path / "x.rda", {"x": rda.items([rda.NIL] * 5000)})
    monkeypatch.setattr(r_data, "MOST_OBJECTS", 4000)
    with pytest.raises(DataError, match="holds more than 4000 objects"):
        read_frame(path)
    monkeypatch.setattr(r_data, "LARGEST_FILE", 8 << 20)
    path.write_bytes(gzip.compress(rda.HEADER + bytes(9 << 20)))
    with pytest.raises(DataError, match="more than 8 MiB when decompressed"):
        read_frame(path)


def test_the_package_is_asked_for_by_name(tmp_path, monkeypatch):
    path = rda.save(tmp_path / "x.rda", {"x": rda.frame({})})
    r_data._reader.cache_clear()
    real = builtins.__import__

    def without(name, *arguments, **named):
        if name.startswith("rdata"):
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"read by the package rdata, version 1.1; pip install 'rdata"):
        read_frame(path)


def test_the_package_is_imported_late():
    code = "import sys, harness.data.r_data, harness.data.sources.sits_rda; print('rdata' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
