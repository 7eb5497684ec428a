"""A worker process as the harness sees it: two pipes, a log file, and an end that is always reached."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.errors import AccidentError, BadInputError, UnavailableError, UnsupportedError, WorkerError
from harness.runtimes.launch import command, environment
from harness.runtimes.memory import resident_bytes
from harness.runtimes.registry import ready
from harness.runtimes.row import Runtime

#: Longest line of the contract, in bytes.
MAX_LINE = 1 << 20
#: Seconds that each step of ending a worker is given before the next, harsher one.
GRACE = 2.0
LOG_TAIL_LINES = 12
#: Seconds between two looks at the memory of a worker that has a limit.
WATCH = 0.1

Progress = Callable[[dict[str, Any]], None]

_ERRORS: dict[str, type[WorkerError]] = {
    "unsupported": UnsupportedError,
    "bad-input": BadInputError,
    "failed": WorkerError,
}


class Worker:
    """One running worker. Use :meth:`start`; a context manager that closes it.

    Raises WorkerError (or a child of it) from every request that does not end in an answer: AccidentError after a death, a
    hang or a broken line, and then the worker is gone and :attr:`alive` is False.
    """

    def __init__(self, row: Runtime, process: subprocess.Popen[bytes], requests: int, answers: int, log: Path) -> None:
        self.runtime = row
        self.log = log
        #: Bytes of memory that it may hold while it works on a request, its children included; None: any number.
        self.memory_limit: float | None = None
        #: Seconds from starting the process to its first answer; None until then.
        self.start_seconds: float | None = None
        self._process = process
        self._requests = requests
        self._answers = answers
        self._buffer = bytearray()
        self._next_id = 0
        # False while an answer may be under way that would be taken for the answer to the next request.
        self._in_order = True
        self._started = time.perf_counter()

    @classmethod
    def start(cls, row: Runtime, log: Path, *, threads: int = 1, memory_limit: float | None = None) -> Worker:
        """Start a runtime's worker; what its libraries print is appended to ``log``. Makes its environment at first use.

        With ``memory_limit``, in bytes, it is ended where it holds more while a request is under way.

        Raises UnavailableError where the runtime is not installed, WorkerError where it cannot be started.
        """
        here = ready(row)
        if not here.installed:
            raise UnavailableError(here.reason, where=row.name, hint=f"install it with: {here.install}")
        log.parent.mkdir(parents=True, exist_ok=True)
        variables = environment(row, threads)
        read_request, write_request = os.pipe()
        read_answer, write_answer = os.pipe()
        variables["HARNESS_REQUESTS_FD"] = str(read_request)
        variables["HARNESS_ANSWERS_FD"] = str(write_answer)
        try:
            with log.open("ab") as output:
                process = subprocess.Popen(
                    command(row),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    pass_fds=(read_request, write_answer),
                    env=variables,
                    start_new_session=True,
                )
        except OSError as error:
            os.close(write_request)
            os.close(read_answer)
            raise AccidentError(f"cannot be started: {error}", where=row.name) from error
        finally:
            os.close(read_request)
            os.close(write_answer)
        os.set_blocking(write_request, False)
        os.set_blocking(read_answer, False)
        worker = cls(row, process, write_request, read_answer, log)
        worker.memory_limit = memory_limit
        return worker

    @property
    def alive(self) -> bool:
        """Whether requests can still be sent."""
        return self._requests >= 0 and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id, which is also that of its process group."""
        return self._process.pid

    def request(
        self, request: str, *, timeout: float = 600.0, progress: Progress | None = None, **arguments: Any
    ) -> dict[str, Any]:
        """Send one request and wait for its answer, at most ``timeout`` seconds. Returns the answer's ``result``."""
        self._next_id += 1
        identity = self._next_id
        line = json.dumps({"id": identity, "request": request, **arguments}, allow_nan=False) + "\n"
        return self.exchange(line.encode(), identity, request, timeout=timeout, progress=progress)

    def exchange(
        self,
        line: bytes,
        identity: int | None,
        request: str,
        *,
        timeout: float,
        progress: Progress | None = None,
    ) -> dict[str, Any]:
        """Send one raw line and wait for the answer to ``identity``; tests send malformed lines through it."""
        if self._requests < 0:
            raise WorkerError("the worker is closed", where=self.runtime.name)
        deadline = time.monotonic() + timeout
        try:
            self._send(line, request, deadline)
            while True:
                answer = self._receive(request, deadline)
                if self.start_seconds is None:
                    self.start_seconds = time.perf_counter() - self._started
                if answer.get("id") != identity:
                    raise self._broken(f"answered request {answer.get('id')} when asked '{request}' ({identity})")
                if isinstance(answer.get("progress"), dict):
                    if progress is not None:
                        progress(answer["progress"])
                    continue
                return self._result(answer, request)
        except BaseException as error:
            # A refusal leaves the worker in order. Anything else, Ctrl-C included, leaves an answer under way that
            # would be taken for the answer to the next request.
            if not (isinstance(error, WorkerError) and self._in_order):
                self.kill()
            raise

    def close(self) -> None:
        """End the worker: ``shutdown``, then SIGTERM to its group, then SIGKILL, with a grace between them."""
        if self._requests >= 0 and self._process.poll() is None:
            with contextlib.suppress(OSError):
                os.write(self._requests, b'{"id": 0, "request": "shutdown"}\n')
        self._close_pipes()
        if not self._wait(GRACE):
            self._signal(signal.SIGTERM)
            if not self._wait(GRACE):
                self._signal(signal.SIGKILL)
        self._process.wait()

    def kill(self) -> None:
        """End the worker's whole group at once."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._close_pipes()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, line: bytes, request: str, deadline: float) -> None:
        self._in_order = False
        view = memoryview(line)
        poll = select.poll()
        poll.register(self._requests, select.POLLOUT)
        while view:
            if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise self._broken(f"does not read its requests ('{request}')")
            try:
                view = view[os.write(self._requests, view) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise self._died(request) from None

    def _receive(self, request: str, deadline: float) -> dict[str, Any]:
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > MAX_LINE:
                raise self._broken(f"answered '{request}' with a line of over {MAX_LINE} bytes")
            remaining = deadline - time.monotonic()
            wait = remaining if self.memory_limit is None else min(remaining, WATCH)
            if remaining <= 0 or not poll.poll(wait * 1000):
                if remaining <= wait:
                    raise self._broken(f"hung: no answer to '{request}' within its limit; the worker was ended")
                self._check_memory(request)
                continue
            try:
                chunk = os.read(self._answers, 1 << 16)
            except BlockingIOError:
                continue
            if not chunk:
                raise self._died(request)
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self._broken(f"answered '{request}' with a line that is not a JSON object: {line[:80]!r}")
        return answer

    def _check_memory(self, request: str) -> None:
        """Raises WorkerError where the worker holds more than it may."""
        held = resident_bytes(self._process.pid)
        if self.memory_limit is not None and held > self.memory_limit:
            raise self._broken(
                f"held {held / 1e9:.2f} GB of memory while it was asked '{request}', past its limit of "
                f"{self.memory_limit / 1e9:g} GB (limits.memory_gb); the worker was ended"
            )

    def _result(self, answer: dict[str, Any], request: str) -> dict[str, Any]:
        if answer.get("ok") is True and isinstance(answer.get("result"), dict):
            self._in_order = True
            result: dict[str, Any] = answer["result"]
            return result
        error = answer.get("error")
        if answer.get("ok") is False and isinstance(error, dict):
            self._in_order = True
            kind = _ERRORS.get(str(error.get("kind")), WorkerError)
            raise kind(str(error.get("message", "no message")), where=self.runtime.name, log_tail=self.log_tail())
        raise self._broken(f"answered '{request}' with neither a result nor an error")

    def log_tail(self) -> list[str]:
        """The last lines of the worker's log."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 8192))
                return log.read().decode(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        except OSError:
            return []

    def _broken(self, what: str) -> AccidentError:
        return AccidentError(what, where=self.runtime.name, log_tail=self.log_tail())

    def _died(self, request: str) -> AccidentError:
        self._wait(GRACE)
        code = self._process.poll()
        if code is None:
            how = "closed its channel"
        elif code < 0:
            name = signal.Signals(-code).name
            memory = " (out of memory?)" if name == "SIGKILL" else ""
            how = f"was ended by {name}{memory}"
        else:
            how = f"ended with exit code {code}"
        return self._broken(f"the worker {how} while it was asked '{request}'")

    def _wait(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _close_pipes(self) -> None:
        for descriptor in (self._requests, self._answers):
            if descriptor >= 0:
                os.close(descriptor)
        self._requests = self._answers = -1
