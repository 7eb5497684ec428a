"""onnx2tf in an environment of its own: what it makes of a file answers as the file does, and takes its inputs as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.errors import UnsupportedError
from harness.runtimes.process import Worker
from harness.runtimes.registry import availability, runtime

onnx = pytest.importorskip("onnx", reason="the models are made by the package onnx: pip install onnx")

from harness.workers.tensors import read_tensors, write_tensors  # noqa: E402

ROW = runtime("python/onnx2tf")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not availability(ROW).installed,
        reason=f"{availability(ROW).reason}; install it with: {availability(ROW).install}",
    ),
]


def save(path: Path, nodes: list, output: list, weights: dict[str, np.ndarray], shape: list) -> Path:
    graph = onnx.helper.make_graph(
        nodes,
        "net",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, output)],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return path


def a_classifier(path: Path) -> Path:
    """Convolution over time, batch normalisation and a dense layer: (sample, band, time) to (sample, class)."""
    random = np.random.default_rng(7)
    weights = {
        "kernel": random.standard_normal((6, 13, 3)).astype(np.float32),
        "bias": random.standard_normal(6).astype(np.float32),
        "scale": random.uniform(0.5, 2, 270).astype(np.float32),
        "shift": random.standard_normal(270).astype(np.float32),
        "mean": random.standard_normal(270).astype(np.float32),
        "variance": random.uniform(0.5, 2, 270).astype(np.float32),
        "dense": random.standard_normal((270, 9)).astype(np.float32),
    }
    nodes = [
        onnx.helper.make_node("Conv", ["x", "kernel", "bias"], ["a"], pads=[1, 1]),
        onnx.helper.make_node("Relu", ["a"], ["b"]),
        onnx.helper.make_node("Flatten", ["b"], ["c"], axis=1),
        onnx.helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], ["d"], epsilon=1e-3),
        onnx.helper.make_node("MatMul", ["d", "dense"], ["y"]),
    ]
    return save(path, nodes, ["sample", 9], weights, ["sample", 13, 45])


def predicted(name: str, model: Path, folder: Path) -> np.ndarray:
    with Worker.start(runtime(name), folder / "log") as worker:
        worker.request("load", path=str(model))
        worker.request(
            "predict", inputs=str(folder / "x.safetensors"), outputs=str(folder / "y.safetensors"), batch_size=4
        )
    return read_tensors(folder / "y.safetensors")["y"]


def test_it_answers_as_the_file_and_takes_its_input_as_it_is(tmp_path: Path) -> None:
    model = a_classifier(tmp_path / "model.onnx")
    before = model.read_bytes()
    write_tensors(
        tmp_path / "x.safetensors", {"x": np.random.default_rng(1).standard_normal((10, 13, 45)).astype(np.float32)}
    )
    found, expected = (predicted(name, model, tmp_path) for name in ("python/onnx2tf", "python/onnxruntime"))
    assert found.shape == expected.shape == (10, 9)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    assert model.read_bytes() == before


def test_frames_of_radar_come_back_as_the_file_declares_them(tmp_path: Path) -> None:
    """(sample, band, time, row, column) with a named first size in, and an output that onnx2tf leaves channels-last."""
    random = np.random.default_rng(3)
    model = save(
        tmp_path / "model.onnx",
        [onnx.helper.make_node("Conv", ["x", "kernel"], ["y"], pads=[1] * 6)],
        ["sample", 2, 3, 5, 4],
        {"kernel": random.standard_normal((2, 1, 3, 3, 3)).astype(np.float32)},
        ["sample", 1, 3, 5, 4],
    )
    write_tensors(tmp_path / "x.safetensors", {"x": random.standard_normal((6, 1, 3, 5, 4)).astype(np.float32)})
    found, expected = (predicted(name, model, tmp_path) for name in ("python/onnx2tf", "python/onnxruntime"))
    assert found.shape == expected.shape == (6, 2, 3, 5, 4)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_a_refusal_has_the_sentence_of_tensorflow_and_not_its_lines_of_code(tmp_path: Path) -> None:
    """Two parts of unequal size are added; TensorFlow says so after the layer and the lines of code where it was."""
    model = save(
        tmp_path / "model.onnx",
        [
            onnx.helper.make_node("Slice", ["x", "start", "end", "axis"], ["a"]),
            onnx.helper.make_node("Add", ["x", "a"], ["y"]),
        ],
        ["sample", 7],
        {"start": np.array([0]), "end": np.array([3]), "axis": np.array([1])},
        ["sample", 7],
    )
    with (
        Worker.start(ROW, tmp_path / "log") as worker,
        pytest.raises(UnsupportedError, match="Dimensions must be equal, but are 7 and 3") as caught,
    ):
        worker.request("load", path=str(model))
    assert "{{" not in caught.value.line()


def test_it_tells_which_tensors_of_the_file_it_holds(tmp_path: Path) -> None:
    model = a_classifier(tmp_path / "model.onnx")
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(str(model)).graph.initializer}
    with Worker.start(ROW, tmp_path / "log") as worker:
        loaded = worker.request("load", path=str(model))
        worker.request("parameters", outputs=str(tmp_path / "held.safetensors"))
        versions = worker.request("describe")["versions"]
    assert loaded["inputs"][0]["shape"] == ["sample", 13, 45]
    assert versions["onnx2tf"].startswith("1.29.")
    held = read_tensors(tmp_path / "held.safetensors")
    assert held.keys() == stored.keys()
    assert all(np.array_equal(held[name], stored[name]) for name in held)


def test_what_it_cannot_convert_is_refused_in_one_line(tmp_path: Path) -> None:
    nodes = [onnx.helper.make_node("ai.nobody.Strange", ["x"], ["y"], domain="ai.nobody")]
    graph = onnx.helper.make_graph(
        nodes,
        "net",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 3])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2, 3])],
    )
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.nobody", 1)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), str(tmp_path / "model.onnx"))
    with Worker.start(ROW, tmp_path / "log") as worker:
        with pytest.raises(UnsupportedError) as caught:
            worker.request("load", path=str(tmp_path / "model.onnx"))
        assert "\n" not in caught.value.line()
        # It ends processes; not this one.
        assert worker.alive
        with pytest.raises(UnsupportedError, match="float64 is not supported by python/onnx2tf"):
            worker.request("load", path=str(a_classifier(tmp_path / "other.onnx")), precision="float64")
