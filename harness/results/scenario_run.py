"""Runs a scenario from its file to its report, going on from what is finished."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.compare.port import PortComparison
from harness.compare.records import CellResult, Verdict
from harness.compare.verdict import exit_code
from harness.errors import ExitCode, WorkerError
from harness.files.digests import content_hash
from harness.files.disk_errors import explained
from harness.files.locks import exclusive
from harness.files.store import Store
from harness.pipeline.execution import Execution, Listener, availabilities, phase, step_keys
from harness.pipeline.plan import make_plan
from harness.pipeline.provenance import package_hash
from harness.report.overview import SOURCES, MissingPart, build_overview, read_sources
from harness.report.read import read_port_result
from harness.results.checksums import renew_report_digests
from harness.results.overview import write_overview
from harness.results.publish import finished_run
from harness.results.run_outcome import Outcome
from harness.results.scenario_results import write_results
from harness.runtimes.registry import framework_runtime, ready
from harness.scenario.sections import Scenario
from harness.scenario.several_sources import one_per_framework


@dataclass(frozen=True)
class RunResult:
    """What a run ends with. ``fresh`` is False where everything had been finished before."""

    scenario: Scenario
    folder: Path
    cells: list[CellResult]
    exit_code: ExitCode
    fresh: bool
    #: A second implementation that was compared with the source, where the scenario has one.
    port: PortComparison | None = None
    #: By step, how its worker was lost; of several sources each step's name begins with the framework.
    accidents: Mapping[str, str] = field(default_factory=dict)


def run(
    scenario: Scenario, path: Path, *, output: Path, store: Path, listener: Listener, pdf: bool = False
) -> RunResult:
    """Run a scenario that was read from ``path`` and write its results below ``output/<scenario>/``.

    Of several sources each has a folder there, named after its framework. Raises HarnessError for everything that concerns
    the whole run. A worker's failure costs its cells only, and one of several sources that cannot be trained its own.
    """
    folder, artifacts = output / scenario.scenario, Store(store)
    if not scenario.source.frameworks:
        with explained(folder):
            (folder / SOURCES).unlink(missing_ok=True)
        return _run_source(scenario, path, folder, store=artifacts, listener=listener, pdf=pdf)
    results: list[RunResult] = []
    missing: dict[str, MissingPart] = {}
    for part in one_per_framework(scenario):
        framework = part.source.framework
        here = ready(framework_runtime(framework))
        if not here.installed:
            missing[framework] = MissingPart(
                error=here.reason, hint=f"install it with: {here.install}", unavailable=True
            )
            continue
        try:
            results.append(_run_source(part, path, folder / framework, store=artifacts, listener=listener, pdf=pdf))
        except WorkerError as error:
            missing[framework] = MissingPart(error=error.what, hint=error.hint or "", unavailable=False)
    cells = write_overview(folder, scenario, missing)
    codes = [result.exit_code for result in results]
    codes += [_of_missing(scenario, framework, one) for framework, one in missing.items()]
    fresh = any(result.fresh for result in results)
    # Of those that can occur here the higher one takes precedence.
    accidents = {
        f"{result.scenario.source.framework}: {step}": how
        for result in results
        for step, how in result.accidents.items()
    }
    return RunResult(scenario, folder, cells, max(codes), fresh=fresh, accidents=accidents)


def _of_missing(scenario: Scenario, framework: str, missing: MissingPart) -> ExitCode:
    """The exit code that a source without results calls for."""
    if not missing.unavailable:
        return ExitCode.CELL_FAILED
    required = framework_runtime(framework).name in scenario.require
    return ExitCode.WORSE_THAN_EXPECTED if required else ExitCode.OK


def _run_source(
    scenario: Scenario, path: Path, folder: Path, *, store: Store, listener: Listener, pdf: bool
) -> RunResult:
    """Run a scenario of one source and write its results to ``folder``."""
    plan = make_plan(scenario)
    states = availabilities(plan, listener)
    keys = step_keys(plan)
    identity = content_hash(
        {
            "scenario": scenario.model_dump(mode="json"),
            "keys": keys,
            "installed": {name: state.installed for name, state in states.items()},
            "code": package_hash(),
            "pdf": pdf,
        }
    )
    if (cells := finished_run(folder, identity, listener.noticed)) is not None:
        port = read_port_result(folder)
        return RunResult(scenario, folder, cells, _exit_code(scenario, cells, port, {}), fresh=False, port=port)
    with exclusive(folder):
        execution = Execution(plan, keys, states, store, listener, limits=scenario.limits, threads=scenario.threads)
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
    accidents = finished.accidents
    code = _exit_code(scenario, cells, port, accidents)
    return RunResult(scenario, folder, cells, code, fresh=True, port=port, accidents=accidents)


def _exit_code(
    scenario: Scenario, cells: list[CellResult], port: PortComparison | None, accidents: Mapping[str, str]
) -> ExitCode:
    if accidents:
        return ExitCode.CELL_FAILED
    expected = {cell.cell: Verdict(scenario.expected(cell.target, cell.route_label)) for cell in cells}
    code = exit_code(cells, expected, scenario.require)
    # A port that is not installed here says nothing, as a cell that is not.
    if code is ExitCode.OK and port is not None and not port.error and not port.as_expected:
        return ExitCode.WORSE_THAN_EXPECTED
    return code


def rebuild_report(folder: Path, *, pdf: bool = False) -> list[CellResult]:
    """Build the report of a results folder anew from its result files; returns its cells. Raises HarnessError."""
    from harness.report.build import build_report

    if (found := read_sources(folder)) is not None:
        for part in found.sources:
            if part.missing is None:
                renew_report_digests(folder / part.folder, build_report(folder / part.folder, pdf=pdf))
        return build_overview(folder)
    renew_report_digests(folder, build_report(folder, pdf=pdf))
    return [CellResult.model_validate(cell) for cell in json.loads((folder / "cells.json").read_text())]
