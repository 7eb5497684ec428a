"""A scenario of few runtimes, run without Julia, for tests that run it often."""

from __future__ import annotations

import copy
import os
from pathlib import Path

from tests.integration.conftest import SMALL, Workplace


class Quick(Workplace):
    """A scenario of few runtimes; Julia is not to be found, unless a test gives an environment of its own."""

    def __init__(self, folder: Path, programs: str) -> None:
        document = copy.deepcopy(SMALL)
        document["targets"] = ["python/onnxruntime", "r/base"]
        document["routes"] = document["routes"][1:]
        super().__init__(folder, document)
        self.programs = programs

    def environment(self, base: dict[str, str] | None = None) -> dict[str, str]:
        return super().environment(base or {**os.environ, "PATH": self.programs})

    @property
    def store(self) -> Path:
        return self.folder / "exported"
