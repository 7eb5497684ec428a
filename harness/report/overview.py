"""The overview of a scenario with several sources: every verdict in one table, and where the report of each source lies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.compare.records import CellResult
from harness.errors import DataError
from harness.files.atomic import write_atomically
from harness.report import caption_facts, pages
from harness.report.document import (
    Block,
    Column,
    Document,
    FigureBlock,
    Kind,
    Links,
    Note,
    Paragraph,
    Section,
    Table,
    TableBlock,
)
from harness.report.drawing import style
from harness.report.figures import all_figures
from harness.report.formatting import counted, listed
from harness.report.read import Results, read_results
from harness.report.sections.verdicts_section import meanings, synthetic_note
from harness.report.tables.backend_swap_table import swap_table
from harness.report.tables.outcome_tables import cells_table, verdict_counts
from harness.report.tables.training_tables import training_table

#: In the folder of the scenario: which sources there are, and why one has no results.
SOURCES = "sources.json"


class MissingPart(BaseModel):
    """Why a source has no results, and what to do about it. ``unavailable``: its framework is not installed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    error: str
    hint: str
    unavailable: bool


class SourcePart(BaseModel):
    """One source: its framework, its folder below that of the scenario, and why that holds no results."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    framework: str
    folder: str
    missing: MissingPart | None = None


class Sources(BaseModel):
    """``sources.json``; see ``docs/artifacts.md``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    description: str = ""
    sources: tuple[SourcePart, ...]


def read_sources(folder: Path) -> Sources | None:
    """The sources of a scenario by its folder of results; None where it has a single one. Raises DataError."""
    path = folder / SOURCES
    if not path.exists():
        return None
    try:
        return Sources.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise DataError("cannot be read", where=str(path), hint="run the scenario again") from error


def build_overview(folder: Path) -> list[CellResult]:
    """Write the pages, ``tables/`` and ``figures/`` of a folder with several sources; returns the cells of all.

    Equal result files give equal bytes. Raises DataError as `harness.report.build.build_report` does.
    """
    sources = read_sources(folder)
    if sources is None:
        raise DataError("is missing", where=str(folder / SOURCES), hint="run the scenario again")
    found = {part.framework: read_results(folder / part.folder) for part in sources.sources if part.missing is None}
    tables = {table.name: table for table in (_verdicts(found), _cells(found), _trainings(found))}
    swaps = swap_table(found.values())
    if swaps.rows:
        tables[swaps.name] = swaps
    for name, table in sorted(tables.items()):
        write_atomically(folder / "tables" / f"{name}.csv", table.to_csv())
    charts, svgs = _figures(folder / "figures", found)
    document = _document(sources, found, tables, charts)
    write_atomically(folder / "report.md", pages.markdown_page(document))
    write_atomically(folder / "report.html", pages.html_page(document, svgs))
    return [cell for results in found.values() for cell in results.cells]


def _figures(folder: Path, found: dict[str, Results]) -> tuple[tuple[FigureBlock, ...], dict[str, bytes]]:
    """Write the figures of several sources that there is something to draw for; their blocks, and the SVG of each by name."""
    blocks: list[FigureBlock] = []
    svgs: dict[str, bytes] = {}
    with style.report_style():
        for name, figure in all_figures().items():
            if figure.of_sources is None:
                continue
            drawing = figure.of_sources.draw(found)
            if drawing is None:
                for suffix in ("png", "svg"):
                    (folder / f"{name}.{suffix}").unlink(missing_ok=True)
                continue
            first = next(iter(found.values()))
            line = caption_facts.line(first, samples=caption_facts.test_samples(first))
            caption = f"{figure.of_sources.caption} {line}"
            contents = {suffix: style.render(drawing, suffix, figure.title, caption) for suffix in ("png", "svg")}
            for suffix, content in contents.items():
                write_atomically(folder / f"{name}.{suffix}", content)
            blocks.append(FigureBlock(name, figure.title, caption, drawing.alternative))
            svgs[name] = contents["svg"]
    return tuple(blocks), svgs


