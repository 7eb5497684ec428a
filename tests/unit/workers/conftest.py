"""A runtime asked in this process, and small models to ask about."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before any framework is imported, as the serve loop does it.
from harness.workers.serve import Server, pin_threads

pin_threads()

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from harness.models import tempcnn  # noqa: E402
from harness.models.spec import ModelSpec  # noqa: E402
from harness.runtimes.process import Worker  # noqa: E402
from harness.runtimes.registry import RUNTIMES, availability  # noqa: E402


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


@pytest.fixture
def ask() -> Callable[[str], Asked]:
    return Asked


@pytest.fixture
def small_spec() -> ModelSpec:
    return tempcnn.build(
        bands=3,
        dates=8,
        classes=4,
        preset=None,
        hyperparameters={
            "filters": [6, 5],
            "kernels": [5, 3],
            "dropouts": [0.2, 0.2],
            "dense_width": 7,
            "dense_dropout": 0.3,
        },
    )


def random_parameters(spec: ModelSpec, seed: int = 0) -> dict[str, np.ndarray]:
    """Canonical parameters with moving statistics as a trained model has them."""
    generator = np.random.default_rng(seed)
    arrays = {}
    for parameter in spec.parameters:
        values = generator.standard_normal(parameter.shape) * 0.4
        if parameter.role == "variance":
            values = generator.uniform(0.3, 2.0, parameter.shape)
        if parameter.role == "scale":
            values = generator.uniform(0.6, 1.5, parameter.shape)
        arrays[parameter.name] = values.astype(np.float32)
    return arrays


@pytest.fixture
def source(tmp_path: Path, small_spec: ModelSpec) -> Path:
    """A folder with ``weights.safetensors``, ``model.json`` and ``metadata.json``."""
    from harness.workers.tensors import write_tensors

    folder = tmp_path / "source"
    folder.mkdir()
    write_tensors(folder / "weights.safetensors", random_parameters(small_spec))
    (folder / "model.json").write_text(small_spec.to_json())
    (folder / "metadata.json").write_text(json.dumps({"harness.model": "tempcnn", "harness.classes": '["a", "é"]'}))
    return folder


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Worker]]:
    """One running worker per backend for all tests of this file, and a new one where a test ended it."""
    logs = tmp_path_factory.mktemp("logs")
    running: dict[str, Worker] = {}

    def worker(runtime: str) -> Worker:
        here = availability(RUNTIMES[runtime])
        if not here.installed:
            pytest.skip(f"{runtime}: {here.reason}; install it with: {here.install}")
        if runtime not in running or not running[runtime].alive:
            running[runtime] = Worker.start(RUNTIMES[runtime], logs / f"{runtime.replace('/', '-')}.log")
        return running[runtime]

    yield worker
    for held in running.values():
        held.close()
