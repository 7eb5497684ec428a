"""Julia inside a Python process: ``python -m harness.workers.juliacall_host julia/flux Flux``.

The Julia packages that the engine needs follow the name of the runtime.

The Python serve loop hands every line to the Julia package's own ``handle()``, so that this host and a plain ``julia`` process
run the same code. This process imports nothing before juliacall, which has to come before any framework.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from harness.workers.serve import error_line, serve_pipes


class EmbeddedJulia:
    """Answers request lines by ``PlainONNX.handle(session, line)`` in the Julia of this process."""

    def __init__(self, engine: str, packages: list[str]) -> None:
        self.ended = False
        self._broken = ""
        try:
            self._session, self._handle = self._start(engine, packages)
        # juliacall raises many kinds of errors where its environment does not resolve; each becomes one line of an answer.
        except (Exception, SystemExit) as error:
            traceback.print_exception(error, file=sys.stderr)
            self._broken = (
                f"juliacall does not start Julia with {', '.join((*packages, 'PlainONNX'))}: {_first_line(error)}"
            )

    @staticmethod
    def _start(engine: str, packages: list[str]) -> tuple[Any, Any]:
        from juliacall import Main

        Main.seval(f"import {', '.join((*packages, 'PlainONNX'))}")
        return Main.seval("PlainONNX.Session")(engine), Main.seval("PlainONNX.handle")

    def handle(self, line: bytes) -> str:
        """Answer one request line; never raises an Exception."""
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            return error_line(None, "bad-input", f"the request is not UTF-8: {error}")
        if self._broken:
            return error_line(_identity(text), "failed", self._broken)
        try:
            answer = str(self._handle(self._session, text.rstrip("\n")))
            self.ended = bool(self._session.ended)
            return answer
        except Exception as error:
            return error_line(_identity(text), "failed", f"Julia broke: {_first_line(error)}")


def _identity(text: str) -> int | None:
    """The id of a request that could not be passed to Julia."""
    try:
        found = json.loads(text).get("id")
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, int) else None


def _first_line(error: BaseException) -> str:
    return next((part for part in str(error).splitlines() if part.strip()), type(error).__name__)


def main(arguments: list[str] | None = None) -> int:
    """Serve until ``shutdown`` or the end of the request pipe. Returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or not arguments[0].startswith("julia/"):
        print("usage: python -m harness.workers.juliacall_host julia/ENGINE [PACKAGE...]", file=sys.stderr)
        return 2

    def start(_: Callable[[str], None]) -> EmbeddedJulia:
        return EmbeddedJulia(arguments[0].removeprefix("julia/"), arguments[1:])

    serve_pipes(start)
    sys.stdout.flush()
    sys.stderr.flush()
    # Leave without Python's exit handlers: in them Julia would wait for tasks that are no longer needed.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
