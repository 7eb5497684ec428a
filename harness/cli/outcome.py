"""How the outcome of a run is printed: a table of cells, or one JSON document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    samples: Sequence[str] = (),
    decision: Mapping[str, Any] | None = None,
    expected: Mapping[str, Any] | None = None,
) -> None:
    """Print the cells of a run, what was lost by accident, and where the report is.

    ``fresh``: something was run. ``samples``: what is told of the sample axes of a given file. ``decision``: what is decided on
    its outputs, and why. ``expected``: what the user's own framework gave, and what can be seen by it.
    """
    if as_json:
        rows = [cell.model_dump(mode="json") for cell in cells]
        lost = {"accidents": dict(accidents)} if accidents else {}
        told = {"samples": list(samples)} if samples else {}
        ported = {} if port is None else {"port": port.model_dump(mode="json")}
        decided = {"decision": dict(decision)} if decision else {}
        wanted = {"expected": dict(expected)} if expected else {}
        more = {**told, **decided, **wanted, **ported, **lost}
        print_json({"title": title, "folder": str(folder), "fresh": fresh, "exit_code": code, "cells": rows, **more})
        return
    _print_cells(title, cells)
    if decision:
        typer.echo(f"Decision: {decision['sentence']}.")
    _print_placement(cells)
    if port is not None:
        from harness.report.tables.port_tables import answer

        typer.echo(answer(port))
    for sentence in samples:
        typer.echo(f"Samples: {sentence}.")
    if expected:
        _print_route(cells, "source" if expected["kind"] == "model" else "expected outputs")
        for sentence in expected["said"]:
            typer.echo(f"{'Source' if expected['kind'] == 'model' else 'Expected'}: {sentence}.")
    for sentence in _of_the_file(cells):
        typer.echo(f"The file: {sentence}.")
    for step, how in accidents.items():
        typer.echo(f"Lost by accident: {step}: {how}; the same command tries it again")
    if not fresh:
        typer.echo("All of this was finished before.")
    typer.echo(f"Report: {folder / 'report.html'}")


def _of_the_file(cells: list[CellResult]) -> list[str]:
    """What findings tell of a file that call for no verdict, each once."""
    told = [finding for cell in cells for finding in cell.findings if finding.comparison == "structure"]
    return list(dict.fromkeys(finding.message for finding in told if finding.verdict.value == "equivalent"))


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
    _print_outputs(cells, several=several)


def _print_route(cells: list[CellResult], source: str) -> None:
    """How far the exported graph, which all targets share, lies from what was expected."""
    compared = next((cell for cell in cells if cell.route_comparison is not None), None)
    if compared is None or compared.route_comparison is None:
        return
    route = compared.route_comparison
    away = ""
    if route.errors.relative_rms is not None:
        away = f", {route.errors.relative_rms:.2e} of the outputs' spread away (limit {route.limit:.1e})"
        away += f", the largest difference is {route.errors.max_abs:.3g}"
    typer.echo(f"Route: the exported graph against the {source}: {route.verdict.value}{away}.")


def _print_placement(cells: list[CellResult]) -> None:
    """Where a given file parts from its source, once for all targets: it is the file's and not theirs."""
    from harness.compare.placement import sentences

    found = next((cell.placement for cell in cells if cell.placement is not None), None)
    if found is None:
        return
    for sentence in sentences(found):
        typer.echo(f"Parts from its source: {sentence}.")
    for note in found.notes:
        typer.echo(f"Parts from its source: {note.rstrip('.')}.")


def _print_outputs(cells: list[CellResult], *, several: bool) -> None:
    """Each output of the targets that have more than one."""
    from harness.compare.records import in_floors

    if not any(len(cell.outputs) > 1 for cell in cells):
        return
    columns = ("target", "route", "output", "shape", "verdict", "runtime error / floor")
    shown = table(*(["source"] if several else []), *columns)
    for cell in cells:
        for output in cell.outputs:
            error = "" if output.rms_ratio is None else in_floors(output.rms_ratio)
            if output.differing is not None:
                error = f"{output.differing} values differ"
            row = [cell.target, cell.route_label, output.name, output.shape_text, output.verdict.value, error]
            shown.add_row(*([cell.source] if several else []), *row)
    print_table(shown)
