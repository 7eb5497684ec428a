"""Builds a report from a results folder: tables, figures and pages, each written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.files.atomic import write_atomically
from harness.report import caption_facts, compose, draw_figures, latex, pages
from harness.report.bibliography import bibliography
from harness.report.contents import Contents
from harness.report.document import Table
from harness.report.methods import methods
from harness.report.read import Results, read_results
from harness.report.tables import (
    layer_tables,
    outcome_tables,
    parameter_tables,
    port_tables,
    printed_tables,
    structure_table,
    task_tables,
    timing_tables,
    tooling_tables,
    training_tables,
    version_tables,
)
from harness.report.task_reports import tables_of_task
from harness.tasks import all_tables

#: Called with what is done, the total, and what comes next.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class ReportFiles:
    """The files of a report."""

    markdown: Path
    html: Path
    tables: tuple[Path, ...]
    figures: tuple[Path, ...]
    #: What papers take over: LaTeX tables, the paragraph on methods, references.
    texts: tuple[Path, ...] = ()


def build_report(folder: Path, pdf: bool = False, progress: Progress | None = None) -> ReportFiles:
    """Make the report of one scenario from the result files in ``folder``, and write it there.

    Equal result files give equal bytes. ``pdf`` writes every figure as PDF too. Raises DataError, naming file, reason and
    remedy, where a result file is missing, cut short or does not belong to the others; StoreError where the folder cannot be
    written.
    """

    def tell(done: int, text: str) -> None:
        if progress is not None:
            progress(done, 4, text)

    tell(0, "reading result files")
    results = read_results(folder)
    tell(1, "writing tables")
    found = task_tables.task_results(results)
    tables = make_tables(results, found)
    table_paths = _write_tables(folder / "tables", tables)
    texts = _write_texts(folder, results, tables, found)
    tell(2, "drawing figures")
    drawn = draw_figures.draw_figures(folder / "figures", Contents(results, found, tables), pdf)
    tell(3, "writing pages")
    document = compose.compose(results, tables, drawn.by_section)
    markdown, html = folder / "report.md", folder / "report.html"
    write_atomically(markdown, pages.markdown_page(document))
    write_atomically(html, pages.html_page(document, drawn.svgs))
    tell(4, "report written")
    return ReportFiles(markdown, html, table_paths, drawn.paths, texts)


def make_tables(results: Results, found: task_tables.TaskResults | None) -> dict[str, Table]:
    """The tables that become CSV files, by name; ``found`` are the predictions of the test samples."""
    tables = (
        outcome_tables.cells_table(results),
        outcome_tables.routes_table(results),
        outcome_tables.flips_table(results),
        parameter_tables.parameters_table(results),
        structure_table.structure_table(results),
        layer_tables.layers_table(results),
        *tables_of_task(results, found),
        training_tables.training_table(results),
        training_tables.training_seconds_table(results),
        training_tables.seconds_table(results),
        tooling_tables.tooling_table(results),
        tooling_tables.tooling_seconds_table(results),
        *timing_tables.timing_tables(results),
        *(_of_port(results) if results.port is not None and not results.port.error else ()),
        *version_tables.versions_tables(results),
    )
    return {table.name: table for table in tables}


def _of_port(results: Results) -> tuple[Table, ...]:
    return (
        port_tables.hypotheses_table(results),
        port_tables.layer_gaps_table(results),
        port_tables.conventions_table(results),
        port_tables.reported_table(results),
    )


def _write_tables(folder: Path, tables: dict[str, Table]) -> tuple[Path, ...]:
    paths = []
    for name, table in sorted(tables.items()):
        path = folder / f"{name}.csv"
        write_atomically(path, table.to_csv())
        paths.append(path)
    for name in {*timing_tables.NAMES, *version_tables.NAMES, *all_tables()} - set(tables):
        # A table of an earlier report would show other numbers.
        (folder / f"{name}.csv").unlink(missing_ok=True)
    return tuple(paths)


def _write_texts(
    folder: Path, results: Results, tables: dict[str, Table], found: task_tables.TaskResults | None
) -> tuple[Path, ...]:
    """LaTeX tables, and the paragraph on methods as plain text and as LaTeX with its references."""
    text = methods(results)
    contents = {
        "methods.txt": text.text(),
        "methods.tex": text.latex(),
        "references.bib": bibliography(text.references),
    }
    for table in printed_tables.printed_tables(results, tables, found):
        samples = caption_facts.test_samples(results) if table.name.startswith("metrics") else ""
        caption = caption_facts.line(results, samples=samples, with_versions=True)
        reference = latex.label(results.manifest.scenario.name, table.name)
        contents[f"tables/{table.name}.tex"] = latex.table(table, caption=caption, reference=reference)
    for name, content in sorted(contents.items()):
        write_atomically(folder / name, content)
    return tuple(folder / name for name in sorted(contents))
