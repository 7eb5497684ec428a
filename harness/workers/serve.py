"""The Python serve loop of the worker contract: ``python -m harness.workers.serve RUNTIME MODULE``.

``RUNTIME`` is the name of the runtime, ``MODULE`` the module with its ``ENGINE`` class, as in the runtime's row.

Requests and answers travel over the two pipes named by ``HARNESS_REQUESTS_FD`` and ``HARNESS_ANSWERS_FD``; whatever a
framework prints goes to the log. Only the engine that was asked for is imported, and only at the first request.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from harness.workers.requests import Requests

#: Longest line of the contract, in bytes.
MAX_LINE = 1 << 20

_POOLS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def pin_threads() -> None:
    """Set the size of every thread pool by environment variables; must run before a framework is imported."""
    count = os.environ.setdefault("HARNESS_THREADS", "1")
    for name in _POOLS:
        os.environ.setdefault(name, count)


class Handler(Protocol):
    """What answers request lines."""

    ended: bool

    def handle(self, line: bytes) -> str:
        """Answer one request line; never raises an Exception."""


class Server:
    """Turns request lines into answer lines for one runtime.

    ``module`` holds its ``ENGINE`` class and is imported at the first request that needs it. ``emit`` receives the progress
    lines that precede an answer, without their newline.
    """

    def __init__(self, runtime: str, module: str, emit: Callable[[str], None] = lambda line: None) -> None:
        self.runtime = runtime
        self._module = module
        self.ended = False
        self._emit = emit
        self._requests: Requests | None = None

    def handle(self, line: str | bytes) -> str:
        """Answer one request line; never raises an Exception."""
        identity: Any = None
        try:
            if len(line) > MAX_LINE:
                return error_line(None, "bad-input", f"a request line is at most {MAX_LINE} bytes")
            try:
                request = json.loads(line, parse_constant=_no_constant)
            except ValueError as error:
                return error_line(None, "bad-input", f"the request is not a line of JSON: {error}")
            if not isinstance(request, dict) or not isinstance(request.get("request"), str):
                return error_line(None, "bad-input", "a request is a JSON object with 'id' and 'request'")
            identity = request.pop("id", None)
            if not isinstance(identity, int) or isinstance(identity, bool):
                return error_line(None, "bad-input", "the id of a request is an integer")
            result = self._dispatch(request.pop("request"), request, identity)
            answer = json.dumps({"id": identity, "ok": True, "result": result}, allow_nan=False)
            if len(answer) > MAX_LINE:
                return error_line(identity, "failed", f"the answer is longer than {MAX_LINE} bytes")
            return answer
        except Exception as error:
            return _refused(identity, error)

    def _dispatch(self, name: str, arguments: dict[str, Any], identity: int) -> dict[str, Any]:
        from harness.workers.engine import BadInput, Unsupported

        if name == "shutdown":
            self.ended = True
            return {}
        handlers = self._handlers().table(self._progress(identity))
        if name not in handlers:
            raise Unsupported(f"request '{name}' is not supported by {self.runtime}")
        handler = handlers[name]
        try:
            inspect.signature(handler).bind(**arguments)
        except TypeError as error:
            raise BadInput(f"request '{name}': {error}") from error
        return handler(**arguments)

    def _handlers(self) -> Requests:
        if self._requests is None:
            from harness.workers.requests import Requests

            engine = importlib.import_module(self._module).ENGINE
            self._requests = Requests(engine())
        return self._requests

    def _progress(self, identity: int) -> Callable[[int, int, str], None]:
        def progress(done: int, total: int, text: str) -> None:
            state = {"done": done, "total": total, "text": text}
            self._emit(json.dumps({"id": identity, "progress": state}))

        return progress


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a finite number")


def error_line(identity: int | None, kind: str, message: str) -> str:
    """The answer line of an error."""
    text = " ".join(message.split())
    text = text if len(text) <= 2000 else text[:2000] + " ..."
    return json.dumps({"id": identity, "ok": False, "error": {"kind": kind, "message": text}})


def _refused(identity: int | None, error: Exception) -> str:
    from harness.workers.engine import Refusal

    traceback.print_exception(error, file=sys.stderr)
    sys.stderr.flush()
    if isinstance(error, Refusal):
        return error_line(identity, error.kind, str(error))
    if isinstance(error, MemoryError):
        return error_line(identity, "failed", f"out of memory: {error}" if str(error) else "out of memory")
    if isinstance(error, OSError) and error.filename is not None:
        return error_line(identity, "failed", f"{error.filename}: {error.strerror}")
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return error_line(identity, "failed", f"{type(error).__name__}: {first}" if first else type(error).__name__)


def _descriptor(variable: str) -> int:
    try:
        number = int(os.environ.pop(variable))
        os.set_inheritable(number, False)
        return number
    except (KeyError, ValueError, OSError) as error:
        raise SystemExit(f"{variable} must be the number of an open pipe: {error!r}") from error


def serve_pipes(start: Callable[[Callable[[str], None]], Handler]) -> None:
    """Answer the lines of the request pipe until ``shutdown`` or its end.

    ``start`` gets the function that writes a line, and returns what answers; it is called after the pipes are open, SIGINT
    is ignored and the sizes of thread pools are set.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests_descriptor = _descriptor("HARNESS_REQUESTS_FD")
    answers_descriptor = _descriptor("HARNESS_ANSWERS_FD")
    pin_threads()
    with (
        contextlib.suppress(BrokenPipeError),
        os.fdopen(requests_descriptor, "rb") as requests,
        os.fdopen(answers_descriptor, "wb", buffering=0) as answers,
    ):

        def emit(line: str) -> None:
            data = line.encode() + b"\n"
            while data:
                data = data[answers.write(data) or 0 :]

        handler = start(emit)
        while not handler.ended:
            line = requests.readline(MAX_LINE + 1)
            if not line:
                break
            if not line.endswith(b"\n"):
                # Too long, or cut off by the end of the pipe: read the rest, so that the next line begins at its beginning.
                while line and not line.endswith(b"\n"):
                    line = requests.readline(MAX_LINE)
                emit(error_line(None, "bad-input", f"a request line is at most {MAX_LINE} bytes and ends in \\n"))
                continue
            emit(handler.handle(line))


def main(arguments: list[str] | None = None) -> int:
    """Serve until ``shutdown`` or the end of the request pipe. Returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 2:
        print("usage: python -m harness.workers.serve RUNTIME MODULE", file=sys.stderr)
        return 2
    runtime, module = arguments
    serve_pipes(lambda emit: Server(runtime, module, emit))
    # Leave at once, without the exit handlers of frameworks.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
