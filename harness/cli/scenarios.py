"""``harness run``, ``harness schema`` and ``harness report``: scenarios and their results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Json, Output, Pdf, StoreFolder
from harness.cli.outcome import print_outcome
from harness.cli.printing import print_json


def run(
    scenario: Annotated[Path, typer.Argument(help="A scenario file, e.g. scenarios/tempcnn_py_to_r.yaml.")],
    output: Output = Path("results"),
    store: StoreFolder = Path("exported"),
    pdf: Pdf = False,
    as_json: Json = False,
) -> None:
    """Run a scenario: train, export, reopen, compare, report. Goes on from what is finished."""
    from harness.scenario.read import read_scenario

    # Read before anything heavy is imported: a bad scenario is told at once.
    asked = read_scenario(scenario)
    from harness.cli.progress import listener
    from harness.results.scenario_run import run as run_scenario

    with listener(quiet=as_json) as listening:
        result = run_scenario(asked, scenario, output=output, store=store, listener=listening, pdf=pdf)
    code = int(result.exit_code)
    title = result.scenario.title
    print_outcome(
        title,
        result.folder,
        result.cells,
        fresh=result.fresh,
        code=code,
        as_json=as_json,
        port=result.port,
        accidents=result.accidents,
    )
    raise typer.Exit(code)


def schema() -> None:
    """The JSON Schema of a scenario file, for an editor to check and complete it."""
    from harness.scenario.sections import json_schema

    print_json(json_schema())


def report(
    folder: Annotated[Path, typer.Argument(help="The results folder of a scenario, e.g. results/tempcnn_py_to_r.")],
    pdf: Pdf = False,
    as_json: Json = False,
) -> None:
    """Rebuild tables, figures and pages from the result files of a finished run."""
    from harness.results.scenario_run import rebuild_report

    cells = rebuild_report(folder, pdf=pdf)
    if as_json:
        print_json({"folder": str(folder), "cells": [cell.model_dump(mode="json") for cell in cells]})
    else:
        typer.echo(f"Report: {folder / 'report.html'}")
