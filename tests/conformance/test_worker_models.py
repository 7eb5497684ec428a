"""Files of models and what is held of them, on every installed runtime."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.errors import BadInputError, UnsupportedError, WorkerError
from harness.runtimes.process import Worker
from harness.workers.tensors import read_tensors
from tests.conformance import small_models
from tests.conformance.asking import LIMIT, assert_refused, every_runtime, load, onnx_runtimes, predict


@every_runtime
@pytest.mark.parametrize("made", [lambda p: p / "absent.onnx", lambda p: p], ids=["missing", "folder"])
def test_loading_what_is_no_file_is_bad_input(
    runtime: str, worker: Worker, made: Callable[[Path], Path], tmp_path: Path
) -> None:
    with pytest.raises(WorkerError) as error:
        load(worker, made(tmp_path))
    assert_refused(worker, error, BadInputError)
    assert made(tmp_path).name in error.value.what


@onnx_runtimes
def test_a_truncated_model_is_bad_input(runtime: str, worker: Worker, tmp_path: Path) -> None:
    whole = small_models.affine(tmp_path / "whole.onnx").read_bytes()
    for cut in (0, 1, 7, len(whole) // 3, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        path = tmp_path / f"cut-{cut}.onnx"
        path.write_bytes(whole[:cut])
        with pytest.raises(WorkerError) as error:
            load(worker, path)
        assert_refused(worker, error, BadInputError)


@onnx_runtimes
def test_a_file_of_something_else_is_bad_input(runtime: str, worker: Worker, tmp_path: Path) -> None:
    noise = np.random.default_rng(3).bytes(5000)
    for name, content in {"text.onnx": b"import torch\n" * 50, "noise.onnx": noise, "nought.onnx": bytes(500)}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WorkerError) as error:
            load(worker, tmp_path / name)
        assert_refused(worker, error, BadInputError)


@onnx_runtimes
def test_an_operator_nobody_knows_is_refused_by_name_at_load(runtime: str, worker: Worker, tmp_path: Path) -> None:
    path = small_models.write_model(
        tmp_path / "model.onnx",
        [("Frobnicate", ["x"], ["y"], {})],
        {"x": (np.float32, [2])},
        {"y": (np.float32, [2])},
    )
    with pytest.raises(WorkerError) as error:
        load(worker, path)
    assert_refused(worker, error, UnsupportedError)
    assert "Frobnicate" in error.value.what


@onnx_runtimes
def test_load_says_what_the_model_takes_gives_and_carries(runtime: str, worker: Worker, tmp_path: Path) -> None:
    metadata = {"harness.model": "affine", "harness.classes": '["Mais", "Rüben"]'}
    said = load(worker, small_models.affine(tmp_path / "model.onnx", metadata))
    (given,), (result,) = said["inputs"], said["outputs"]
    assert (given["name"], given["dtype"], given["shape"][1]) == ("x", "float32", 3)
    assert (result["name"], result["dtype"], result["shape"][1]) == ("y", "float32", 2)
    assert given["shape"][0] in ("batch", None)
    assert said["metadata"] == metadata
    assert said["seconds"] >= 0


@onnx_runtimes
def test_parameters_come_back_bit_for_bit(runtime: str, worker: Worker, tmp_path: Path) -> None:
    import onnx
    from onnx import numpy_helper

    for build in (small_models.hard_bits, small_models.transposition, small_models.affine):
        path = build(tmp_path / "model.onnx")
        load(worker, path)
        answer = worker.request("parameters", outputs=str(tmp_path / "parameters.safetensors"), timeout=LIMIT)
        held = read_tensors(tmp_path / "parameters.safetensors")
        stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
        assert answer["count"] == len(stored)
        assert {n: (a.dtype, a.shape, a.tobytes()) for n, a in held.items()} == {
            n: (a.dtype, a.shape, a.tobytes()) for n, a in stored.items()
        }


@onnx_runtimes
@pytest.mark.parametrize("build", [small_models.weights_in_branches, small_models.constants_in_branches])
def test_parameters_of_graphs_inside_of_nodes_are_held_too(
    runtime: str, worker: Worker, build: Callable[[Path], Path], tmp_path: Path
) -> None:
    import onnx
    from onnx import numpy_helper

    path = build(tmp_path / "model.onnx")
    try:
        load(worker, path)
    except UnsupportedError as error:
        pytest.skip(f"{runtime} refuses If by name: {error.what}")
    worker.request("parameters", outputs=str(tmp_path / "parameters.safetensors"), timeout=LIMIT)
    held = read_tensors(tmp_path / "parameters.safetensors")
    # By the names of the attributes, else_branch comes first; the second of equal names is told apart.
    graph_of = {attribute.name: attribute.g for attribute in onnx.load(path).graph.node[0].attribute}
    for name, attribute in (("w", "else_branch"), ("w#2", "then_branch")):
        graph = graph_of[attribute]
        stored = graph.initializer[0] if graph.initializer else graph.node[0].attribute[0].t
        assert held[name].tobytes() == numpy_helper.to_array(stored).tobytes()
    assert len(held) == 2
    x = np.array([1, -2, 3, -4, 5, -6], np.float32)
    found, _ = predict(worker, tmp_path, {"c": np.array(False), "x": x})
    assert np.array_equal(found["y"], x * np.arange(6, dtype=np.float32))


@onnx_runtimes
def test_weights_in_constant_nodes_are_told_like_initializers(runtime: str, worker: Worker, tmp_path: Path) -> None:
    load(worker, small_models.weights_in_constants(tmp_path / "model.onnx"))
    answer = worker.request("parameters", outputs=str(tmp_path / "parameters.safetensors"), timeout=LIMIT)
    held = read_tensors(tmp_path / "parameters.safetensors")
    # A number without an axis is no weight, nor is a shape.
    assert (answer["count"], list(held)) == (1, ["w"])
    assert held["w"].dtype == np.float32
    assert held["w"].tobytes() == small_models.HARD_BITS.tobytes()


@onnx_runtimes
def test_structure_tells_nodes_and_hashes_of_the_file(runtime: str, worker: Worker, tmp_path: Path) -> None:
    path = small_models.hard_bits(tmp_path / "model.onnx")
    worker.request("structure", path=str(path), outputs=str(tmp_path / "structure.json"), timeout=LIMIT)
    graph = json.loads((tmp_path / "structure.json").read_text(encoding="utf-8"))
    assert (graph["format"], graph["ir_version"], graph["opsets"]) == ("onnx", 8, {"": 17})
    assert graph["bytes"] == path.stat().st_size
    assert [(node["name"], node["operator"], node["inputs"], node["outputs"]) for node in graph["nodes"]] == [
        ("add_0", "Add", ["x", "w"], ["y"]),
        ("cast_1", "Cast", ["half"], ["wide_half"]),
        ("add_2", "Add", ["wide_half", "double"], ["z"]),
    ]
    assert graph["nodes"][1]["attributes"] == {"to": 11}
    weight = next(tensor for tensor in graph["initializers"] if tensor["name"] == "w")
    assert (weight["dtype"], weight["shape"]) == ("float32", [6])
    assert weight["sha256"] == hashlib.sha256(small_models.HARD_BITS.tobytes()).hexdigest()
