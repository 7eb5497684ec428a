"""Real versions of real packages, from a package index: their workers answer as that of the installed version does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.runtimes.process import Worker
from harness.runtimes.registry import ready, runtime

onnx = pytest.importorskip("onnx", reason="the model is made by the package onnx: pip install onnx")

from harness.workers.tensors import read_tensors, write_tensors  # noqa: E402

pytestmark = pytest.mark.slow


def a_model(path: Path) -> None:
    """A convolution with ReLU and a dense layer, of opset 17 and IR version 8, which onnxruntime 1.15 reads."""
    random = np.random.default_rng(3)
    weights = {
        "kernel": random.standard_normal((6, 4, 3)).astype(np.float32),
        "bias": random.standard_normal(6).astype(np.float32),
        "dense": random.standard_normal((60, 5)).astype(np.float32),
    }
    nodes = [
        onnx.helper.make_node("Conv", ["x", "kernel", "bias"], ["a"], pads=[1, 1]),
        onnx.helper.make_node("Relu", ["a"], ["b"]),
        onnx.helper.make_node("Flatten", ["b"], ["c"], axis=1),
        onnx.helper.make_node("MatMul", ["c", "dense"], ["y"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "net",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["sample", 4, 10])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["sample", 5])],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))


def answers(name: str, folder: Path) -> tuple[dict[str, str], np.ndarray, dict[str, np.ndarray]]:
    """Versions, predictions and parameters of a runtime's worker."""
    here = ready(runtime(name))
    if not here.installed:
        pytest.skip(f"{name}: {here.reason}")
    inputs = {"x": np.random.default_rng(5).standard_normal((7, 4, 10)).astype(np.float32)}
    write_tensors(folder / "x.safetensors", inputs)
    with Worker.start(runtime(name), folder / "log") as worker:
        versions = worker.request("describe")["versions"]
        worker.request("load", path=str(folder / "model.onnx"))
        worker.request("predict", inputs=str(folder / "x.safetensors"), outputs=str(folder / "y.safetensors"))
        worker.request("parameters", outputs=str(folder / "held.safetensors"))
    return versions, read_tensors(folder / "y.safetensors")["y"], read_tensors(folder / "held.safetensors")


@pytest.mark.parametrize(
    ("name", "package", "begins"),
    [
        ("python/onnxruntime@1.15", "onnxruntime", "1.15."),
        ("python/onnxruntime@1.22", "onnxruntime", "1.22."),
        ("python/onnx-reference@1.17", "onnx", "1.17."),
    ],
)
def test_a_version_answers_as_the_installed_one_does(tmp_path: Path, name: str, package: str, begins: str) -> None:
    a_model(tmp_path / "model.onnx")
    versions, outputs, held = answers(name, tmp_path)
    assert versions[package].startswith(begins)
    _, expected, known = answers(name.partition("@")[0], tmp_path)
    assert np.abs(outputs - expected).max() <= 1e-5 * np.abs(expected).max()
    assert held.keys() == known.keys()
    assert all(np.array_equal(held[key], known[key]) for key in held)
