"""A report as a document: sections of blocks, rendered by one template per format.

Text in blocks is plain text. Escaping is the templates' affair, so that no class name, path or log line can become markup.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from harness.compare.records import CellResult, Verdict
from harness.files.csv_text import safe
from harness.report import formatting

#: How the values of a column are shown; in CSV files they are always raw.
Kind = Literal[
    "text", "code", "integer", "number", "ratio", "share", "percentage", "size", "seconds", "hash", "verdict"
]

_FORMATS: dict[str, Callable[[Any], str]] = {
    "integer": formatting.integer,
    "number": formatting.significant,
    "ratio": formatting.ratio,
    "share": formatting.share,
    "percentage": formatting.percentage,
    "size": formatting.size,
    "seconds": formatting.seconds,
    "hash": formatting.short_hash,
}


@dataclass(frozen=True)
class Column:
    """A column: ``key`` names it in CSV files, ``header`` in pages. Without a header it appears in CSV files only."""

    key: str
    header: str | None
    kind: Kind = "text"

    @property
    def numeric(self) -> bool:
        """Whether its values are set flush right."""
        return self.kind in ("integer", "number", "ratio", "share", "percentage", "size", "seconds")

    def show(self, value: Any) -> str:
        """A value as pages show it; words stay words in columns of numbers."""
        if value is None or value == "":
            return formatting.MISSING
        if isinstance(value, tuple):
            return ", ".join(str(part) for part in value) or formatting.MISSING
        if isinstance(value, Verdict):
            return value.value
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, str):
            return formatting.short_hash(value) if self.kind == "hash" else value
        return _FORMATS.get(self.kind, str)(value)


@dataclass(frozen=True)
class Table:
    """A table; ``name`` is the stem of its CSV file. The first column heads the rows."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()
    #: A line shown in place of the table where it has no rows.
    empty: str = "None."

    @property
    def shown(self) -> tuple[Column, ...]:
        """Columns that pages show."""
        return tuple(column for column in self.columns if column.header is not None)

    def to_csv(self) -> str:
        """All columns with raw values: floats in full precision, missing values empty, no formulas, ``\\n`` line ends."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([column.key for column in self.columns])
        for row in self.rows:
            writer.writerow([_raw(row.get(column.key)) for column in self.columns])
        return text.getvalue()


def _raw(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, Verdict):
        return value.value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(float(value))
    if isinstance(value, list | tuple):
        return safe(";".join(str(part) for part in value))
    return safe(str(value))


@dataclass(frozen=True)
class Paragraph:
    """Plain prose."""

    text: str
    kind: Literal["paragraph"] = field(default="paragraph", init=False)


@dataclass(frozen=True)
class Note:
    """A paragraph that must be seen; ``label`` names why, e.g. ``Synthetic data``."""

    label: str
    text: str
    kind: Literal["note"] = field(default="note", init=False)


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]
    kind: Literal["bullets"] = field(default="bullets", init=False)


@dataclass(frozen=True)
class Definitions:
    """Terms and what they are, in order."""

    items: tuple[tuple[str, str], ...]
    kind: Literal["definitions"] = field(default="definitions", init=False)


@dataclass(frozen=True)
class Links:
    """Pages beside this one: what each is, and its path from here."""

    items: tuple[tuple[str, str], ...]
    kind: Literal["links"] = field(default="links", init=False)


@dataclass(frozen=True)
class Listing:
    """Lines kept as they are: a log, a command, a file."""

    lines: tuple[str, ...]
    label: str = ""
    kind: Literal["listing"] = field(default="listing", init=False)


@dataclass(frozen=True)
class Answers:
    """One verdict and one plain sentence per cell."""

    cells: tuple[CellResult, ...]
    kind: Literal["answers"] = field(default="answers", init=False)


@dataclass(frozen=True)
class TableBlock:
    """A table in its place; ``tall`` ones scroll on screen and are printed whole."""

    table: Table
    tall: bool = False
    kind: Literal["table"] = field(default="table", init=False)


@dataclass(frozen=True)
class FigureBlock:
    """A figure in its place: the stem of its files, its caption, and its content in words for those who cannot see it."""

    name: str
    title: str
    caption: str
    alternative: str
    kind: Literal["figure"] = field(default="figure", init=False)


@dataclass(frozen=True)
class FiguresHere:
    """Where the figures of a section come to stand; without it they stand at the section's end. Pages never hold one."""

    kind: Literal["figures here"] = field(default="figures here", init=False)


Block = Paragraph | Note | Bullets | Definitions | Links | Listing | Answers | TableBlock | FigureBlock | FiguresHere

#: Identities of the sections of a report, in their order. Those of single findings and exporters are numbered.
SectionName = Literal[
    "verdicts",
    "comparisons",
    "versions",
    "weights",
    "outputs",
    "layers",
    "decisions",
    "parameters",
    "structure",
    "backends",
    "task",
    "disagreement",
    "confidence",
    "confusion",
    "port",
    "findings",
    "training",
    "model",
    "data",
    "exporters",
    "unavailable",
    "tooling",
    "timing",
    "timings",
    "provenance",
    "methods",
    "citing",
    "appendix",
]


@dataclass(frozen=True)
class Section:
    """A heading, its blocks and its subsections."""

    identity: str
    title: str
    blocks: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = ()


def with_figures(section: Section, figures: Mapping[str, tuple[FigureBlock, ...]]) -> Section:
    """The section and its subsections with their figures, which are given by the identity of a section."""
    own = figures.get(section.identity, ())
    blocks: list[Block] = []
    for block in section.blocks:
        blocks += own if isinstance(block, FiguresHere) else (block,)
    if not any(isinstance(block, FiguresHere) for block in section.blocks):
        blocks += own
    return replace(
        section,
        blocks=tuple(blocks),
        sections=tuple(with_figures(part, figures) for part in section.sections),
    )


@dataclass(frozen=True)
class Document:
    """A whole report."""

    title: str
    subtitle: str
    synthetic: bool
    sections: tuple[Section, ...]
    #: What lies beside the page.
    beside: str = (
        "All tables are beside this page as CSV in tables/, the main ones as LaTeX too, "
        "all figures as PNG and SVG in figures/."
    )
