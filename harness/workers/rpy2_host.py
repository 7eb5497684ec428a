"""R inside a Python process: ``python -m harness.workers.rpy2_host r/torch``.

The Python serve loop hands every line to the R package's own ``handle()``, so that this host and ``Rscript`` run the same
code. This process never imports a framework: R torch carries a libtorch of its own.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from harness.workers.serve import error_line, serve_pipes

if TYPE_CHECKING:
    from rpy2.rinterface import SexpClosure


class EmbeddedR:
    """Answers request lines by ``plainonnx::onnx_answer(line, engine)`` in the R of this process."""

    def __init__(self, engine: str) -> None:
        self.ended = False
        self._engine = engine
        self._handle: SexpClosure = self._start()

    def _start(self) -> Any:
        import rpy2.rinterface as rinterface
        from rpy2.rinterface_lib import callbacks

        # What R prints goes to the log by fd 1, like that of its child processes.
        callbacks.consolewrite_print = _print
        callbacks.consolewrite_warnerror = _print
        rinterface.initr()
        # R's own handler would wait for a prompt, and there is none.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return rinterface.evalr("plainonnx::onnx_answer")

    def handle(self, line: bytes) -> str:
        """Answer one request line; never raises an Exception."""
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            return error_line(None, "bad-input", f"the request is not UTF-8: {error}")
        if "\0" in text:
            return error_line(None, "bad-input", "the request holds a character that no JSON may hold")
        try:
            answer = str(self._handle(text.rstrip("\n"), self._engine)[0])
            self.ended = bool(self._ended()[0])
            return answer
        except Exception as error:
            first = next((part for part in str(error).splitlines() if part.strip()), type(error).__name__)
            return error_line(None, "failed", f"R broke: {first}")

    def _ended(self) -> Any:
        import rpy2.rinterface as rinterface

        return rinterface.evalr("isTRUE(plainonnx:::session$ended)")

    @staticmethod
    def remove_scratch() -> None:
        """Remove R's temporary folder, as R itself does at its end."""
        import rpy2.rinterface as rinterface

        rinterface.evalr("unlink(tempdir(), recursive = TRUE)")


def _print(s: str) -> None:
    os.write(1, s.encode(errors="replace"))


def main(arguments: list[str] | None = None) -> int:
    """Serve until ``shutdown`` or the end of the request pipe. Returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1 or not arguments[0].startswith("r/"):
        print("usage: python -m harness.workers.rpy2_host r/ENGINE", file=sys.stderr)
        return 2

    def start(_: Callable[[str], None]) -> EmbeddedR:
        return EmbeddedR(arguments[0].removeprefix("r/"))

    serve_pipes(start)
    EmbeddedR.remove_scratch()
    sys.stdout.flush()
    sys.stderr.flush()
    # Leave without Python's exit handlers: in them R may wait for threads of libtorch.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
