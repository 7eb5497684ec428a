"""The scoreboard as a page of Markdown, and its totals as they stand in the README."""

from __future__ import annotations

from collections.abc import Iterable

from harness.conformance.scoreboard import OWN, RESULTS, Scoreboard, Standing

#: Between these lines of the README stand the totals.
BEGIN, END = "<!-- conformance: begin -->", "<!-- conformance: end -->"

_HEAD = """# Conformance

What every reader of ONNX files makes of the cases that the package `onnx` {onnx} publishes: its node cases, and the suites
simple, pytorch-converted, pytorch-operator and light. `python -m harness conformance` runs them and writes this page. An answer
passes within the tolerances of ONNX's own runner: relative 1e-3 and absolute 1e-7 where the case does not say otherwise,
two units in the last place for bfloat16; integers, booleans, types and shapes are equal.

- **passed**: the published values;
- **wrong**: other values, or another type or shape, without an error;
- **excused**: other values than the published ones, which are themselves shown to be wrong by a computation in double
  precision (`harness/conformance/exact_values.py`);
- **refused**: by name when the file is loaded, before anything is computed;
- **failed**: another error.
"""


def page(board: Scoreboard) -> str:
    """The whole page."""
    parts = [
        _HEAD.format(onnx=board.onnx),
        "## Totals\n",
        totals(board),
        "## Suites\n\nPassed of all.\n",
        _passed_of_all(board, "suite", lambda one: one.suites),
    ]
    if board.left_out:
        parts += ["## Not asked\n\nPublished cases that no reader is given.\n"]
        parts += [_table(("reason", "cases"), [(reason, str(n)) for reason, n in board.left_out.items()])]
    parts += [
        "## Operators\n\nPassed of all cases that hold the operator; wrong ones beside them.\n",
        _passed_of_all(board, "operator", lambda one: one.operators),
    ]
    parts += [_remarks(standing) for standing in board.standings if any(standing.remarks.values())]
    return "\n".join(parts)


def totals(board: Scoreboard) -> str:
    """One row per reader: results and versions."""
    rows = []
    for standing in board.standings:
        counts = standing.total()
        name = f"**{standing.reader}**" if standing.reader in OWN else standing.reader
        versions = ", ".join(f"{package} {version}" for package, version in sorted(standing.versions.items()))
        rows.append((name, *(str(counts[key]) for key in RESULTS), versions))
    return _table(("reader", *RESULTS, "versions"), rows)


def with_totals(readme: str, board: Scoreboard) -> str:
    """A README with the totals between the lines that mark their place; unchanged where it has none."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        return readme
    return f"{before}{BEGIN}\n{totals(board)}{END}{after}"


def _passed_of_all(board: Scoreboard, title: str, counts_of: object) -> str:
    assert callable(counts_of)
    groups = [counts_of(standing) for standing in board.standings]
    names = sorted({name for group in groups for name in group}, key=str.lower)
    rows = [(name, *(_cell(group.get(name, {})) for group in groups)) for name in names]
    return _table((title, *(standing.reader for standing in board.standings)), rows)


def _cell(counts: dict[str, int]) -> str:
    every = sum(counts.values())
    passed = counts.get("passed", 0) + counts.get("excused", 0)
    wrong = counts.get("wrong", 0)
    text = str(every) if passed == every else f"{passed} of {every}"
    return f"{text}, **{wrong} wrong**" if wrong else text


def _remarks(standing: Standing) -> str:
    lines = [f"## Remarks on {standing.reader}\n"]
    for kind, told in standing.remarks.items():
        lines += [f"- {kind}: {_escaped(line)}" for line in told]
    return "\n".join(lines) + "\n"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _escaped(text: str) -> str:
    """A message of a reader as plain text in Markdown, without paths of this machine."""
    return " ".join(text.split())[:200].replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
