"""A scenario of few runtimes, for tests that run it often."""

from __future__ import annotations

import copy
from pathlib import Path

from tests.integration.conftest import SMALL, Workplace


class Quick(Workplace):
    """A scenario of few runtimes."""

    def __init__(self, folder: Path, programs: str) -> None:
        document = copy.deepcopy(SMALL)
        document["targets"] = ["python/onnxruntime", "r/base"]
        document["routes"] = document["routes"][1:]
        super().__init__(folder, document)
        self.programs = programs

    def environment(self, base: dict[str, str] | None = None) -> dict[str, str]:
        return {**super().environment(base), "PATH": self.programs}

    @property
    def store(self) -> Path:
        return self.folder / "exported"