def _document(
    sources: Sources, found: dict[str, Results], tables: dict[str, Table], charts: tuple[FigureBlock, ...]
) -> Document:
    first = next(iter(found.values()), None)
    names = [part.framework for part in sources.sources]
    cells = [cell for results in found.values() for cell in results.cells]
    counts = [f"{count} {verdict.value}" for verdict, count in verdict_counts(cells).items()]
    blocks: list[Block] = []
    if first is not None and first.manifest.data.synthetic:
        blocks.append(synthetic_note(first))
    blocks += [
        Note("No results", f"Source {part.framework}: {part.missing.error}; {part.missing.hint}".removesuffix("; "))
        for part in sources.sources
        if part.missing is not None
    ]
    blocks.append(
        Paragraph(
            f"Asked: does one architecture, trained in {listed(names)}, load in other runtimes, hold the same parameters "
            "there, and give the same answers? Each source is a training of its own, and every cell is compared with its "
            f"own source. {counted(len(cells), 'cell').capitalize()} were asked for{': ' + listed(counts) if counts else ''}."
        )
    )
    blocks.append(TableBlock(tables["verdicts"]))
    blocks.append(meanings())
    if "backend_swap" in tables:
        blocks.append(TableBlock(tables["backend_swap"]))
    reports = tuple(
        (f"Source {part.framework}: its whole report", f"{part.folder}/report.html")
        for part in sources.sources
        if part.missing is None
    )
    training = Paragraph(
        "What each framework's own training came to, in its last epoch. This is another question than the one above: weights, "
        "shuffles and optimisers differ by nature, and no figure here says anything about a change of runtime."
    )
    subtitle = f"Scenario {sources.name}, {counted(len(names), 'source')}. "
    return Document(
        title=sources.title or sources.name,
        subtitle=subtitle + (caption_facts.line(first) if first is not None else ""),
        synthetic=first is not None and first.manifest.data.synthetic,
        sections=(
            Section("verdicts", "Verdicts", tuple(blocks)),
            Section("reports", "Reports", (Links(reports),)),
            Section("trainings", "Trainings of the sources", (training, TableBlock(tables["trainings"]), *charts)),
        ),
        beside="All tables are beside this page as CSV in tables/, its figures in figures/; all others belong to the reports of "
        "the sources.",
    )


def _verdicts(found: dict[str, Results]) -> Table:
    """Sources and routes down, runtimes across."""
    targets = list(dict.fromkeys(cell.target for results in found.values() for cell in results.cells))
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for framework, results in found.items():
        for cell in results.cells:
            row = rows.setdefault((framework, cell.route_label), {"source": framework, "route": cell.route_label})
            row[cell.target] = cell.verdict
    columns = [
        Column("source", "Source"),
        Column("route", "Route"),
        *(Column(name, name, "verdict") for name in targets),
    ]
    return Table(
        "verdicts",
        "The answer for every cell, by source, route and runtime; – where a runtime does not read what the route writes.",
        tuple(columns),
        tuple(rows.values()),
        empty="No source has results.",
    )


def _cells(found: dict[str, Results]) -> Table:
    """Every cell in one row, as in the reports of the sources."""
    parts = [cells_table(results) for results in found.values()]
    if not parts:
        return Table("cells", "Every cell and its verdict.", (Column("cell", "Cell", "code"),), ())
    return Table("cells", parts[0].caption, parts[0].columns, tuple(row for part in parts for row in part.rows))


def _trainings(found: dict[str, Results]) -> Table:
    """The last epoch of every source's training, one row per source."""
    rows: list[dict[str, Any]] = []
    columns: dict[str, Column] = {}
    for framework, results in found.items():
        log = training_table(results)
        versions = results.manifest.training.get("versions", {})
        named = ", ".join(f"{name} {version}" for name, version in versions.items() if name != "numpy")
        row: dict[str, Any] = {"source": framework, "versions": named}
        if log.rows:
            row |= log.rows[-1]
            columns |= {column.key: column for column in log.columns}
        rows.append(row)
    words: tuple[tuple[str, str, Kind], ...] = (("source", "Source", "text"), ("versions", "Versions", "text"))
    return Table(
        "trainings",
        "Last epoch of each source's own training: loss on its training part, all other figures on the validation part.",
        (*(Column(*word) for word in words), *columns.values()),
        tuple(rows),
        empty="No source was trained.",
    )
