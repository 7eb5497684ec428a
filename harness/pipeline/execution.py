"""Does the steps of a plan in order: what is finished is kept, what fails costs only what needs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import harness
from harness.compare.records import Verdict
from harness.errors import (
    AccidentError,
    BadInputError,
    HarnessError,
    ModelError,
    UnavailableError,
    UnsupportedError,
    WorkerError,
)
from harness.files.artifact import Artifact, Damage
from harness.files.leftovers import sweep_temporary_folder
from harness.files.owner import temporary_folder
from harness.files.store import Store
from harness.pipeline.plan import Plan
from harness.pipeline.provenance import library_versions
from harness.pipeline.source_code import keep_parsed, read_anew
from harness.pipeline.step import Context, Step
from harness.pipeline.worker_records import since, with_kept
from harness.runtimes.pool import Workers
from harness.runtimes.registry import LANGUAGES, availability, lacks_environment, ready
from harness.runtimes.row import Availability
from harness.scenario.sections import LimitsSection


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

    def noticed(self, text: str) -> None:
        """Something to be said in one line: a file that does not hold what was written and is made anew."""


@dataclass(frozen=True)
class Failure:
    """Why a step has no artifact, as the verdict and the words its cells get."""

    verdict: Verdict
    error: str
    hint: str | None = None
    log_tail: tuple[str, ...] = ()
    #: Whether what was given was refused, rather than something having broken.
    refused: bool = False
    #: Whether a worker was lost (killed, out of memory, past its time): that says nothing of the model, and is tried again.
    accident: bool = False

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
        refused = verdict is not Verdict.FAILED or isinstance(error, BadInputError)
        return cls(verdict, what, error.hint, log_tail, refused, isinstance(error, AccidentError))

    def of_the_run(self, where: str | None = None) -> HarnessError:
        """The error of a run that cannot go on without the step: bad input where it was refused, else a worker's."""
        if self.refused:
            return ModelError(self.error, where=where, hint=self.hint)
        return WorkerError(self.error, where=where, hint=self.hint, log_tail=[*self.log_tail])


@dataclass
class Finished:
    """What the steps left: the folder or the failure of each, the seconds they took, and what their workers did.

    ``accidents``: by step, how its worker was lost; steps that only need such a step are not named again.
    """

    folders: dict[str, Path] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    accidents: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, Any] = field(default_factory=dict)
    workers: dict[str, Any] = field(default_factory=dict)


def availabilities(plan: Plan, listener: Listener) -> dict[str, Availability]:
    """Whether each runtime of a plan is installed, by name; an environment that one still waits for is made first."""
    states = {}
    for name, row in sorted({step.runtime.name: step.runtime for step in plan.steps if step.runtime}.items()):
        if not lacks_environment(row):
            states[name] = availability(row)
            continue
        step, started = f"Python environment of {name}", time.perf_counter()
        listener.began(step)
        states[name] = ready(row, lambda text: listener.progressed({"done": 0, "total": 0, "text": text}))
        listener.ended(step, "done" if states[name].installed else "unavailable", time.perf_counter() - started)
    return states


