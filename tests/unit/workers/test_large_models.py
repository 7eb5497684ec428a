"""The exact evaluator holds what it needs: large weights one at a time, values until their last use."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from harness.workers.batches import predict
from harness.workers.onnx import evaluator, file
from harness.workers.onnx.reference import OnnxReference, ReferenceModel
from harness.workers.onnx.widen import widen

LAYERS, WIDTH = 8, 128
DRAWN = np.random.default_rng(0)
WEIGHTS = {f"w{k}": DRAWN.standard_normal((WIDTH, WIDTH), np.float32) / 11 for k in range(LAYERS)}
#: Bytes of one weight as double.
WIDE = 8 * WIDTH * WIDTH


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Linear layers; the last weight is read inside of an If."""
    monkeypatch.setattr(file, "LARGE_WEIGHT", 1)
    monkeypatch.setattr(evaluator, "LARGE", 1)
    nodes = [helper.make_node("MatMul", [f"x{k}", f"w{k}"], [f"x{k + 1}"], f"linear{k}") for k in range(LAYERS - 1)]
    last = [f"x{LAYERS - 1}", f"w{LAYERS - 1}"]
    branch = helper.make_graph(
        [helper.make_node("MatMul", last, ["inner"])], "branch", [], [helper.make_tensor_value_info("inner", 1, None)]
    )
    nodes += [
        helper.make_node("Constant", [], ["yes"], value=onnx.numpy_helper.from_array(np.array(True))),
        helper.make_node("If", ["yes"], ["y"], "choice", then_branch=branch, else_branch=branch),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x0", 1, ["sample", WIDTH])],
        [helper.make_tensor_value_info("y", 1, ["sample", WIDTH])],
        [onnx.numpy_helper.from_array(array, name) for name, array in WEIGHTS.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "model.onnx"
    onnx.save(made, path)
    return path


def loaded(path: Path) -> ReferenceModel:
    return OnnxReference().load(path, "float64")


def test_weights_are_widened_as_they_are_read_and_nothing_changes(model: Path) -> None:
    x = DRAWN.standard_normal((4, WIDTH), np.float32)
    wanted = ReferenceEvaluator(widen(onnx.load(model))).run(None, {"x0": x.astype(np.float64)})[0]
    held = loaded(model)
    np.testing.assert_array_equal(predict(held, {"x0": x}, 2).outputs["y"][:2], wanted[:2])
    parameters = held.parameters()
    assert parameters.keys() == WEIGHTS.keys()
    for name, array in WEIGHTS.items():
        np.testing.assert_array_equal(parameters[name], array)
    np.testing.assert_array_equal(held.activations({"x0": x.astype(np.float64)}, ["w2"])["w2"], WEIGHTS["w2"])


def test_few_weights_are_wide_at_a_time_and_few_values_held(model: Path) -> None:
    x = DRAWN.standard_normal((WIDTH, WIDTH)).astype(np.float32)
    held = loaded(model)
    predict(held, {"x0": x}, None)
    tracemalloc.start()
    predict(held, {"x0": x}, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The input, a value that is read, one that is made, and a weight in both precisions; all layers would be sixteen.
    assert peak < 6 * WIDE
