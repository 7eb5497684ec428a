"""Small ONNX files made node by node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def model(
    nodes: Sequence[NodeProto],
    *,
    opset: int = 17,
    ir_version: int = 8,
    inputs: Sequence[tuple[str, int, Sequence[int | str]]] = (("x", FLOAT, ("n", 4)),),
    outputs: Sequence[tuple[str, int, Sequence[int | str]]] = (("y", FLOAT, ("n", 4)),),
    weights: dict[str, np.ndarray] | None = None,
) -> ModelProto:
    """A model of one graph; shapes may name dimensions."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(*entry) for entry in inputs],
        [helper.make_tensor_value_info(*entry) for entry in outputs],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def saved(made: ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    """The path of the model's file."""
    path = folder / name
    path.write_bytes(made.SerializeToString())
    return path


def batch_normalisation(opset: int, epsilon: float | None = 1e-3) -> tuple[ModelProto, dict[str, np.ndarray]]:
    """x (n, 3, 5) normalised, and the weights."""
    generator = np.random.default_rng(3)
    weights = {name: generator.uniform(0.5, 2, 3).astype(np.float32) for name in ("s", "b", "m", "v")}
    attributes: dict[str, float | int] = {} if epsilon is None else {"epsilon": epsilon}
    if opset < 7:
        attributes["is_test"] = 1
    node = helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], name="norm", **attributes)
    made = model(
        [node],
        opset=opset,
        inputs=[("x", FLOAT, ("n", 3, 5))],
        outputs=[("y", FLOAT, ("n", 3, 5))],
        weights=weights,
    )
    return made, weights


def external(made: ModelProto, folder: Path, location: str = "weights.bin") -> Path:
    """The model with its first initializer in a file of its own, beside it or wherever ``location`` says."""
    tensor = made.graph.initializer[0]
    data = tensor.raw_data
    (folder / Path(location).name).write_bytes(data)
    onnx.external_data_helper.set_external_data(tensor, location, offset=0, length=len(data))
    tensor.ClearField("raw_data")
    return saved(made, folder)
