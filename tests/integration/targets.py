"""The targets of the proof: runtimes of the registry, each in a worker of its own, asked as a run asks them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.runtimes.process import Worker
from harness.runtimes.registry import RUNTIMES, ready
from harness.workers.tensors import read_tensors, write_tensors
from tests.integration.proof import Array, Exported, Graph, Opened, graph_of

#: What every change is tested with. The rest takes seconds to start, or minutes to compile for every shape of tensor.
QUICK = ("python/onnxruntime", "r/base", "julia/base")
SLOW = ("r/torch", "r/onnxruntime", "julia/flux", "julia/onnxruntime")
TARGETS = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


class Target:
    """A runtime that opens files and answers a probe; its worker is started with the first file."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self._worker: Worker | None = None

    def open(self, path: Path, probe: Array) -> Opened:
        """What the runtime holds of a file, and what it answers in float32.

        Raises UnsupportedError where it refuses the file.
        """
        if self._worker is None or not self._worker.alive:
            self._worker = Worker.start(RUNTIMES[self.name], self.folder / "worker.log")
        inputs, held, outputs = (self.folder / f"{name}.safetensors" for name in ("inputs", "held", "outputs"))
        write_tensors(inputs, {"x": probe})
        loaded = self._worker.request("load", path=str(path), precision="float32")
        self._worker.request("parameters", outputs=str(held))
        self._worker.request("predict", inputs=str(inputs), outputs=str(outputs), batch_size=None)
        (answers,) = read_tensors(outputs).values()
        return Opened(metadata=loaded["metadata"], parameters=read_tensors(held), target32=answers)

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()


def opened(name: str, folder: Path) -> Iterator[Target]:
    """The target of that name for as long as a fixture lasts; skips where the runtime is not installed."""
    here = ready(RUNTIMES[name])
    if not here.installed:
        pytest.skip(f"{name}: {here.reason}; install it with: {here.install}")
    target = Target(name, folder)
    yield target
    target.close()


class Shelf:
    """Exported files and what their oracle says, made once for all targets."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._graphs: dict[str, Graph] = {}

    def graph(self, name: str, make: Callable[[Path], Path], probe: Array) -> Graph:
        """The file of that name; ``make`` writes it into the folder that it is given."""
        if name not in self._graphs:
            folder = self.folder / name
            folder.mkdir()
            self._graphs[name] = graph_of(make(folder), probe)
        return self._graphs[name]


def read_in(target: Target, graph: Graph, probe: Array, *, other: Path | None = None) -> Exported:
    """A file as its oracle reads it and as a target does; ``other`` is what the target is given in its place."""
    return Exported.of(graph, target.open(other or graph.path, probe))
