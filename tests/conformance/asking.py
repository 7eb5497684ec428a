"""What every test of the worker contract asks, and of whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import WorkerError
from harness.runtimes.process import Worker
from harness.runtimes.registry import RUNTIMES
from harness.workers.tensors import read_tensors, write_tensors
from tests.conformance.conftest import ONNX_RUNTIMES

#: Seconds that a worker has for one answer.
LIMIT = 120.0

every_runtime = pytest.mark.parametrize("runtime", list(RUNTIMES))
#: Those that read ONNX, for which a small model can be written here.
onnx_runtimes = pytest.mark.parametrize("runtime", ONNX_RUNTIMES)


def predict(
    worker: Worker,
    folder: Path,
    inputs: dict[str, Any],
    batch_size: int | None = None,
    sample_axes: dict[str, Any] | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Send arrays to the loaded model. Returns its outputs and the answer."""
    given, results = folder / "inputs.safetensors", folder / "outputs.safetensors"
    write_tensors(given, inputs)
    results.unlink(missing_ok=True)
    axes = {} if sample_axes is None else {"sample_axes": sample_axes}
    asked = {"inputs": str(given), "outputs": str(results), "batch_size": batch_size}
    answer = worker.request("predict", **asked, **axes, timeout=LIMIT)
    return read_tensors(results), answer


def load(worker: Worker, path: Path, precision: str = "float32") -> dict[str, Any]:
    """Load a model file."""
    return worker.request("load", path=str(path), precision=precision, timeout=LIMIT)


def assert_refused(worker: Worker, error: pytest.ExceptionInfo[WorkerError], kind: type[WorkerError]) -> None:
    """The error is of one kind, says something on one line, and left the same process in order."""
    assert type(error.value) is kind
    assert error.value.what.strip()
    assert "\n" not in error.value.what
    assert worker.alive
    assert worker.request("describe", timeout=LIMIT)["runtime"] == worker.runtime.name
