"""Which axis is the sample: shared inputs, outputs with the sample elsewhere, files of one batch size, on every runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import BadInputError, WorkerError
from harness.runtimes.process import Worker
from harness.workers.tensors import write_tensors
from tests.conformance import small_models
from tests.conformance.asking import LIMIT, assert_refused, load, onnx_runtimes, predict


def series(samples: int, *rest: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.arange(samples * int(np.prod(rest)), dtype=np.float32).reshape(samples, *rest)


@onnx_runtimes
@pytest.mark.parametrize("batch_size", [8, 5, 1, None])
def test_an_output_is_joined_along_its_sample_axis(
    runtime: str, worker: Worker, tmp_path: Path, batch_size: int | None
) -> None:
    load(worker, small_models.eight_heads(tmp_path / "model.onnx"))
    x = series(16, 8, 4)
    outputs, answer = predict(worker, tmp_path, {"x": x}, batch_size, {"attention": 1})
    assert np.array_equal(outputs["attention"], x.transpose(1, 0, 2))
    assert np.array_equal(outputs["y"], x * 2)
    assert answer["batches"] == -(-16 // (batch_size or 16))
    assert "filled" not in answer


@onnx_runtimes
@pytest.mark.parametrize("batch_size", [2, 5, None])
def test_an_input_of_all_samples_is_whole_in_every_batch(
    runtime: str, worker: Worker, tmp_path: Path, batch_size: int | None
) -> None:
    load(worker, small_models.shared_dates(tmp_path / "model.onnx"))
    x, doy = series(5, 3), np.array([10.0, 100.0, 200.0], np.float32)
    outputs, _ = predict(worker, tmp_path, {"x": x, "doy": doy}, batch_size, {"doy": None, "season": None})
    assert np.array_equal(outputs["y"], x + doy)
    assert np.array_equal(outputs["season"], doy * 2)


@onnx_runtimes
def test_an_input_is_cut_along_its_sample_axis(runtime: str, worker: Worker, tmp_path: Path) -> None:
    load(worker, small_models.samples_second(tmp_path / "model.onnx"))
    x = series(2, 7)
    outputs, answer = predict(worker, tmp_path, {"x": x}, 3, {"x": 1})
    assert np.array_equal(outputs["y"], x.T)
    assert answer["batches"] == 3


@onnx_runtimes
@pytest.mark.parametrize("batch_size", [8, None])
def test_the_last_batch_of_a_file_of_one_size_is_filled_and_cut(
    runtime: str, worker: Worker, tmp_path: Path, batch_size: int | None
) -> None:
    load(worker, small_models.affine_in_eights(tmp_path / "model.onnx"))
    x = series(20, 3)
    outputs, answer = predict(worker, tmp_path, {"x": x}, batch_size)
    assert np.array_equal(outputs["y"], x @ np.arange(6, dtype=np.float32).reshape(3, 2) + np.float32([0.5, -0.25]))
    assert (answer["batches"], answer["filled"]) == (3, 4)
    outputs, answer = predict(worker, tmp_path, {"x": x[:16]}, batch_size)
    assert outputs["y"].shape == (16, 2)
    assert answer["batches"] == 2
    assert "filled" not in answer


@onnx_runtimes
@pytest.mark.parametrize("batch_size", [4, 16, 20])
def test_a_batch_size_that_a_file_does_not_take_is_refused(
    runtime: str, worker: Worker, tmp_path: Path, batch_size: int
) -> None:
    load(worker, small_models.affine_in_eights(tmp_path / "model.onnx"))
    with pytest.raises(WorkerError) as error:
        predict(worker, tmp_path, {"x": series(20, 3)}, batch_size)
    assert_refused(worker, error, BadInputError)
    assert "8" in error.value.what
    assert str(batch_size) in error.value.what


@onnx_runtimes
def test_an_output_of_no_sample_that_differs_between_batches_is_refused(
    runtime: str, worker: Worker, tmp_path: Path
) -> None:
    load(worker, small_models.affine(tmp_path / "model.onnx"))
    with pytest.raises(WorkerError) as error:
        predict(worker, tmp_path, {"x": series(6, 3)}, 3, {"y": None})
    assert_refused(worker, error, BadInputError)
    assert "y" in error.value.what


@onnx_runtimes
@pytest.mark.parametrize(
    "axes", [{"z": 0}, {"x": -1}, {"x": 2}, {"y": 2}, {"x": "0"}, {"x": 0.5}, {"x": True}, []], ids=str
)
def test_sample_axes_that_cannot_be_are_refused(runtime: str, worker: Worker, tmp_path: Path, axes: Any) -> None:
    load(worker, small_models.affine(tmp_path / "model.onnx"))
    with pytest.raises(WorkerError) as error:
        predict(worker, tmp_path, {"x": series(6, 3)}, 3, axes)
    assert_refused(worker, error, BadInputError)


@onnx_runtimes
def test_inputs_of_different_numbers_of_samples_are_refused(runtime: str, worker: Worker, tmp_path: Path) -> None:
    load(worker, small_models.shared_dates(tmp_path / "model.onnx"))
    with pytest.raises(WorkerError) as error:
        predict(worker, tmp_path, {"x": series(5, 3), "doy": series(3)}, 2)
    assert_refused(worker, error, BadInputError)


@onnx_runtimes
def test_calls_with_an_input_of_all_samples_are_timed(runtime: str, worker: Worker, tmp_path: Path) -> None:
    load(worker, small_models.shared_dates(tmp_path / "model.onnx"))
    inputs = tmp_path / "inputs.safetensors"
    write_tensors(inputs, {"x": series(5, 3), "doy": series(3)})
    asked = {"inputs": str(inputs), "seconds": 0.02, "repeats": 5, "batch_sizes": [8, 1]}
    answer = worker.request("time", **asked, sample_axes={"doy": None, "season": None}, timeout=LIMIT)
    assert [batch["batch_size"] for batch in answer["batches"]] == [8, 1]
