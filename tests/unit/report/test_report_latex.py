"""LaTeX that is written compiles: a strict small parser, hostile texts, and tables whose rows fit their columns."""

import re

import pytest
from fixture import CLASSES, write_results
from hypothesis import given
from hypothesis import strategies as st

from harness.compare.records import Verdict
from harness.report.build import build_report
from harness.report.document import Column, Table
from harness.report.latex import escape, label, table

TABLES = ("cells", "errors", "metrics", "metrics_per_class")


#: Commands that the harness writes of its own; accents and breaks are told apart where they are read.
COMMANDS = frozenset(
    re.findall(
        r"\w+",
        "caption label footnotesize scriptsize setlength tabcolsep centering toprule midrule bottomrule "
        "smallskip parbox linewidth raggedright textbackslash textasciicircum textasciitilde textless "
        "textgreater textbar textasciigrave dag ldots times leq geq approx neq rightarrow leftarrow cdot pm "
        "mu circ cite ss",
    )
)


class Parser:
    """Reads LaTeX without comments: groups and environments nest, mathematics is closed, ``&`` stands in tables only.

    Knows the few commands that the harness writes and refuses all others, so that a misspelt one is noticed.
    """

    def __init__(self, text: str, commands: frozenset[str] = COMMANDS) -> None:
        self.commands = commands
        assert text.isascii()
        self.groups = 0
        self.environments: list[str] = []
        self.mathematics = False
        self.rows: list[list[str]] = []
        self.formats: list[str] = []
        self.row = [""]
        self.text = "\n".join(line for line in text.split("\n") if not line.startswith("% "))
        place = 0
        while place < len(self.text):
            place = self.step(place)
        assert self.groups == 0, "a group is left open"
        assert self.environments == [], "an environment is left open"
        assert not self.mathematics, "mathematics is left open"

    def step(self, place: int) -> int:
        rest = self.text[place:]
        if environment := re.match(r"\\(begin|end)\{(table|tabular)\}(\[tbp\])?", rest):
            self.environment(*environment.groups()[:2])
            place += environment.end()
            if environment[1] == "begin" and environment[2] == "tabular":
                form = re.match(r"\{@\{\}((?:[lr]|p\{10em\})+)@\{\}\}", self.text[place:])
                assert form, "the format of columns is odd"
                self.formats.append(form[1])
                place += form.end()
            return place
        if rest.startswith("\\\\"):
            assert self.environments[-1:] == ["tabular"], "a row ends outside of a table"
            assert self.groups == 0
            following = self.text[place + 2 :].lstrip()
            assert not following.startswith(("[", "*")), "the next row would be an argument of the line break"
            self.rows.append(self.row)
            self.row = [""]
            return place + 2
        if command := re.match(r"\\([A-Za-z]+)", rest):
            assert command[1] in self.commands or command[1] in "cvHru", f"unknown command \\{command[1]}"
            return place + command.end()
        if rest[0] == "\\":
            if rest[1] in "()":
                assert self.mathematics == (rest[1] == ")"), "mathematics does not nest"
                self.mathematics = rest[1] == "("
            else:
                assert rest[1] in "%$&#_{},'`\"^~=.", f"unknown command \\{rest[1]}"
            self.row[-1] += rest[1]
            return place + 2
        if rest[0] in "{}":
            self.groups += 1 if rest[0] == "{" else -1
            assert self.groups >= 0, "a group is closed twice"
        elif rest[0] == "&":
            assert self.environments[-1:] == ["tabular"], "& outside of a table"
            assert self.groups == 0
            self.row.append("")
        elif rest[0] in "^_":
            assert self.mathematics, f"{rest[0]} outside of mathematics"
        else:
            assert rest[0] not in '$#%"<>|', f"{rest[0]} stands raw"
            self.row[-1] += rest[0]
        return place + 1

    def environment(self, kind: str, name: str) -> None:
        assert self.groups == 0
        if kind == "begin":
            self.environments.append(name)
        else:
            assert self.environments.pop() == name, "environments do not nest"
        self.row = [""]


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_whole(report, name):
    text = (report.html.parent / "tables" / f"{name}.tex").read_text()
    parser = Parser(text)
    (form,) = parser.formats
    columns = len(re.findall(r"[lr]|p\{10em\}", form))
    assert len(parser.rows) > 5
    assert {len(row) for row in parser.rows} == {columns}
    assert [text.count(rf"\{rule}") for rule in ("toprule", "midrule", "bottomrule")] == [1, 1, 1]
    assert len(re.findall(r"\\label\{tab:[A-Za-z0-9-]+\}", text)) == 1
    caption = re.search(r"\\caption\[.*?\]\{(.*)\}\n", text)[1]
    for fact in ("64 samples", "5f0c3b7a9d21", "seed 42", "head logits", "torch 2.13.0", "synthetic data"):
        assert fact in caption


