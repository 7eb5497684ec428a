"""Runs a scenario from its file to its report, going on from what is finished."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from harness.compare.port import PortComparison
from harness.compare.records import CellResult, Verdict
from harness.compare.verdict import exit_code
from harness.errors import ExitCode
from harness.execution import Execution, Listener, availabilities, phase, step_keys
from harness.plan import make_plan
from harness.provenance import sources
from harness.report.results import read_port_result
from harness.result_files import finished_run
from harness.results import Outcome, write_results
from harness.scenario import Scenario
from harness.store import Store, content_hash, exclusive


@dataclass(frozen=True)
class RunResult:
    """What a run ends with. ``fresh`` is False where everything had been finished before."""

    scenario: Scenario
    folder: Path
    cells: list[CellResult]
    exit_code: ExitCode
    fresh: bool
    #: A second implementation that was held against the source, where the scenario has one.
    port: PortComparison | None = None


def run(
    scenario: Scenario, path: Path, *, output: Path, store: Path, listener: Listener, pdf: bool = False
) -> RunResult:
    """Run a scenario that was read from ``path`` and write its results below ``output/<scenario>/``.

    Raises HarnessError for everything that concerns the whole run. A worker's failure costs its cells only.
    """
    plan = make_plan(scenario)
    states = availabilities(plan, listener)
    keys = step_keys(plan)
    folder = output / scenario.scenario
    identity = content_hash(
        {
            "scenario": scenario.model_dump(mode="json"),
            "keys": keys,
            "installed": {name: state.installed for name, state in states.items()},
            "code": sources("."),
            "pdf": pdf,
        }
    )
    if (cells := finished_run(folder, identity)) is not None:
        port = read_port_result(folder)
        return RunResult(scenario, folder, cells, _exit_code(scenario, cells, port), fresh=False, port=port)
    with exclusive(folder):
        execution = Execution(
            plan, keys, states, Store(store), listener, limits=scenario.limits, threads=scenario.threads
        )
        finished = execution.all_steps()
        outcome = Outcome(
            scenario=scenario,
            text=path.read_text(encoding="utf-8"),
            plan=plan,
            keys=keys,
            finished=finished,
            availability=states,
            identity=identity,
        )
        with phase(listener, "comparisons and report"):
            cells = write_results(outcome, folder, pdf=pdf)
    port = read_port_result(folder)
    return RunResult(scenario, folder, cells, _exit_code(scenario, cells, port), fresh=True, port=port)


def _exit_code(scenario: Scenario, cells: list[CellResult], port: PortComparison | None) -> ExitCode:
    expected = {cell.cell: Verdict(scenario.expected(cell.target, cell.route_label)) for cell in cells}
    code = exit_code(cells, expected, scenario.require)
    # A port that is not installed here says nothing, as a cell that is not.
    if code is ExitCode.OK and port is not None and not port.error and not port.as_expected:
        return ExitCode.WORSE_THAN_EXPECTED
    return code


def rebuild_report(folder: Path, *, pdf: bool = False) -> list[CellResult]:
    """Build the report of a results folder anew from its result files; returns its cells. Raises HarnessError."""
    from harness.report.build import build_report

    build_report(folder, pdf=pdf)
    return [CellResult.model_validate(cell) for cell in json.loads((folder / "cells.json").read_text())]
