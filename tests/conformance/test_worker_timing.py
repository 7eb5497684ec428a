"""The requests ``time`` and ``echo`` of the worker contract, on every installed runtime."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.conformance.bench import Bench
from harness.errors import BadInputError, UnsupportedError, WorkerError
from harness.runtimes.process import Worker
from harness.workers.tensors import read_tensors, write_tensors
from tests.conformance import small_models
from tests.conformance.asking import LIMIT, every_runtime, onnx_runtimes


@pytest.fixture
def worker(bench: Bench) -> Worker:
    """The running worker of the test's runtime."""
    if "time" not in bench.worker.request("describe", timeout=LIMIT)["requests"]:
        pytest.fail(f"{bench.worker.runtime.name} does not answer 'time'")
    return bench.worker


@pytest.fixture
def loaded(worker: Worker, tmp_path: Path) -> tuple[Worker, str]:
    """A worker that holds a small model, and a file of five samples for it."""
    worker.request("load", path=str(small_models.affine(tmp_path / "affine.onnx")), timeout=LIMIT)
    inputs = tmp_path / "inputs.safetensors"
    write_tensors(inputs, {"x": np.arange(15, dtype=np.float32).reshape(5, 3)})
    return worker, str(inputs)


def ask(loaded: tuple[Worker, str], **arguments: Any) -> dict[str, Any]:
    worker, inputs = loaded
    return worker.request("time", **{"inputs": inputs, "seconds": 0.02, "repeats": 20} | arguments, timeout=LIMIT)


@onnx_runtimes
def test_calls_are_timed_per_batch_size(runtime: str, loaded: tuple[Worker, str]) -> None:
    # Eight samples from a file of five: the batch begins again.
    answer = ask(loaded, batch_sizes=[8, 1])
    assert [batch["batch_size"] for batch in answer["batches"]] == [8, 1]
    for batch in answer["batches"]:
        assert batch["calls"] >= 1
        assert 3 <= len(batch["seconds"]) <= 20
        assert len(batch["cpu_seconds"]) == len(batch["seconds"])
        assert all(value > 0 for value in batch["seconds"])
        assert all(value >= 0 for value in batch["cpu_seconds"])
        assert batch["first_seconds"] > 0
        # A call of microseconds must have been looped: no clock here resolves it to 1 % otherwise.
        assert batch["calls"] * float(np.median(batch["seconds"])) > 2e-5
    assert set(answer["threads"].values()) == {1}
    peak = answer["resident_peak_bytes"]
    assert peak is None or 10e6 < peak < 8e9


@onnx_runtimes
@pytest.mark.parametrize(
    "sizes", [[], [0], [-1], [2, 2], [1.5], ["1"], "1", None, [1 << 40], list(range(1, 30))], ids=str
)
def test_bad_batch_sizes_are_refused(runtime: str, loaded: tuple[Worker, str], sizes: Any) -> None:
    with pytest.raises(WorkerError) as error:
        ask(loaded, batch_sizes=sizes)
    assert type(error.value) is BadInputError
    assert "batch" in error.value.what


@onnx_runtimes
@pytest.mark.parametrize(
    "wrong",
    [{"seconds": 0}, {"seconds": -1.0}, {"seconds": 1e6}, {"seconds": "1"}, {"repeats": 0}, {"repeats": 10**6}],
    ids=str,
)
def test_bad_limits_are_refused(runtime: str, loaded: tuple[Worker, str], wrong: dict[str, Any]) -> None:
    with pytest.raises(WorkerError) as error:
        ask(loaded, batch_sizes=[1], **wrong)
    assert type(error.value) is BadInputError
    assert next(iter(wrong)) in error.value.what


@onnx_runtimes
def test_wrong_inputs_are_refused_before_anything_is_timed(runtime: str, worker: Worker, tmp_path: Path) -> None:
    worker.request("load", path=str(small_models.affine(tmp_path / "affine.onnx")), timeout=LIMIT)
    inputs = tmp_path / "inputs.safetensors"
    write_tensors(inputs, {"x": np.zeros((5, 4), np.float32)})
    with pytest.raises(WorkerError) as error:
        ask((worker, str(inputs)), batch_sizes=[1])
    assert type(error.value) is BadInputError


@every_runtime
def test_echo_hands_arrays_back_and_says_how_long_it_took(runtime: str, worker: Worker, tmp_path: Path) -> None:
    source, target = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    arrays = {
        "a": np.random.default_rng(3).normal(size=(7, 5, 3)).astype(np.float32),
        "b": np.arange(-4, 5, dtype=np.int64),
        "c": np.array([math.pi, -0.0, math.inf]),
    }
    write_tensors(source, arrays)
    answer = worker.request("echo", inputs=str(source), outputs=str(target), timeout=LIMIT)
    back = read_tensors(target)
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert back[name].tobytes() == array.tobytes(), name
    assert answer["bytes"] == sum(array.nbytes for array in arrays.values())
    assert answer["read_seconds"] >= 0
    assert answer["write_seconds"] >= 0


@every_runtime
def test_echo_of_a_missing_file_is_bad_input(runtime: str, worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(WorkerError) as error:
        worker.request("echo", inputs=str(tmp_path / "no"), outputs=str(tmp_path / "out"), timeout=LIMIT)
    assert type(error.value) is BadInputError
    assert not isinstance(error.value, UnsupportedError)
