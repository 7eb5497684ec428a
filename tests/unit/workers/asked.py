"""A runtime asked in this process."""

from __future__ import annotations

import json
import os
from typing import Any

from harness.runtimes.registry import RUNTIMES
from harness.workers.serve import Server


class Asked:
    """A server and its answers as Python objects; ``progress`` collects the lines that precede answers."""

    def __init__(self, runtime: str) -> None:
        self.progress: list[dict[str, Any]] = []
        self._server = Server(runtime, RUNTIMES[runtime].worker, lambda line: self.progress.append(json.loads(line)))

    def answer(self, request: str, **arguments: Any) -> dict[str, Any]:
        line = json.dumps({"id": 5, "request": request, **arguments}, default=os.fspath)
        answer: dict[str, Any] = json.loads(self._server.handle(line))
        assert answer["id"] == 5
        return answer

    def __call__(self, request: str, **arguments: Any) -> dict[str, Any]:
        answer = self.answer(request, **arguments)
        assert answer["ok"], answer
        result: dict[str, Any] = answer["result"]
        return result

    def refused(self, kind: str, request: str, **arguments: Any) -> str:
        """The message of an error of the given kind: one line."""
        answer = self.answer(request, **arguments)
        assert not answer["ok"], answer
        assert answer["error"]["kind"] == kind, answer
        message: str = answer["error"]["message"]
        assert message
        assert "\n" not in message
        return message