def step_keys(plan: Plan) -> dict[str, str]:
    """The key of every step by its id: what decides its result, and the keys of the steps it needs."""
    read_anew()
    keys: dict[str, str] = {}
    for step in plan.steps:
        keys[step.id] = step.key(keys)
    keep_parsed()
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
        workers: Workers | None = None,
        ahead: Sequence[str] = (),
    ) -> None:
        """``workers``: those of the caller, who ends them; None: the run has its own, and ends them.

        ``ahead``: runtimes whose workers are started before they are asked, side by side, where a step of theirs is to be done.
        """
        self._plan = plan
        self._keys = keys
        self._states = states
        self._store = store
        self._listener = listener
        self._limits = limits
        self._threads = threads
        self._workers = workers
        self._ahead = ahead
        self._finished = Finished()
        self._kept: dict[str, Artifact] = {}
        self._noticed: set[str] = set()

    def all_steps(self, checks: Mapping[str, Callable[[Mapping[str, Path]], None]] | None = None) -> Finished:
        """Do every step that is not finished; returns what all of them left.

        ``checks``: by step, what is called with the folders so far once the step has one; its HarnessError ends the run
        before the steps that follow.
        """
        sweep_temporary_folder()
        self._store.sweep()
        self._check_source()
        began = time.perf_counter()
        seconds: dict[str, float] = {}
        # One more than the steps: comparing and reporting comes after them.
        self._listener.planned(len(self._plan.steps) + 1)
        with self._store.in_use(), temporary_folder("harness-run") as scratch:
            workers = self._workers or Workers(scratch, self._threads, memory_limit=self._limits.memory_bytes)
            try:
                if ahead := self._wanted_ahead():
                    workers.start_ahead(ahead)
                for step in self._plan.steps:
                    started = time.perf_counter()
                    state = self._one_step(step, workers)
                    elapsed = time.perf_counter() - started
                    if state != "kept":
                        seconds[step.id] = elapsed
                    self._listener.ended(step.id, state, elapsed)
                    if step.id in self._finished.folders and (check := (checks or {}).get(step.id)) is not None:
                        check(self._finished.folders)
            finally:
                if self._workers is None:
                    workers.close()
            kept = {name: artifact.record for name, artifact in self._kept.items()}
            self._finished.workers = with_kept(workers.record(), (record["workers"] for record in kept.values()))
        self._finished.seconds = {
            "steps": seconds,
            "kept": {name: record["seconds"] for name, record in kept.items()},
            "worker_start": workers.start_seconds,
            "worker_busy": workers.busy_seconds,
            "wall": time.perf_counter() - began,
        }
        return self._finished

    def _wanted_ahead(self) -> list[str]:
        """Those of the runtimes named that are installed and have something to do, and need not be compiled first."""
        waiting = {
            step.runtime.name
            for step in self._plan.steps
            if step.runtime is not None
            and not LANGUAGES[step.runtime.language].compiled_first
            and not self._store.folder(step.kind, self._keys[step.id]).exists()
        }
        return [name for name in self._ahead if name in waiting and self._states[name].installed]

    def _check_source(self) -> None:
        for step in self._plan.steps:
            if not step.makes_source or step.runtime is None or self._whole(step):
                continue
            here = self._states[step.runtime.name]
            if not here.installed:
                raise HarnessError(
                    f"step '{step.id}' cannot be done: {here.reason}",
                    where=step.runtime.name,
                    hint=f"install it with: {here.install}",
                )

    def _whole(self, step: Step) -> Artifact | None:
        """The artifact of a step, where there is one and every file holds what was written; says once where not."""
        found = self._store.find(step.kind, self._keys[step.id])
        if isinstance(found, Damage):
            if step.id not in self._noticed:
                self._listener.noticed(f"damaged: {found}; it is made anew")
            self._noticed.add(step.id)
            return None
        return found

    def _one_step(self, step: Step, workers: Workers) -> str:
        """Do one step and note its folder or its failure; returns what the listener is told."""
        if self._keeps(step):
            return "kept"
        failure = self._in_the_way(step)
        if failure is None:
            self._listener.began(step.id)
            with self._store.lock(step.kind, self._keys[step.id]):
                if self._keeps(step):  # another run made it while this one waited
                    return "kept"
                failure = self._make(step, workers)
            if failure is not None and failure.accident:
                self._finished.accidents[step.id] = failure.error
        if failure is not None:
            self._finished.failures[step.id] = failure
            return failure.verdict.value
        self._finished.folders[step.id] = self._store.folder(step.kind, self._keys[step.id])
        return "done"

    def _keeps(self, step: Step) -> bool:
        """Whether a step was finished before; notes its artifact."""
        if (artifact := self._whole(step)) is None:
            return False
        self._kept[step.id] = artifact
        self._finished.folders[step.id] = artifact.folder
        return True

    def _in_the_way(self, step: Step) -> Failure | None:
        """Why a step need not be tried: a step it needs failed, or its runtime is not installed."""
        for name in step.needs:
            if name in self._finished.failures:
                return self._finished.failures[name]
        for name in step.beside:
            # A refusal is final; what was lost by accident will be there in the next run, with another result.
            if name in self._finished.accidents:
                return self._finished.failures[name]
        if step.runtime is not None and not self._states[step.runtime.name].installed:
            here = self._states[step.runtime.name]
            return Failure(
                Verdict.UNAVAILABLE,
                f"{step.runtime.name}: {here.reason}",
                f"install it with: {here.install}",
                refused=True,
            )
        return None

    def _make(self, step: Step, workers: Workers) -> Failure | None:
        began, before = time.perf_counter(), workers.record()
        try:
            with self._store.making(step.kind, self._keys[step.id], resume=step.resumable) as (folder, record):
                step.carry_out(
                    Context(
                        step=step,
                        folder=folder,
                        needs={
                            name: self._finished.folders[name]
                            for name in (*step.needs, *step.beside)
                            if name in self._finished.folders
                        },
                        workers=workers,
                        limits=self._limits,
                        progress=self._listener.progressed,
                    )
                )
                record |= self._record(step)
                record["seconds"] = time.perf_counter() - began
                record["workers"] = since(before, workers.record())
        except WorkerError as error:
            return Failure.of(error)
        return None

    def _record(self, step: Step) -> dict[str, Any]:
        """What ``step.json`` says of a step beside what it took: what it depends on, and with what it was made."""
        here = None if step.runtime is None else self._states[step.runtime.name]
        return {
            "step": step.id,
            "runtime": step.runtime and step.runtime.name,
            "settings": step.settings(),
            "needs": {name: self._keys[name] for name in (*step.needs, *step.beside)},
            "availability": here and {"installed": here.installed, "versions": here.versions},
            "versions": {"harness": harness.__version__, **library_versions()},
        }


@contextmanager
def phase(listener: Listener, name: str) -> Iterator[None]:
    """Tell the listener of work that is no step: it is done anew whenever anything was."""
    listener.began(name)
    started = time.perf_counter()
    yield
    listener.ended(name, "done", time.perf_counter() - started)
