"""A small scenario and a way to run the real command line on it."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.runtimes.registry import RUNTIMES, availability

ROOT = Path(__file__).resolve().parents[2]

SMALL: dict[str, Any] = {
    "scenario": "small",
    "title": "A small TempCNN",
    "seed": 7,
    "data": {
        "source": "synthetic-crops",
        "dates": 20,
        "options": {"train": 180, "valid": 60, "test": 100},
    },
    "model": {
        "name": "tempcnn",
        "hyperparameters": {
            "filters": [8, 8, 8],
            "kernels": [5, 5, 5],
            "dropouts": [0.1, 0.1, 0.1],
            "dense_width": 16,
            "dense_dropout": 0.1,
        },
    },
    "source": {"framework": "pytorch", "training": {"epochs": 2, "batch_size": 32, "learning_rate": 0.002}},
    "routes": ["safetensors", {"route": "torch-script", "opset": 17, "fold": False}],
    "targets": ["python/pytorch", "python/onnxruntime", "r/base", "julia/base"],
    "probe": {"samples": 64},
}


def without(program: str, path: str | None = None) -> dict[str, str]:
    """An environment in which a program is not on the path (or on one given), nor whatever lies beside it."""
    folders = (os.environ["PATH"] if path is None else path).split(os.pathsep)
    kept = [folder for folder in folders if not (Path(folder) / program).exists()]
    return {**os.environ, "PATH": os.pathsep.join(kept)}


@dataclass
class Workplace:
    """A folder with a scenario in it, and the command line run inside."""

    folder: Path
    document: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(SMALL))

    @property
    def scenario(self) -> Path:
        path = self.folder / "small.yaml"
        path.write_text(yaml.safe_dump(self.document))
        return path

    @property
    def results(self) -> Path:
        return self.folder / "results" / "small"

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "harness", *arguments]

    def environment(self, base: dict[str, str] | None = None) -> dict[str, str]:
        return {**(base or os.environ), "PYTHONPATH": str(ROOT), "COLUMNS": "200"}

    def harness(
        self, *arguments: str, environment: dict[str, str] | None = None, before: Callable[[], None] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(environment),
            capture_output=True,
            text=True,
            timeout=300,
            preexec_fn=before,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell's background job ignores Ctrl-C, and what it starts would, too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def run(self, **options: Any) -> subprocess.CompletedProcess[str]:
        return self.harness("run", str(self.scenario), **options)


@pytest.fixture
def workplace(tmp_path: Path) -> Workplace:
    return Workplace(tmp_path)


def run_through(workplace: Workplace) -> Workplace:
    """A workplace whose scenario has been run to its end."""
    done = workplace.run()
    assert done.returncode == 0, done.stdout + done.stderr
    return workplace


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """The small scenario, run to its end once; tests that use it leave it as it is."""
    return run_through(Workplace(tmp_path_factory.mktemp("finished")))


@pytest.fixture(scope="session")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """The same scenario, run once more from nothing in another folder; tests that use it leave it as it is."""
    return run_through(Workplace(tmp_path_factory.mktemp("repeated")))


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A search path with every program but Julia, which takes long to start."""
    links = tmp_path_factory.mktemp("programs")
    folders = []
    for name in dict.fromkeys(os.environ["PATH"].split(os.pathsep)):
        if not (Path(name) / "julia").exists():
            folders.append(name)
            continue
        for program in Path(name).iterdir():
            if program.name != "julia" and not (links / program.name).is_symlink():
                (links / program.name).symlink_to(program)
    return os.pathsep.join([*folders, str(links)])


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, programs: str) -> Workplace:
    """The scenario, run once without any disturbance; tests leave it as it is."""
    from tests.integration.quick import Quick

    return run_through(Quick(tmp_path_factory.mktemp("whole"), programs))


needs_r = pytest.mark.skipif(
    not availability(RUNTIMES["r/base"]).installed,
    reason=f"r/base is not installed: {availability(RUNTIMES['r/base']).reason}",
)

needs_julia = pytest.mark.skipif(
    not availability(RUNTIMES["julia/base"]).installed,
    reason=f"julia/base is not installed: {availability(RUNTIMES['julia/base']).reason}",
)
