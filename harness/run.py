"""Carries a plan out: cache, order, progress, failures, and going on from what is finished."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.compare.records import CellResult, Verdict
from harness.compare.verdict import exit_code
from harness.errors import ExitCode, HarnessError, UnavailableError, UnsupportedError, WorkerError
from harness.plan import Plan, Step, make_plan
from harness.provenance import sources
from harness.results import Outcome, finished_run, write_results
from harness.runtimes.registry import RUNTIMES, Availability, availability
from harness.scenario import Scenario, read_scenario
from harness.steps import Context, Workers, carry_out, fingerprint, trainer_installed
from harness.store import Store, content_hash, exclusive


class Listener(Protocol):
    """What a run tells while it goes on; the command line draws it."""

    def planned(self, steps: int) -> None:
        """The number of steps there are."""

    def began(self, step: str) -> None:
        """A step begins."""

    def progressed(self, progress: dict[str, Any]) -> None:
        """A worker's progress: ``done``, ``total``, ``text``."""

    def ended(self, step: str, state: str, seconds: float) -> None:
        """A step ended: ``done``, ``kept`` (made before), ``unavailable``, ``unsupported`` or ``failed``."""


@dataclass
class Failure:
    """Why a step has no artifact, as the verdict and the words its cells get."""

    verdict: Verdict
    error: str
    hint: str | None = None
    log_tail: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, error: WorkerError) -> Failure:
        """From the error a worker's request ended with."""
        verdict = Verdict.FAILED
        if isinstance(error, UnsupportedError):
            verdict = Verdict.UNSUPPORTED
        elif isinstance(error, UnavailableError):
            verdict = Verdict.UNAVAILABLE
        what = f"{error.where}: {error.what}" if error.where else error.what
        # A refusal by name explains itself; the log helps where something broke.
        return cls(verdict, what, error.hint, error.log_tail if verdict is Verdict.FAILED else [])


@dataclass(frozen=True)
class RunResult:
    """What a run ends with. ``fresh`` is False where everything had been finished before."""

    scenario: Scenario
    folder: Path
    cells: list[CellResult]
    exit_code: ExitCode
    fresh: bool


def run(path: Path, *, output: Path, store: Path, listener: Listener, pdf: bool = False) -> RunResult:
    """Run a scenario file and write its results below ``output/<scenario>/``.

    Raises HarnessError for everything that concerns the whole run. A worker's failure costs its cells only.
    """
    scenario = read_scenario(path)
    plan = make_plan(scenario)
    artifacts = Store(store)
    states = {name: availability(RUNTIMES[name]) for name in _runtimes(plan)}
    keys = _keys(plan)
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
        return RunResult(scenario, folder, cells, _exit_code(scenario, cells), fresh=False)
    with exclusive(folder):
        finished = _all_steps(plan, keys, states, scenario, artifacts, listener)
        outcome = Outcome(
            scenario=scenario,
            text=path.read_text(encoding="utf-8"),
            plan=plan,
            keys=keys,
            folders=finished.folders,
            failures={
                name: (failure.verdict, failure.error, failure.hint, failure.log_tail)
                for name, failure in finished.failures.items()
            },
            availability=states,
            seconds=finished.seconds,
            identity=identity,
        )
        with _phase(listener, "comparisons and report"):
            cells = write_results(outcome, folder, pdf=pdf)
    return RunResult(scenario, folder, cells, _exit_code(scenario, cells), fresh=True)


def _exit_code(scenario: Scenario, cells: list[CellResult]) -> ExitCode:
    expected = {cell.cell: Verdict(scenario.expected(cell.target)) for cell in cells}
    return exit_code(cells, expected, scenario.require)


def _runtimes(plan: Plan) -> list[str]:
    return sorted({step.runtime for step in plan.steps if step.runtime})


