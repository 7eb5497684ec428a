"""A small model in a folder, and runtimes to ask about it: in this process and as workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

# Before any framework is imported, as the serve loop does it.
from harness.workers.serve import pin_threads

pin_threads()

import pytest  # noqa: E402
from asked import Asked  # noqa: E402
from random_parameters import random_parameters  # noqa: E402

from harness.models import tempcnn  # noqa: E402
from harness.models.spec import ModelSpec  # noqa: E402
from harness.runtimes.process import Worker  # noqa: E402
from harness.runtimes.registry import RUNTIMES, availability  # noqa: E402


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
