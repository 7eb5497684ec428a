"""The main tables as they fit a printed page: target and route in columns of their own, no column for what captions say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.report.document import Column, Table
from harness.report.read import Results
from harness.report.tables import outcome_tables
from harness.report.tables.task_tables import TaskResults
from harness.report.task_reports import report_of

#: Said in the caption of every table, by :func:`harness.report.caption_facts.line`.
_IN_CAPTIONS = ("head", "probe")


def printed_tables(results: Results, tables: dict[str, Table], found: TaskResults | None) -> tuple[Table, ...]:
    """Cells, errors, those of the task, and both of tooling effort.

    A table's name is the stem of its file.
    """
    of_task = report_of(results).printed(results, tables, found)
    return _cells(results), _errors(results), *of_task, _tooling(tables["tooling"]), tables["tooling_seconds"]


def _cells(results: Results) -> Table:
    rows = []
    # A file of unknown origin has no source that an error could be end to end of.
    which = "Runtime" if results.manifest.source == "file" else "End to end"
    for cell in results.cells:
        end_to_end = cell.end_to_end or cell.runtime_comparison
        row: dict[str, Any] = {"target": cell.target, "route": cell.route_label, "verdict": cell.verdict}
        if cell.parameters:
            row["parameters"] = cell.parameters.verdict
        if cell.route_comparison:
            row["relative_rms"] = cell.route_comparison.errors.relative_rms
        if end_to_end:
            ratios = {"rms_ratio": end_to_end.rms_ratio, "max_ratio": end_to_end.max_ratio}
            row |= {key: "not finite" if value is None else value for key, value in ratios.items()}
        if cell.decisions:
            row |= {"decisions": cell.decisions.decisions, "flips": cell.decisions.counted_count}
        rows.append(row)
    return Table(
        "cells",
        "Verdict of every cell, and what it rests on.",
        (
            Column("target", "Target"),
            Column("route", "Route"),
            Column("verdict", "Verdict", "verdict"),
            Column("parameters", "Parameters", "verdict"),
            Column("relative_rms", "Route, rel. RMS", "number"),
            Column("rms_ratio", f"{which}, RMS / floor", "ratio"),
            Column("max_ratio", f"{which}, max / floor", "ratio"),
            Column("flips", "Flips", "integer"),
            Column("decisions", "Decisions", "integer"),
        ),
        tuple(rows),
        notes=(
            "Route: the exported graph in float64 against the source oracle. RMS and largest error: the target's float32 outputs "
            "against the source oracle, as multiples of the noise floor. Flips: decisions of the probe that changed by a margin "
            "that is not under twice the floor. – not compared.",
        ),
        empty="No cell was asked for.",
    )


#: Columns that a printed page has no room for: routes stand in the table of cells.
_NOT_PRINTED = ("installed", "routes")


def _tooling(table: Table) -> Table:
    """Without runtimes that are not installed: there is nothing to tell of them."""
    columns = tuple(column for column in table.columns if column.key not in _NOT_PRINTED)
    return replace(table, columns=columns, rows=tuple(row for row in table.rows if row["installed"]))


def _errors(results: Results) -> Table:
    whole, _ = outcome_tables.errors_tables(results)
    split = {f"{cell.target} via {cell.route_label}": cell for cell in results.cells}
    rows = tuple(
        {**row, "target": split[row["cell"]].target, "route": split[row["cell"]].route_label} for row in whole.rows
    )
    columns = tuple(column for column in whole.columns if column.key not in (*_IN_CAPTIONS, "cell"))
    return replace(whole, columns=(Column("target", "Target"), Column("route", "Route"), *columns), rows=rows)
