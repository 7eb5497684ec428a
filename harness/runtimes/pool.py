"""The running workers of one run, one per runtime."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from harness.errors import AccidentError, StoreError, WorkerError
from harness.runtimes import registry
from harness.runtimes.process import Worker

Progress = Callable[[dict[str, Any]], None]


#: Requests that a worker answers for the model it has loaded; one that was just started would refuse them.
_OF_THE_LOADED = ("parameters", "predict", "activations", "time")


class Workers:
    """The running workers of one run, one per runtime, started when first asked for and again after a death."""

    def __init__(self, logs: Path, threads: int, *, memory_limit: float | None = None) -> None:
        self.logs = logs
        self.threads = threads
        self.memory_limit = memory_limit
        self.start_seconds: dict[str, float] = {}
        self.busy_seconds: dict[str, float] = {}
        self.starts: dict[str, int] = {}
        self._running: dict[str, Worker] = {}
        #: Processes that have not answered yet.
        self._started_ahead: dict[str, Worker] = {}

    def request(
        self, runtime: str, request: str, *, timeout: float, progress: Progress | None = None, **arguments: Any
    ) -> dict[str, Any]:
        """Ask a runtime's worker; see Worker.request."""
        self._check_loaded(runtime, request)
        worker = self._worker(runtime, timeout)
        started = time.perf_counter()
        try:
            return worker.request(request, timeout=timeout, progress=progress, **arguments)
        except WorkerError as error:
            raise _disk_full(error) or _out_of_memory(error) or error from error
        finally:
            self.busy_seconds[runtime] = self.busy_seconds.get(runtime, 0.0) + time.perf_counter() - started

    def _check_loaded(self, runtime: str, request: str) -> None:
        """Raises AccidentError where a worker is gone that was to answer for the model it had loaded."""
        worker = self._running.get(runtime)
        if request in _OF_THE_LOADED and worker is not None and not worker.alive:
            worker.close()
            del self._running[runtime]
            raise AccidentError(
                f"the worker was ended before it was asked '{request}'", where=runtime, log_tail=worker.log_tail()
            )

    def start_ahead(self, runtimes: Iterable[str]) -> None:
        """Start the processes of runtimes that will be asked soon, so that they import their libraries side by side.

        One that cannot be started says so when it is asked.
        """
        for runtime in runtimes:
            if runtime not in self._running and runtime not in self._started_ahead:
                with contextlib.suppress(WorkerError):
                    self._started_ahead[runtime] = self._start(runtime)

    def _start(self, runtime: str) -> Worker:
        return Worker.start(
            registry.runtime(runtime),
            self.logs / f"{runtime.replace('/', '-')}.log",
            threads=self.threads,
            memory_limit=self.memory_limit,
        )

    def _worker(self, runtime: str, timeout: float) -> Worker:
        worker = self._running.get(runtime)
        if worker is not None and worker.alive:
            return worker
        if worker is not None:
            worker.close()
        started = time.perf_counter()
        worker = self._started_ahead.pop(runtime, None) or self._start(runtime)
        self._running[runtime] = worker
        worker.request("describe", timeout=min(timeout, 300.0))
        self.start_seconds[runtime] = self.start_seconds.get(runtime, 0.0) + time.perf_counter() - started
        self.starts[runtime] = self.starts.get(runtime, 0) + 1
        return worker

    def note(self, runtime: str, starts: int, start_seconds: float, busy_seconds: float) -> None:
        """Count workers that a step started for itself."""
        self.starts[runtime] = self.starts.get(runtime, 0) + starts
        self.start_seconds[runtime] = self.start_seconds.get(runtime, 0.0) + start_seconds
        self.busy_seconds[runtime] = self.busy_seconds.get(runtime, 0.0) + busy_seconds

    def record(self) -> dict[str, Any]:
        """By runtime, of those that were started: ``starts``, ``start_seconds`` of all of them, and ``warnings``.

        A warning is a line of a worker's log with that word; equal lines are counted and listed once.
        """
        return {
            runtime: {
                "starts": starts,
                "start_seconds": self.start_seconds.get(runtime, 0.0),
                "warnings": _warnings(self.logs, runtime.replace("/", "-")),
            }
            for runtime, starts in sorted(self.starts.items())
        }

    def close(self) -> None:
        """End all workers."""
        for worker in (*self._running.values(), *self._started_ahead.values()):
            worker.close()
        self._running.clear()
        self._started_ahead.clear()


#: Python prints the source line below a warning; it is no second warning.
_QUOTED = ("warnings.warn(", "warn(")


def _warnings(logs: Path, stem: str) -> list[dict[str, Any]]:
    """``line`` and ``times`` of the warnings in a runtime's logs, in their order."""
    found: dict[str, int] = {}
    for path in (logs / f"{stem}.log", logs / f"timing-{stem}.log"):
        if not path.exists():
            continue
        lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
        for text, following in zip(lines, [*lines[1:], ""], strict=False):
            if text in ("Warning message:", "Warning messages:"):
                # R prints the text of the warning in the next line.
                text = f"{text} {following}"
            if "warning" in text.lower() and not text.startswith(_QUOTED):
                found[text] = found.get(text, 0) + 1
    return [{"line": line[:400], "times": times} for line, times in found.items()]


def _disk_full(error: WorkerError) -> StoreError | None:
    """The error of a full disk: it is no fault of the cell, and the run cannot go on for any cell."""
    for sign in ("No space left on device", "File too large", "Disk quota exceeded"):
        if sign.lower() in error.what.lower():
            return StoreError(
                f"no room to write: {sign}",
                where=error.where,
                hint="free some space, then run the same command again: it goes on from here",
            )
    return None


#: What libraries of Python, R, Julia and C++ say when they get no memory.
_OUT_OF_MEMORY = (
    "MemoryError",
    "OutOfMemoryError",
    "cannot allocate memory",
    "cannot allocate vector",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "out of memory",
)


def _out_of_memory(error: WorkerError) -> AccidentError | None:
    """A worker that answers that it got no memory says nothing of the model: with more of it the answer is another."""
    if isinstance(error, AccidentError) or not any(sign.lower() in error.what.lower() for sign in _OUT_OF_MEMORY):
        return None
    return AccidentError(error.what, where=error.where, hint=error.hint, log_tail=error.log_tail)
