"""Does the steps of a plan in order: what is finished is kept, what fails costs only what needs it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.compare.records import Verdict
from harness.errors import BadInputError, HarnessError, ModelError, UnavailableError, UnsupportedError, WorkerError
from harness.files.digests import content_hash
from harness.files.store import Store
from harness.pipeline.context import Context
from harness.pipeline.fingerprint import fingerprint
from harness.pipeline.plan import Plan, Step
from harness.pipeline.steps import carry_out
from harness.runtimes.pool import Workers
from harness.runtimes.registry import availability, lacks_environment, ready, runtime
from harness.runtimes.row import Availability
from harness.scenario.sections import LimitsSection

#: Kinds of steps that make the source: without it there is nothing to compare with, and the run cannot go on.
_SOURCE = ("train", "import", "source")


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


@dataclass(frozen=True)
class Failure:
    """Why a step has no artifact, as the verdict and the words its cells get."""

    verdict: Verdict
    error: str
    hint: str | None = None
    log_tail: tuple[str, ...] = ()
    #: Whether what was given was refused, rather than something having broken.
    refused: bool = False

    @classmethod
    def of(cls, error: WorkerError) -> Failure:
        """From the error that a worker's request ended with."""
        verdict = Verdict.FAILED
        if isinstance(error, UnsupportedError):
            verdict = Verdict.UNSUPPORTED
        elif isinstance(error, UnavailableError):
            verdict = Verdict.UNAVAILABLE
        what = f"{error.where}: {error.what}" if error.where else error.what
        # A refusal by name explains itself; the log helps where something broke.
        log_tail = tuple(error.log_tail) if verdict is Verdict.FAILED else ()
        return cls(
            verdict, what, error.hint, log_tail, verdict is not Verdict.FAILED or isinstance(error, BadInputError)
        )

    def of_the_run(self, where: str | None = None) -> HarnessError:
        """The error of a run that cannot go on without the step: bad input where it was refused, else a worker's."""
        if self.refused:
            return ModelError(self.error, where=where, hint=self.hint)
        return WorkerError(self.error, where=where, hint=self.hint, log_tail=[*self.log_tail])


@dataclass
class Finished:
    """What the steps left: the folder or the failure of each, the seconds they took, and what their workers did."""

    folders: dict[str, Path] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    seconds: dict[str, Any] = field(default_factory=dict)
    workers: dict[str, Any] = field(default_factory=dict)


def availabilities(plan: Plan, listener: Listener) -> dict[str, Availability]:
    """Whether each runtime of a plan is installed, by name; an environment that one still waits for is made first."""
    states = {}
    for name in sorted({step.runtime for step in plan.steps if step.runtime}):
        row = runtime(name)
        if not lacks_environment(row):
            states[name] = availability(row)
            continue
        step, started = f"Python environment of {name}", time.perf_counter()
        listener.began(step)
        states[name] = ready(row, lambda text: listener.progressed({"done": 0, "total": 0, "text": text}))
        listener.ended(step, "done" if states[name].installed else "unavailable", time.perf_counter() - started)
    return states


def step_keys(plan: Plan) -> dict[str, str]:
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


class Execution:
    """One pass over the steps of a plan.

    Raises HarnessError from :meth:`all_steps` for what concerns the whole run: bad data, a full disk, a source whose own
    framework is missing. A worker's failure becomes a Failure of its step and of those that need it.
    """

    def __init__(
        self,
        plan: Plan,
        keys: dict[str, str],
        states: dict[str, Availability],
        store: Store,
        listener: Listener,
        *,
        limits: LimitsSection,
        threads: int,
    ) -> None:
        self._plan = plan
        self._keys = keys
        self._states = states
        self._store = store
        self._listener = listener
        self._limits = limits
        self._threads = threads
        self._finished = Finished()

    def all_steps(self) -> Finished:
        """Do every step that is not finished; returns what all of them left."""
        self._check_source()
        began = time.perf_counter()
        seconds: dict[str, float] = {}
        # One more than the steps: comparing and reporting comes after them.
        self._listener.planned(len(self._plan.steps) + 1)
        with tempfile.TemporaryDirectory(prefix="harness-") as scratch:
            workers = Workers(Path(scratch), self._threads, memory_limit=self._limits.memory_bytes)
            try:
                for step in self._plan.steps:
                    started = time.perf_counter()
                    state = self._one_step(step, workers)
                    elapsed = time.perf_counter() - started
                    if state != "kept":
                        seconds[step.id] = elapsed
                    self._listener.ended(step.id, state, elapsed)
            finally:
                workers.close()
            self._finished.workers = workers.record()
        self._finished.seconds = {
            "steps": seconds,
            "worker_start": workers.start_seconds,
            "worker_busy": workers.busy_seconds,
            "wall": time.perf_counter() - began,
        }
        return self._finished

    def _check_source(self) -> None:
        for step in self._plan.steps:
            if step.kind not in _SOURCE or step.runtime is None or self._has(step):
                continue
            here = self._states[step.runtime]
            if not here.installed:
                raise HarnessError(
                    f"step '{step.id}' cannot be done: {here.reason}",
                    where=step.runtime,
                    hint=f"install it with: {here.install}",
                )

    def _has(self, step: Step) -> bool:
        return self._store.has(step.kind, self._keys[step.id])

    def _one_step(self, step: Step, workers: Workers) -> str:
        """Do one step and note its folder or its failure; returns what the listener is told."""
        finished, key = self._finished, self._keys[step.id]
        if self._has(step):
            finished.folders[step.id] = self._store.folder(step.kind, key)
            return "kept"
        failure = self._in_the_way(step)
        if failure is None:
            self._listener.began(step.id)
            with self._store.lock(step.kind, key):
                if self._has(step):  # another run made it while this one waited
                    finished.folders[step.id] = self._store.folder(step.kind, key)
                    return "kept"
                failure = self._make(step, workers)
        if failure is not None:
            finished.failures[step.id] = failure
            return failure.verdict.value
        finished.folders[step.id] = self._store.folder(step.kind, key)
        return "done"

    def _in_the_way(self, step: Step) -> Failure | None:
        """Why a step need not be tried: a step it needs failed, or its runtime is not installed."""
        for name in step.needs:
            if name in self._finished.failures:
                return self._finished.failures[name]
        if step.runtime is not None and not self._states[step.runtime].installed:
            here = self._states[step.runtime]
            return Failure(
                Verdict.UNAVAILABLE, f"{step.runtime}: {here.reason}", f"install it with: {here.install}", refused=True
            )
        return None

    def _make(self, step: Step, workers: Workers) -> Failure | None:
        try:
            with self._store.making(step.kind, self._keys[step.id], resume=step.kind == "train") as (folder, record):
                record |= {"step": step.id, "runtime": step.runtime, "parameters": step.parameters}
                record["needs"] = {name: self._keys[name] for name in step.needs}
                carry_out(
                    Context(
                        step=step,
                        folder=folder,
                        needs={name: self._finished.folders[name] for name in step.needs},
                        workers=workers,
                        limits=self._limits,
                        progress=self._listener.progressed,
                    )
                )
        except WorkerError as error:
            return Failure.of(error)
        return None


@contextmanager
def phase(listener: Listener, name: str) -> Iterator[None]:
    """Tell the listener of work that is no step: it is done anew whenever anything was."""
    listener.began(name)
    started = time.perf_counter()
    yield
    listener.ended(name, "done", time.perf_counter() - started)