def test_tables_hold_the_rows_of_the_pages(report, results):
    read = {name: Parser((report.html.parent / "tables" / f"{name}.tex").read_text()).rows for name in TABLES}
    assert len(read["cells"]) == 1 + len(results.cells)
    assert len(read["metrics"]) == 1 + len(results.runners)
    assert len(read["metrics_per_class"]) == 1 + len(CLASSES)
    verdicts = [row[2].strip() for row in read["cells"][1:]]
    assert verdicts == [cell.verdict.value for cell in results.cells]
    assert ["not finite", "not finite"] in [[cell.strip() for cell in row[5:7]] for row in read["cells"]]


def test_methods_compile_too(report):
    Parser((report.html.parent / "methods.tex").read_text())


def test_tables_without_rows_are_a_sentence(tmp_path, draw_only):
    draw_only()
    folder = write_results(tmp_path / "unit-test", (Verdict.FAILED, Verdict.UNAVAILABLE))
    build_report(folder)
    for name in ("errors", "metrics", "metrics_per_class"):
        text = (folder / "tables" / f"{name}.tex").read_text()
        Parser(text)
        assert "tabular" not in text
        assert text.splitlines()[-1].startswith("No ")
    assert "unavailable" in (folder / "tables" / "cells.tex").read_text()


@pytest.mark.parametrize(
    ("plain", "expected"),
    [
        ("95 % of a_b & c~d", r"95 \% of a\_b \& c\textasciitilde{}d"),
        ("2.10 × 10⁻⁷", r"2.10 \(\times\) 10\(^{-7}\)"),
        ("x ≤ 3 … †", r"x \(\leq\) 3 \ldots{} \dag{}"),
        ("Körner, Lefèvre, Rußwurm, François", r"K\"{o}rner, Lef\`{e}vre, Ru\ss{}wurm, Fran\c{c}ois"),
        ("naïve", r"na\"{\i{}}ve"),
        ("--to a---b", r"-{}-to a-{}-{}-b"),
        ("[3] *", r"{[}3{]} {*}"),
        ("小麦", "{[}U+5C0F{]}{[}U+9EA6{]}"),
        ("two\nlines", "two lines"),
        ("\\end{table}$", r"\textbackslash{}end\{table\}\$"),
        ("5\u00a0m", "5~m"),
    ],
)
def test_text_is_escaped(plain, expected):
    assert escape(plain) == expected


@given(st.lists(st.text(max_size=20), min_size=2, max_size=4))
def test_no_text_breaks_a_table(values):
    columns = (Column("first", "First"), Column("second", values[0], "integer"))
    rows = tuple({"first": value, "second": value} for value in values)
    made = table(
        Table("t", "A table.", columns, rows, notes=tuple(values)), caption=values[0], reference=label(*values)
    )
    # Escaped texts may use the command of any symbol.
    words = frozenset(re.findall(r"\\([A-Za-z]+)", made)) - {"begin", "end"}
    assert [len(row) for row in Parser(made, COMMANDS | words).rows] == [2] * (1 + len(values))


@pytest.mark.parametrize(
    "broken",
    [
        r"\begin{table}[tbp]",
        "a & b",
        "100 %",
        "{",
        "a_b",
        r"\(x",
        r"\begin{tabular}{@{}ll@{}} a \\ [x] \\ \end{tabular}",
        r"\textlesss{}",
    ],
)
def test_the_parser_is_strict(broken):
    with pytest.raises(AssertionError):
        Parser(broken)
