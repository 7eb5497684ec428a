"""Names that begin as formulas do are written as texts, and read back as they were."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from harness.files.csv_text import plain
from harness.report.document import Column, Table
from harness.report.read import _table
from harness.results.tables import as_csv

NAMES = ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\tx", "'=1", "''@x", "'tis", "-1.5", "+3", "-inf", "", "water", "a=b"]
WRITTEN = [
    "'=1+1",
    "'+cmd",
    "'-2+3",
    "'@SUM(A1)",
    "'\tx",
    "''=1",
    "'''@x",
    "'tis",
    "-1.5",
    "+3",
    "-inf",
    "",
    "water",
    "a=b",
]


def test_no_text_of_a_file_is_a_formula_in_a_table() -> None:
    table = Table("t", "", (Column("class", "Class"), Column("n", "N")), tuple({"class": n, "n": -1.5} for n in NAMES))
    rows = list(csv.reader(io.StringIO(table.to_csv())))
    assert [row[0] for row in rows[1:]] == WRITTEN
    assert {row[1] for row in rows[1:]} == {"-1.5"}


def test_result_files_give_the_names_back(tmp_path: Path) -> None:
    path = tmp_path / "outputs.csv"
    path.write_text(as_csv([["class", "value"], *([name, "-1.5"] for name in NAMES)]))
    assert [row[0] for row in csv.reader(io.StringIO(path.read_text()))][1:] == WRITTEN
    frame = _table(path, {"class"})
    assert frame["class"].tolist() == NAMES
    assert set(frame["value"]) == {-1.5}


@pytest.mark.parametrize(("name", "written"), [*zip(NAMES, WRITTEN, strict=True)])
def test_what_was_written_is_read(name: str, written: str) -> None:
    assert plain(written) == name
