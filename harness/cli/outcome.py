"""How the outcome of a run is printed: a table of cells, or one JSON document."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from harness.cli.printing import print_json, print_table, table

if TYPE_CHECKING:
    from harness.compare.port import PortComparison
    from harness.compare.records import CellResult


def print_outcome(
    title: str,
    folder: Path,
    cells: list[CellResult],
    *,
    fresh: bool,
    code: int,
    as_json: bool,
    port: PortComparison | None = None,
    accidents: Mapping[str, str],
) -> None:
    """Print the cells of a run, what was lost by accident, and where the report is; ``fresh``: something was run."""
    if as_json:
        rows = [cell.model_dump(mode="json") for cell in cells]
        lost = {"accidents": dict(accidents)} if accidents else {}
        ported = {} if port is None else {"port": port.model_dump(mode="json")}
        print_json(
            {"title": title, "folder": str(folder), "fresh": fresh, "exit_code": code, "cells": rows, **ported, **lost}
        )
        return
    _print_cells(title, cells)
    if port is not None:
        from harness.report.tables.port_tables import answer

        typer.echo(answer(port))
    for step, how in accidents.items():
        typer.echo(f"Lost by accident: {step}: {how}; the same command tries it again")
    if not fresh:
        typer.echo("All of this was finished before.")
    typer.echo(f"Report: {folder / 'report.html'}")


def _print_cells(title: str, cells: list[CellResult]) -> None:
    from harness.compare.verdict import runtime_error

    typer.echo(title)
    # Of a single source every cell would name the same.
    several = len({cell.source for cell in cells}) > 1
    shown_table = table(
        *(["source"] if several else []), "target", "route", "verdict", "runtime error / floor", "in one sentence"
    )
    for cell in cells:
        shown = runtime_error(cell)
        source = [cell.source] if several else []
        shown_table.add_row(*source, cell.target, cell.route_label, cell.verdict.value, shown, cell.sentence)
    print_table(shown_table)