def _keys(plan: Plan) -> dict[str, str]:
    """The key of every step: its kind, runtime and parameters, what it depends on outside, and the keys it needs."""
    keys: dict[str, str] = {}
    for step in plan.steps:
        keys[step.id] = content_hash(
            {
                "kind": step.kind,
                "runtime": step.runtime,
                "parameters": step.parameters,
                "outside": fingerprint(step),
                "needs": [keys[name] for name in step.needs],
            }
        )
    return keys


@dataclass
class _Finished:
    folders: dict[str, Path] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    seconds: dict[str, Any] = field(default_factory=dict)


def _all_steps(
    plan: Plan,
    keys: dict[str, str],
    states: dict[str, Availability],
    scenario: Scenario,
    store: Store,
    listener: Listener,
) -> _Finished:
    finished = _Finished()
    began = time.perf_counter()
    step_seconds: dict[str, float] = {}
    listener.planned(len(plan.steps) + 1)
    with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
        workers = Workers(Path(scratch) / "logs", scenario.threads)
        try:
            for step in plan.steps:
                if store.has(step.kind, keys[step.id]):
                    finished.folders[step.id] = store.folder(step.kind, keys[step.id])
                    listener.ended(step.id, "kept", 0.0)
                    continue
                started = time.perf_counter()
                state = _one_step(step, keys, states, scenario, store, listener, workers, finished, Path(scratch))
                step_seconds[step.id] = time.perf_counter() - started
                listener.ended(step.id, state, step_seconds[step.id])
        finally:
            workers.close()
    finished.seconds = {
        "steps": step_seconds,
        "worker_start": workers.start_seconds,
        "worker_busy": workers.busy_seconds,
        "wall": time.perf_counter() - began,
    }
    return finished


def _one_step(
    step: Step,
    keys: dict[str, str],
    states: dict[str, Availability],
    scenario: Scenario,
    store: Store,
    listener: Listener,
    workers: Workers,
    finished: _Finished,
    scratch: Path,
) -> str:
    """Do one step and note its folder or its failure; returns what the listener is told."""
    broken = next((finished.failures[name] for name in step.needs if name in finished.failures), None)
    if broken is not None:
        finished.failures[step.id] = broken
        return broken.verdict.value
    if step.runtime is not None and not states[step.runtime].installed:
        here = states[step.runtime]
        if step.kind in ("train", "source", "export"):
            raise trainer_installed(scenario.source.framework) or HarnessError(here.reason, where=step.runtime)
        failure = Failure(Verdict.UNAVAILABLE, f"{step.runtime}: {here.reason}", f"install it with: {here.install}")
        finished.failures[step.id] = failure
        return failure.verdict.value
    listener.began(step.id)
    key = keys[step.id]
    with store.lock(step.kind, key):
        if store.has(step.kind, key):  # another run made it while this one waited
            finished.folders[step.id] = store.folder(step.kind, key)
            return "kept"
        try:
            with store.making(step.kind, key, resume=step.kind == "train") as (folder, record):
                record |= {"step": step.id, "runtime": step.runtime, "parameters": step.parameters}
                record["needs"] = {name: keys[name] for name in step.needs}
                context = Context(
                    step=step,
                    folder=folder,
                    record=record,
                    needs={name: finished.folders[name] for name in step.needs},
                    workers=workers,
                    limits=scenario.limits,
                    progress=listener.progressed,
                )
                carry_out(context)
        except WorkerError as error:
            failure = Failure.of(error)
            finished.failures[step.id] = failure
            return failure.verdict.value
    finished.folders[step.id] = store.folder(step.kind, key)
    return "done"


@contextmanager
def _phase(listener: Listener, name: str) -> Iterator[None]:
    listener.began(name)
    started = time.perf_counter()
    yield
    listener.ended(name, "done", time.perf_counter() - started)


def rebuild_report(folder: Path, *, pdf: bool = False) -> list[CellResult]:
    """Build the report of a results folder anew from its result files; returns its cells. Raises HarnessError."""
    from harness.report.build import build_report

    build_report(folder, pdf=pdf)
    return [CellResult.model_validate(cell) for cell in json.loads((folder / "cells.json").read_text())]
