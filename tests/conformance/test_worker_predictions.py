"""Predictions and activations, on every installed runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.conformance.bench import Bench
from harness.errors import BadInputError, WorkerError
from harness.runtimes.process import Worker
from harness.runtimes.registry import RUNTIMES
from harness.workers.tensors import read_tensors, write_tensors
from tests.conformance import small_models
from tests.conformance.asking import LIMIT, assert_refused, load, onnx_runtimes, predict


@onnx_runtimes
def test_wrong_inputs_are_bad_input_and_the_model_stays(runtime: str, worker: Worker, tmp_path: Path) -> None:
    load(worker, small_models.affine(tmp_path / "model.onnx"))
    x = np.ones((2, 3), np.float32)
    wrong: dict[str, dict[str, Any]] = {
        "name": {"X": x},
        "none": {},
        "one too many": {"x": x, "extra": x},
        "dtype float64": {"x": x.astype(np.float64)},
        "dtype int64": {"x": x.astype(np.int64)},
        "size": {"x": np.ones((2, 4), np.float32)},
        "axes missing": {"x": np.ones(3, np.float32)},
        "axes too many": {"x": np.ones((1, 2, 3), np.float32)},
    }
    for what, inputs in wrong.items():
        with pytest.raises(WorkerError) as error:
            predict(worker, tmp_path, inputs)
        assert_refused(worker, error, BadInputError)
        assert "x" in error.value.what, what
        assert not (tmp_path / "outputs.safetensors").exists()
    outputs, _ = predict(worker, tmp_path, {"x": x})
    assert np.array_equal(outputs["y"], np.array([[6.5, 8.75]] * 2, np.float32))


@onnx_runtimes
def test_inputs_that_are_no_safetensors_file_are_bad_input(runtime: str, worker: Worker, tmp_path: Path) -> None:
    load(worker, small_models.affine(tmp_path / "model.onnx"))
    good = tmp_path / "good.safetensors"
    write_tensors(good, {"x": np.ones((2, 3), np.float32)})
    whole = good.read_bytes()
    contents = {
        "empty": b"",
        "short": whole[:5],
        "header": whole[:20],
        "cut": whole[:-4],
        "text": b"hello, world\n" * 9,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name in [*contents, "absent"]:
        with pytest.raises(WorkerError) as error:
            worker.request(
                "predict",
                inputs=str(tmp_path / name),
                outputs=str(tmp_path / "out.safetensors"),
                batch_size=None,
                timeout=LIMIT,
            )
        assert_refused(worker, error, BadInputError)


@onnx_runtimes
def test_predicting_without_a_model_is_bad_input(runtime: str, bench: Bench, tmp_path: Path) -> None:
    with Worker.start(RUNTIMES[runtime], tmp_path / "log") as fresh:
        with pytest.raises(WorkerError) as error:
            predict(fresh, tmp_path, {"x": np.ones((1, 3), np.float32)})
        assert_refused(fresh, error, BadInputError)


@onnx_runtimes
def test_batches_change_nothing(runtime: str, worker: Worker, tmp_path: Path) -> None:
    load(worker, small_models.affine(tmp_path / "model.onnx"))
    x = np.arange(15, dtype=np.float32).reshape(5, 3)
    whole, answer = predict(worker, tmp_path, {"x": x})
    assert answer["batches"] == 1
    assert answer["seconds"] >= 0
    assert answer["cpu_seconds"] >= 0
    parts, answer = predict(worker, tmp_path, {"x": x}, batch_size=2)
    assert answer["batches"] == 3
    assert np.array_equal(whole["y"], parts["y"])
    assert np.array_equal(whole["y"], x @ np.arange(6, dtype=np.float32).reshape(3, 2) + np.float32([0.5, -0.25]))


@onnx_runtimes
def test_nan_and_infinity_pass_through(runtime: str, worker: Worker, tmp_path: Path) -> None:
    load(worker, small_models.passing_through(tmp_path / "model.onnx"))
    x = np.zeros((1, 1000), np.float32)
    x[0, :5] = [np.nan, np.inf, -np.inf, -0.0, np.float32(1e-45)]
    y = predict(worker, tmp_path, {"x": x})[0]["y"]
    assert np.array_equal(x, y, equal_nan=True)
    assert np.isnan(y[0, 0])
    assert np.signbit(y[0, 3])


@onnx_runtimes
def test_float64_is_float64_and_float32_float32(runtime: str, worker: Worker, tmp_path: Path) -> None:
    path = small_models.cancellation(tmp_path / "model.onnx")
    load(worker, path, "float32")
    single = predict(worker, tmp_path, {"x": np.array([1e-4], np.float32)})[0]["y"]
    assert single.dtype == np.float32
    if "float64" not in worker.request("describe", timeout=LIMIT)["precisions"]:
        pytest.skip(f"{runtime} has no double precision")
    declared = load(worker, path, "float64")["inputs"][0]["dtype"]
    double = predict(worker, tmp_path, {"x": np.array([1e-4], np.dtype(declared))})[0]["y"]
    assert double.dtype == np.float64
    assert double[0] == pytest.approx(1e-4, rel=1e-5)


@onnx_runtimes
def test_outputs_are_row_major_whatever_the_engine_holds(runtime: str, worker: Worker, tmp_path: Path) -> None:
    load(worker, small_models.transposition(tmp_path / "model.onnx"))
    x = np.arange(30, dtype=np.float32).reshape(2, 3, 5)
    outputs, _ = predict(worker, tmp_path, {"x": x})
    assert np.array_equal(outputs["t"], x.transpose(2, 0, 1))
    assert np.array_equal(outputs["y"], x.transpose(2, 0, 1)[1:])


@onnx_runtimes
def test_names_beyond_ascii_in_models_and_paths(runtime: str, worker: Worker, tmp_path: Path) -> None:
    folder = tmp_path / "Grüße an 世界"
    folder.mkdir()
    said = load(worker, small_models.unicode_names(folder / "modèle.onnx"))
    assert [given["name"] for given in said["inputs"]] == ["größe"]
    outputs, _ = predict(worker, folder, {"größe": np.array([1.0, 2.0], np.float32)})
    assert {name: value.tolist() for name, value in outputs.items()} == {"出力": [3.0, 4.0]}


@onnx_runtimes
def test_large_arrays_travel(runtime: str, worker: Worker, tmp_path: Path) -> None:
    load(worker, small_models.passing_through(tmp_path / "model.onnx"))
    x = np.random.default_rng(5).standard_normal((3000, 1000), dtype=np.float32)
    assert np.array_equal(predict(worker, tmp_path, {"x": x})[0]["y"], x)
    assert np.array_equal(predict(worker, tmp_path, {"x": x}, batch_size=700)[0]["y"], x)


@onnx_runtimes
def test_an_empty_batch_gives_an_empty_result(runtime: str, worker: Worker, tmp_path: Path) -> None:
    load(worker, small_models.passing_through(tmp_path / "model.onnx"))
    y = predict(worker, tmp_path, {"x": np.zeros((0, 1000), np.float32)})[0]["y"]
    assert (y.shape, y.dtype) == ((0, 1000), np.float32)


@onnx_runtimes
def test_activations_are_the_named_tensors(runtime: str, worker: Worker, tmp_path: Path) -> None:
    if "activations" not in worker.request("describe", timeout=LIMIT)["requests"]:
        pytest.skip(f"{runtime} shows no activations")
    load(worker, small_models.affine(tmp_path / "model.onnx"))
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_tensors(tmp_path / "inputs.safetensors", {"x": x})
    asked = {"inputs": str(tmp_path / "inputs.safetensors"), "outputs": str(tmp_path / "found.safetensors")}
    assert worker.request("activations", names=["hidden", "y"], timeout=LIMIT, **asked)["count"] == 2
    found = read_tensors(tmp_path / "found.safetensors")
    hidden = x @ np.arange(6, dtype=np.float32).reshape(3, 2)
    assert np.array_equal(found["hidden"], hidden)
    assert np.array_equal(found["y"], hidden + np.array([0.5, -0.25], np.float32))
    with pytest.raises(WorkerError) as error:
        worker.request("activations", names=["hiden"], timeout=LIMIT, **asked)
    assert_refused(worker, error, BadInputError)
    assert "hiden" in error.value.what
