"""Small ONNX models, each with one thing in it that a worker can get wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

Array = NDArray[Any]

#: Bits that do not survive a detour through another precision: a signalling NaN, minus nought, a subnormal, infinity.
HARD_BITS = np.array([0x7FA00001, 0x80000000, 0x00000001, 0x7F800000, 0xFFC12345, 0x3F800001], np.uint32)


def write_model(
    path: Path,
    nodes: Sequence[tuple[str, Sequence[str], Sequence[str], dict[str, Any]]],
    inputs: dict[str, tuple[Any, Sequence[int | str]]],
    outputs: dict[str, tuple[Any, Sequence[int | str]]],
    initializers: dict[str, Array] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Write a model of opset 17.

    Args:
        path: the file.
        nodes: operator, inputs, outputs and attributes of each node.
        inputs, outputs: name to dtype and shape; a string is a dynamic dimension.
        initializers: name to value, stored bit for bit.
        metadata: ``metadata_props``.
    """
    pytest.importorskip("onnx", reason="the models are written with the onnx package: pip install onnx")
    from onnx import TensorProto, helper

    def info(name: str, dtype: Any, shape: Sequence[int | str]) -> Any:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)

    stored = []
    for name, value in (initializers or {}).items():
        tensor = TensorProto(name=name, dims=value.shape, raw_data=value.tobytes())
        tensor.data_type = helper.np_dtype_to_tensor_dtype(value.dtype)
        stored.append(tensor)
    graph = helper.make_graph(
        [
            helper.make_node(operator, list(sources), list(results), name=f"{operator.lower()}_{place}", **attributes)
            for place, (operator, sources, results, attributes) in enumerate(nodes)
        ],
        "small",
        [info(name, *rest) for name, rest in inputs.items()],
        [info(name, *rest) for name, rest in outputs.items()],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    path.write_bytes(model.SerializeToString())
    return path


def affine(path: Path, metadata: dict[str, str] | None = None) -> Path:
    """``hidden = x W``, ``y = hidden + b``: x (batch, 3), y (batch, 2), float32."""
    return write_model(
        path,
        [("MatMul", ["x", "W"], ["hidden"], {}), ("Add", ["hidden", "b"], ["y"], {})],
        {"x": (np.float32, ["batch", 3])},
        {"y": (np.float32, ["batch", 2])},
        {"W": np.arange(6, dtype=np.float32).reshape(3, 2), "b": np.array([0.5, -0.25], np.float32)},
        metadata,
    )


def affine_in_eights(path: Path) -> Path:
    """:func:`affine` for eight samples per call: x (8, 3), y (8, 2), float32."""
    return write_model(
        path,
        [("MatMul", ["x", "W"], ["hidden"], {}), ("Add", ["hidden", "b"], ["y"], {})],
        {"x": (np.float32, [8, 3])},
        {"y": (np.float32, [8, 2])},
        {"W": np.arange(6, dtype=np.float32).reshape(3, 2), "b": np.array([0.5, -0.25], np.float32)},
    )


def shared_dates(path: Path) -> Path:
    """``y = x + doy``, ``season = 2 doy``: x and y (batch, time), doy and season (time,) of all samples, float32."""
    return write_model(
        path,
        [("Add", ["x", "doy"], ["y"], {}), ("Mul", ["doy", "two"], ["season"], {})],
        {"x": (np.float32, ["batch", "time"]), "doy": (np.float32, ["time"])},
        {"y": (np.float32, ["batch", "time"]), "season": (np.float32, ["time"])},
        {"two": np.array([2.0], np.float32)},
    )


def eight_heads(path: Path) -> Path:
    """``y = 2 x``, ``attention`` = x with the head first: x and y (batch, 8, 4), attention (8, batch, 4), float32."""
    return write_model(
        path,
        [("Mul", ["x", "two"], ["y"], {}), ("Transpose", ["x"], ["attention"], {"perm": [1, 0, 2]})],
        {"x": (np.float32, ["batch", 8, 4])},
        {"y": (np.float32, ["batch", 8, 4]), "attention": (np.float32, [8, "batch", 4])},
        {"two": np.array([2.0], np.float32)},
    )


def samples_second(path: Path) -> Path:
    """``y`` is x with the sample first: x (2, batch), y (batch, 2), float32."""
    return write_model(
        path,
        [("Transpose", ["x"], ["y"], {"perm": [1, 0]})],
        {"x": (np.float32, [2, "batch"])},
        {"y": (np.float32, ["batch", 2])},
    )


def cancellation(path: Path) -> Path:
    """``y = (x + 1e6) - 1e6``: loses x = 1e-4 in float32, keeps it in float64."""
    return write_model(
        path,
        [("Add", ["x", "large"], ["sum"], {}), ("Sub", ["sum", "large"], ["y"], {})],
        {"x": (np.float32, ["n"])},
        {"y": (np.float32, ["n"])},
        {"large": np.array([1e6], np.float32)},
    )


def transposition(path: Path) -> Path:
    """``t`` is x (2, 3, 5) with its axes turned round, ``y`` a slice of that up to the largest int64."""
    return write_model(
        path,
        [
            ("Transpose", ["x"], ["t"], {"perm": [2, 0, 1]}),
            ("Slice", ["t", "starts", "ends"], ["y"], {}),
        ],
        {"x": (np.float32, [2, 3, 5])},
        {"t": (np.float32, [5, 2, 3]), "y": (np.float32, [4, 2, 3])},
        {"starts": np.array([1], np.int64), "ends": np.array([np.iinfo(np.int64).max], np.int64)},
    )


def hard_bits(path: Path) -> Path:
    """``y = x + w`` where w holds :data:`HARD_BITS`; a float16 and a float64 tensor beside it."""
    return write_model(
        path,
        [
            ("Add", ["x", "w"], ["y"], {}),
            ("Cast", ["half"], ["wide_half"], {"to": 11}),
            ("Add", ["wide_half", "double"], ["z"], {}),
        ],
        {"x": (np.float32, [6])},
        {"y": (np.float32, [6]), "z": (np.float64, [2])},
        {
            "w": HARD_BITS.view(np.float32),
            "half": np.array([0x7D01, 0x0001], np.uint16).view(np.float16),
            "double": np.array([0x7FF4000000000001, 0x8000000000000000], np.uint64).view(np.float64),
        },
    )


def unicode_names(path: Path) -> Path:
    """Names beyond ASCII: input größe, output 出力, initializer ß."""
    return write_model(
        path,
        [("Add", ["größe", "ß"], ["出力"], {})],
        {"größe": (np.float32, ["Länge"])},
        {"出力": (np.float32, ["Länge"])},
        {"ß": np.array([2.0], np.float32)},
    )


def passing_through(path: Path) -> Path:
    """``y = x * 1``, x (n, 1000), float32."""
    return write_model(
        path,
        [("Mul", ["x", "one"], ["y"], {})],
        {"x": (np.float32, ["n", 1000])},
        {"y": (np.float32, ["n", 1000])},
        {"one": np.array([1.0], np.float32)},
    )


def weights_in_branches(path: Path) -> Path:
    """``y = x + w`` where the condition c holds, else ``y = x * w``: each branch of the If has a tensor w of its own."""
    from onnx import TensorProto, helper

    def branch(operator: str, values: Array) -> Any:
        weight = TensorProto(name="w", dims=values.shape, raw_data=values.tobytes(), data_type=TensorProto.FLOAT)
        made = helper.make_tensor_value_info(operator, TensorProto.FLOAT, [6])
        return helper.make_graph([helper.make_node(operator, ["x", "w"], [operator])], operator, [], [made], [weight])

    branches = {
        "then_branch": branch("Add", HARD_BITS.view(np.float32)),
        "else_branch": branch("Mul", np.arange(6, dtype=np.float32)),
    }
    return write_model(
        path,
        [("If", ["c"], ["y"], branches)],
        {"c": (np.bool_, []), "x": (np.float32, [6])},
        {"y": (np.float32, [6])},
    )


def weights_in_constants(path: Path) -> Path:
    """``y = ((x + w) * 2)`` where w holds :data:`HARD_BITS` and stands in a Constant node, as do the number 2 and a shape."""
    numpy_helper = pytest.importorskip("onnx").numpy_helper

    def constant(name: str, value: Array) -> Any:
        return ("Constant", [], [name], {"value": numpy_helper.from_array(value)})

    return write_model(
        path,
        [
            constant("w", HARD_BITS.view(np.float32)),
            constant("two", np.array(2, np.float32)),
            constant("shape", np.array([2, 3], np.int64)),
            ("Add", ["x", "w"], ["sum"], {}),
            ("Mul", ["sum", "two"], ["twice"], {}),
            ("Reshape", ["twice", "shape"], ["y"], {}),
        ],
        {"x": (np.float32, [6])},
        {"y": (np.float32, [2, 3])},
    )


def constants_in_branches(path: Path) -> Path:
    """:func:`weights_in_branches`, each w in a Constant node."""
    import onnx

    model = onnx.load(weights_in_branches(path))
    for attribute in model.graph.node[0].attribute:
        (weight,) = attribute.g.initializer
        node = onnx.helper.make_node("Constant", [], ["w"], name="constant", value=weight)
        others = list(attribute.g.node)
        del attribute.g.node[:]
        attribute.g.node.extend([node, *others])
        del attribute.g.initializer[:]
    path.write_bytes(model.SerializeToString())
    return path
